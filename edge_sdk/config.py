"""
The file ``site.toml``: where things are and how much they may take.

One file for a site; unknown keys are refused by name; there is no environment variable and no default for what is
trusted: the pinned root and the address must be given. The policy has a file of its own (``edge_sdk.policy_file``).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edge_sdk import files
from edge_sdk.core.units import HOUR_MS, MINUTE_MS, parse_duration
from edge_sdk.errors import ConfigError, StorageError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_LIMIT = 1 << 16
_SIZES: Final = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_PIN = re.compile(r"[A-Za-z0-9+/]{43}=")
_SIZE = re.compile(r"([1-9][0-9]{0,6}) ?(KB|MB|GB|KiB|MiB|GiB)")


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What the line may take of the board; times in milliseconds.
    """

    folder: Path
    max_rows: int
    max_age_ms: int
    flush_every_ms: int
    quota_bytes: int
    memory_rows: int
    reserve_bytes: int
    reserve_inodes: int
    day_starts_ms: int


@dataclass(frozen=True, slots=True)
class Config:
    """
    One site, read and checked.
    """

    name: str
    folder: Path
    policy: str
    root: Path
    address: str
    suite: str
    cipher: str
    timeout_ms: int
    jitter_ms: int
    proxy: str
    pins: tuple[str, ...]
    ledger: str
    has_firmware: bool
    firmware_wait_ms: int
    uploads_stopped: bool
    limits: Limits

    @classmethod
    def read(cls, path: str | Path) -> Config:
        """
        Return the configuration in *path*; paths in it are relative to its folder.

        Raises:
            ConfigError: with the file, the table and key, and what to write instead.
        """
        path = Path(path)
        try:
            content = files.read(path, _LIMIT).decode("utf-8")
            model = _Site.model_validate(tomllib.loads(content))
        except StorageError as error:
            raise ConfigError(f"{path.name}: {error}", hint="make a site with 'edge-sdk init'") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path.name}: not UTF-8 at byte {error.start}", hint="save it as UTF-8") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path.name}: not TOML: {error}", hint="mend that line") from None
        except ValidationError as error:
            raise ConfigError("\n".join(_problem(path.name, found) for found in error.errors())) from None
        return _config(model, path)


def _duration(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError('write a duration in quotes, such as "60s" or "1h"')
    return parse_duration(value)


def _between(least: str, most: str) -> BeforeValidator:
    def check(value: Any) -> int:
        duration_ms = _duration(value)
        if not parse_duration(least) <= duration_ms <= parse_duration(most):
            raise ValueError(f'write a duration from "{least}" to "{most}"')
        return duration_ms

    return BeforeValidator(check)


def _size(value: Any) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a size in quotes, such as "64 MB"')
    return int(match[1]) * _SIZES[match[2]]


def _address(value: Any) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError('write the collector\'s address, such as "https://ingest.example.com"')
    if parts.username is not None:
        raise ValueError("leave out user and password: a device names itself to nobody on the way")
    _ = parts.port  # raises ValueError where it is none
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("plain http is for loopback only: write https")
    return str(value).rstrip("/")


def _proxy(value: Any) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or (value and (parts.scheme not in ("http", "https") or not parts.hostname)):
        raise ValueError('write the address of an HTTP proxy, such as "http://proxy.example:3128", or leave it out')
    return str(value)


def _pin(value: Any) -> str:
    if not isinstance(value, str) or not _PIN.fullmatch(value):
        raise ValueError("write the base64 of a SHA-256: what 'openssl dgst -sha256 -binary | base64' says of a key")
    return value


def _clock_time(value: Any) -> int:
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a UTC time such as "23:00"')
    return int(match[1]) * HOUR_MS + int(match[2]) * MINUTE_MS


Text = Annotated[str, Field(min_length=1, max_length=4096)]
Size = Annotated[int, BeforeValidator(_size)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _SiteTable(_Table):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    policy: Text
    folder: Text = "state"
    day_starts_utc: Annotated[int, BeforeValidator(_clock_time)] = 0


class _CollectorTable(_Table):
    address: Annotated[str, BeforeValidator(_address)]
    root: Text
    timeout: Annotated[int, _between("100ms", "10min")] = 30_000
    jitter: Annotated[int, _between("1ms", "1d")] = 30_000
    proxy: Annotated[str, BeforeValidator(_proxy)] = ""
    pins: tuple[Annotated[str, BeforeValidator(_pin)], ...] = ()


class _BatchTable(_Table):
    max_rows: Annotated[int, Field(strict=True, ge=1, le=20_000)] = 500
    max_age: Annotated[int, _between("1s", "7d")] = HOUR_MS
    flush_every: Annotated[int, _between("100ms", "1d")] = MINUTE_MS
    memory_rows: Annotated[int, Field(strict=True, ge=100, le=1_000_000)] = 20_000
    suite: Literal["hpke-9-ke", "hpke-4-ke"] = "hpke-9-ke"
    cipher: Literal["auto", "a256gcm", "chacha20"] = "auto"


class _OutboxTable(_Table):
    quota: Size = 64 * 10**6
    reserve: Size = 16 * 10**6
    reserve_inodes: Annotated[int, Field(strict=True, ge=0)] = 64
    uploads: Literal["on", "stopped"] = "on"


class _LedgerTable(_Table):
    mode: Literal["full", "minimal"] = "full"


class _FirmwareTable(_Table):
    wait: Annotated[int, _between("1s", "10min")] = 30_000


class _Site(_Table):
    site: _SiteTable
    collector: _CollectorTable
    batch: _BatchTable = _BatchTable()
    outbox: _OutboxTable = _OutboxTable()
    ledger: _LedgerTable = _LedgerTable()
    firmware: _FirmwareTable | None = None


_MODELS: Final[dict[str, type[_Table]]] = {
    "site": _SiteTable,
    "collector": _CollectorTable,
    "batch": _BatchTable,
    "outbox": _OutboxTable,
    "ledger": _LedgerTable,
    "firmware": _FirmwareTable,
}


def _config(model: _Site, path: Path) -> Config:
    base = path.parent
    folder = base / model.site.folder
    return Config(
        name=model.site.name,
        folder=folder,
        policy=model.site.policy if re.fullmatch(r"[a-z0-9_]+", model.site.policy) else str(base / model.site.policy),
        root=base / model.collector.root,
        address=model.collector.address,
        suite=model.batch.suite,
        cipher=model.batch.cipher,
        timeout_ms=model.collector.timeout,
        jitter_ms=model.collector.jitter,
        proxy=model.collector.proxy,
        pins=model.collector.pins,
        ledger=model.ledger.mode,
        has_firmware=model.firmware is not None,
        firmware_wait_ms=(model.firmware or _FirmwareTable()).wait,
        uploads_stopped=model.outbox.uploads == "stopped",
        limits=Limits(
            folder=folder,
            max_rows=model.batch.max_rows,
            max_age_ms=model.batch.max_age,
            flush_every_ms=model.batch.flush_every,
            quota_bytes=model.outbox.quota,
            memory_rows=model.batch.memory_rows,
            reserve_bytes=model.outbox.reserve,
            reserve_inodes=model.outbox.reserve_inodes,
            day_starts_ms=model.site.day_starts_utc,
        ),
    )


def _problem(name: str, found: Any) -> str:
    *tables, key = [str(part) for part in found["loc"]] or ["site"]
    where = f"{name}: [{'.'.join(tables)}] {key}" if tables else f"{name}: [{key}]"
    if found["type"] == "extra_forbidden":
        known = list(_MODELS[tables[0]].model_fields if tables and tables[0] in _MODELS else _MODELS)
        near = difflib.get_close_matches(key, known, 1)
        return f"{where}: no such key" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}")
    if found["type"] == "missing":
        return f"{where}: is missing"
    if found["type"] == "value_error":
        return f"{where}: {found['ctx']['error']}"
    return f"{where}: {found['msg'].lower()}"
