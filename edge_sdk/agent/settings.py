"""
The file ``agent.toml``: where the socket is, who may connect, which sites there are.

Who may connect has no default. Paths are relative to the file's folder. What a site is stands in its own ``site.toml``.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_sdk.config import Config
from edge_sdk.errors import ConfigError
from edge_sdk.toml_file import Key, Table, read_tables, several, text, whole

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
        return _settings(read_tables(path, _TABLES, hint="docs/agent.md has one to begin with"), path)


def _group(value: Any) -> str:
    return "" if value == "" else text(value)


_TABLES: Final = {
    "agent": Table(
        {
            "socket": Key(text, must=True),
            "allow": Key(several(text, 1), must=True),
            "group": Key(_group, ""),
            "points_per_s": Key(whole(1, 1_000_000), 5_000),
            "connections": Key(whole(1, 1_000), 16),
        },
        must=True,
    ),
    "sites": Table({"config": Key(text, must=True)}, must=True, repeated=True),
}


def _settings(tables: dict[str, Any], path: Path) -> Settings:
    agent = tables["agent"]
    place = path.parent / agent["socket"]
    if len(str(place).encode()) > _PATH_BYTES:
        raise ConfigError(f"{path.name}: agent.socket: longer than {_PATH_BYTES} bytes", hint="name a shorter path")
    sites = tuple(_site(path, number, site["config"]) for number, site in enumerate(tables["sites"], 1))
    for what in ("name", "folder"):
        if len({str(getattr(site, what)) for site in sites}) < len(sites):
            raise ConfigError(f"{path.name}: two sites have one {what}", hint=f"each site.toml has a {what} of its own")
    return Settings(
        socket=place,
        group=_number(f"group:{agent['group']}", path.name)[1] if agent["group"] else None,
        allowed=_allowed(agent["allow"], path.name),
        points_per_s=agent["points_per_s"],
        connections=agent["connections"],
        sites=sites,
    )


def _site(path: Path, number: int, config: str) -> Config:
    try:
        return Config.read(path.parent / config)
    except ConfigError as error:  # all of them are called site.toml: say which
        raise ConfigError(f"{path.name}: [[sites]] {number}: {error}", hint=error.hint) from None


def _allowed(names: Sequence[str], where: str) -> Allowed:
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
