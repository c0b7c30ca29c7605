"""
The file ``agent.toml``: where the socket is, who may connect, which sites there are.

Who may connect has no default. Paths are relative to the file's folder. What a site is stands in its own ``site.toml``.
"""

from __future__ import annotations

import grp
import pwd
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_sdk import files
from edge_sdk.config import Config
from edge_sdk.errors import ConfigError, StorageError

_LIMIT: Final = 1 << 16
_PATH_BYTES: Final = 107  # what the kernel takes for the path of a socket


@dataclass(frozen=True, slots=True)
class Allowed:
    """
    Users and groups that may connect, by number.
    """

    uids: frozenset[int]
    gids: frozenset[int]

    def takes(self, uid: int, gids: frozenset[int]) -> bool:
        """
        Tell whether who has this number and these groups may connect.
        """
        return uid in self.uids or not self.gids.isdisjoint(gids)


@dataclass(frozen=True, slots=True)
class Settings:
    """
    One agent, read and checked.
    """

    socket: Path
    group: int | None
    allowed: Allowed
    points_per_s: int
    connections: int
    sites: tuple[Config, ...]

    @classmethod
    def read(cls, path: str | Path) -> Settings:
        """
        Return the settings in *path*, and those of its sites.

        Raises:
            ConfigError: with the file, the key, and what to write instead.
        """
        path = Path(path)
        try:
            model = _Agent.model_validate(tomllib.loads(files.read(path, _LIMIT).decode("utf-8")))
        except StorageError as error:
            raise ConfigError(f"{path.name}: {error}", hint="docs/agent.md has one to begin with") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError):
            raise ConfigError(f"{path.name}: not TOML", hint="mend the file") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ConfigError(f"{path.name}: {where}: {first['msg']}", hint="docs/agent.md lists the keys") from None
        return _settings(model, path)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _AgentTable(_Table):
    socket: Annotated[str, Field(min_length=1)]
    allow: Annotated[tuple[str, ...], Field(min_length=1)]
    group: str = ""
    points_per_s: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 5_000
    connections: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 16


class _SiteTable(_Table):
    config: Annotated[str, Field(min_length=1)]


class _Agent(_Table):
    agent: _AgentTable
    sites: Annotated[tuple[_SiteTable, ...], Field(min_length=1, max_length=1_000)]


def _settings(model: _Agent, path: Path) -> Settings:
    place = path.parent / model.agent.socket
    if len(str(place).encode()) > _PATH_BYTES:
        raise ConfigError(f"{path.name}: agent.socket: longer than {_PATH_BYTES} bytes", hint="name a shorter path")
    sites = tuple(Config.read(path.parent / site.config) for site in model.sites)
    for what in ("name", "folder"):
        if len({str(getattr(site, what)) for site in sites}) < len(sites):
            raise ConfigError(f"{path.name}: two sites have one {what}", hint=f"each site.toml has a {what} of its own")
    return Settings(
        socket=place,
        group=_number(f"group:{model.agent.group}", path.name)[1] if model.agent.group else None,
        allowed=_allowed(model.agent.allow, path.name),
        points_per_s=model.agent.points_per_s,
        connections=model.agent.connections,
        sites=sites,
    )


def _allowed(names: tuple[str, ...], where: str) -> Allowed:
    numbers = [_number(name, where) for name in names]
    return Allowed(
        frozenset(number for is_user, number in numbers if is_user),
        frozenset(number for is_user, number in numbers if not is_user),
    )


def _number(name: str, where: str) -> tuple[bool, int]:
    """
    Return whether *name* is a user, and its number.
    """
    kind, _, rest = name.partition(":")
    try:
        if kind in ("uid", "gid") and rest.isdecimal():
            return kind == "uid", int(rest)
        if kind == "user":
            return True, pwd.getpwnam(rest).pw_uid
        if kind == "group":
            return False, grp.getgrnam(rest).gr_gid
    except KeyError:
        what = f"{where}: no {kind} of that name on this machine"
        raise ConfigError(what, hint="create it, or name another") from None
    raise ConfigError(
        f"{where}: agent.allow: not a user or group",
        hint='write "user:NAME", "group:NAME", "uid:NUMBER" or "gid:NUMBER"',
    )
