"""
A household for one example: an enrolled site under a profile, its collector, the wire between.

Everything is real: the example runs as a command in the folder of the site, its ``Gateway`` talks HTTP through a relay
that keeps every byte, to the collector's server. Loggers of the example's process and of the collector are at their
lowest level, so what any library might log is in ``said``. :meth:`House.exposed` is where an identifier must not be.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import logging
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Final

from edge_sdk.cli import main
from edge_sdk.cli.demo_canary import Canary, contents, search
from edge_sdk.cli.demo_relay import Relay
from edge_sdk.cli.setup import local_places
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector.founding import Founding, init_collector
from edge_sdk.collector.rows import OpenedRow
from edge_sdk.collector.statements import asks_for_transfer
from edge_sdk.config import Config
from edge_sdk.core.claims import ALG_HPKE_X25519, Mechanism
from edge_sdk.core.policy import Basis, Policy
from edge_sdk.core.terms import CROSS_BORDER
from edge_sdk.enrol import enrol
from edge_sdk.policy_file import find_policy, policy_text
from tests.examples.hosted import hosted
from tests.site import SITE, LocalSite, environ, reached

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
PATIENCE_S: Final = 180  # a hang, on the slowest machine
_LOUD: Final = (
    "import logging, runpy, sys; logging.basicConfig(level=1, stream=sys.stderr); "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


@dataclass(frozen=True)
class Run:
    """One run of an example: its counts, what else it printed, the rows that came of it."""

    counts: dict[str, int]
    printed: list[str]
    rows: list[OpenedRow]

    def of(self, purpose: str, kind: str) -> list[dict[str, Any]]:
        """Return the fields of the rows of one purpose and kind."""
        return [dict(row.fields) for row in self.rows if (row.purpose, row.kind) == (purpose, kind)]

    def one(self, purpose: str, kind: str) -> dict[str, Any]:
        """Return the fields of the last row of one purpose and kind; a window that ends meanwhile makes two alike."""
        *others, row = self.of(purpose, kind)
        assert all({**other, "energy": None} == {**row, "energy": None} for other in others if "energy" in row)
        return row


@dataclass
class House:
    """One site, its collector and the wire; what its commands printed and logged."""

    site: LocalSite
    policy: Policy
    relay: Relay
    said: list[str] = field(default_factory=list)

    def run(self, example: str, *arguments: str, code: int = 0) -> str:
        """Run an example in the folder of the site; return what it printed, without its log."""
        done = subprocess.run(
            [sys.executable, "-c", _LOUD, str(EXAMPLES / example), *arguments],
            cwd=self.site.folder, env=environ(), capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        self.said += [done.stdout, done.stderr]
        assert done.returncode == code, done.stderr
        return done.stdout

    def ask_everything(self) -> None:
        """Have the device tell all that it tells without opening a row: its status and its ledger."""
        for words in (["status"], ["status", "--openmetrics"], ["ledger", "show"]):
            told = StringIO()
            with redirect_stdout(told), redirect_stderr(told):
                assert main([*words, "--config", str(self.site.toml)]) == 0, told.getvalue()
            self.said.append(told.getvalue())

    def run_at(self, example: str, polls: int) -> Run:
        """Have an example poll so often and send everything; return what it counted, and the rows that it came to."""
        before = {(row.stream, row.seq) for row in self.opened()}
        counted, *more = self.run(example, "--polls", str(polls)).splitlines()
        counts = {what: int(number) for number, what in re.findall(r"(\d+) (\w+)", counted)}
        return Run(counts, more, [row for row in self.opened() if (row.stream, row.seq) not in before])

    def rows(self, purpose: str, kind: str) -> list[dict[str, Any]]:
        """Return the fields of the rows of one purpose and kind, in the order they were recorded."""
        return [dict(row.fields) for row in self.opened() if (row.purpose, row.kind) == (purpose, kind)]

    def opened(self) -> list[OpenedRow]:
        """Open what arrived; from here on the collector's folder holds rows too."""
        rows: list[OpenedRow] = self.site.rows()
        return sorted(rows, key=lambda row: (row.stream, row.seq))

    def exposed(self, *values: str) -> dict[str, Counter[str]]:
        """
        Return in which places any of *values* stands, in any form that gives it away.

        Places: the device's disk, the collector's without the rows an opener opened, the wire in both directions,
        everything printed and logged.
        """
        canaries = [Canary(value, (value,), nowhere=True) for value in values]
        places: dict[str, Iterable[bytes]] = {
            "device": contents(self.site.state),
            "collector": contents(self.site.collector, but=self.site.collector / "opener"),
            "wire": [*self.relay.sent, *self.relay.received],
            "said": [text.encode() for text in self.said],
        }
        found = {place: +search(held, canaries) for place, held in places.items()}
        return {place: hits for place, hits in found.items() if hits}


def declared(policy: Policy, purpose: str, kind: str) -> set[str]:
    """Return the fields that a row of one purpose and kind has by the policy."""
    view = next(view for view in policy.purposes[purpose].views if view.kind.name == kind)
    return {entry.field.name for entry in view.fields}


def views_of(policy: Policy, *, but: Collection[str] = ()) -> dict[tuple[str, str], set[str]]:
    """Return the fields of every view of a policy, by purpose and kind, *but* of some kinds."""
    return {
        (purpose.name, view.kind.name): {entry.field.name for entry in view.fields}
        for purpose in policy.purposes.values()
        for view in purpose.views
        if view.kind.name not in but
    }


@contextmanager
def housed(folder: Path, profile: str) -> Iterator[House]:
    """Lend a household under *profile*, every consent given, with its collector running."""
    shutil.copytree(_template(profile), folder / "house")
    site, said = LocalSite(folder / "house"), list[str]()
    with hosted(site.collector, _kept(said, folder.name)) as port, Relay(port) as relay:
        site.edit(('"http://127.0.0.1:9"', f'"http://127.0.0.1:{relay.port}"'))
        yield House(site, find_policy(profile), relay, said)


def _kept(said: list[str], name: str) -> logging.Logger:
    """Return a logger of the lowest level whose lines, with everything in their records, go to *said*."""

    def say(record: logging.LogRecord) -> bool:
        said.append(f"{record.getMessage()} {vars(record)}")
        return False

    keeper = logging.Handler()
    keeper.addFilter(say)
    logger = logging.getLogger(f"collector of {name}")
    logger.setLevel(1)
    logger.addHandler(keeper)
    return logger


@functools.cache
def _template(profile: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="edge-sdk-examples-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    policy = find_policy(profile)
    (folder / "policy.toml").write_text(policy_text(profile))
    (folder / "site.toml").write_text(SITE.replace("max_rows = 50", 'max_rows = 50\nsuite = "hpke-4-ke"'))
    granted = [purpose.name for purpose in policy.purposes.values() if purpose.basis is Basis.CONSENT]
    if any(asks_for_transfer(purpose) for purpose in policy.purposes.values()):
        granted.append(CROSS_BORDER)
    places = local_places(policy)
    founding = Founding([policy], "EU", Mechanism.NONE, granted, test=True, alg=ALG_HPKE_X25519, elsewhere=places)
    init_collector(folder / "collector", founding, now_s=wall_s(), draw=secrets.token_bytes)
    code = collecting.enrol_code(folder / "collector", now_s=wall_s())
    with reached(folder / "collector") as transport:
        asyncio.run(enrol(Config.read(folder / "site.toml"), code, transport))
    return folder
