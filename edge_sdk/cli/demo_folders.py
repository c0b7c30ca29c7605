"""
Where the demo puts what it makes: one folder of its own, made anew each time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.errors import ConfigError
from edge_sdk.sources.replay import Recorded

_MARK: Final = "made-by-edge-sdk-demo"


@dataclass(frozen=True, slots=True)
class Folders:
    """
    Where the demo puts what it makes.
    """

    top: Path

    @property
    def readings(self) -> Path:
        """
        Return the file the firmware writes: raw, and no part of what is searched.
        """
        return self.top / "readings.jsonl"

    @property
    def site(self) -> Path:
        """
        Return the folder of the site: configuration, policy and state.
        """
        return self.top / "site"

    @property
    def state(self) -> Path:
        """
        Return the state folder of the site.
        """
        return self.site / "state"

    @property
    def config(self) -> Path:
        """
        Return the configuration of the site.
        """
        return self.site / "site.toml"

    @property
    def collector(self) -> Path:
        """
        Return the folder of the collector.
        """
        return self.top / "collector"

    @property
    def opener(self) -> Path:
        """
        Return where the opener keeps the rows it opened.
        """
        return self.collector / "opener"


def fresh(top: Path) -> Folders:
    """
    Return an empty folder of the demo's own; nothing that it did not make is removed.

    Raises:
        ConfigError: the folder is there, and another's.
    """
    if files.exists(top):
        if not files.exists(top / _MARK):
            raise ConfigError("the folder is there and not the demo's", hint="name another one with --folder")
        files.remove_tree(top)
    files.make_folder(top)
    files.write(top / _MARK, b"Made anew by each 'edge-sdk demo'.\n", 0o644)
    return Folders(top)


def write_readings(path: Path, readings: Sequence[Recorded]) -> None:
    """
    Write what the firmware produced, as a file to replay.
    """
    lines = [
        json.dumps({"kind": reading.kind, "at_ms": reading.at_ms, "fields": reading.fields}) + "\n"
        for reading in readings
    ]
    files.write(path, "".join(lines).encode("utf-8"))
