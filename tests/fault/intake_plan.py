"""
What the recorded collector is asked to do, and every batch by value.

A place has the folder ``state`` (the collector) and ``plan.json``: batch N is sealed once, with N + 1 as the power of
its only row, and its requests carry the tag of each day on which it may be sent.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

from edge_sdk.collector.intake import BATCHES_PATH, Answer, Request
from edge_sdk.core import keys
from edge_sdk.core.documents import Root, pinned_root
from edge_sdk.core.receipt import Kind, judge
from tests.collector.household import DAY_S, NOW_S, policy
from tests.collector.town import digest, town

BATCHES: Final = 14
DAYS: Final = (0, 1, 95)  # the last is beyond the 90 days for which an id is remembered
END_S: Final = NOW_S + DAYS[-1] * DAY_S


class Do(Enum):
    """
    What a step does.
    """

    TAKE = auto()
    UPKEEP = auto()
    OPEN = auto()
    GRANT = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """
    One step, its time in Unix seconds, and for TAKE which batch.
    """

    do: Do
    now_s: int
    batch: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The batches of one household, sealed.
    """

    root: Root
    generation: bytes
    bodies: tuple[bytes, ...]
    ids: tuple[bytes, ...]
    headers: dict[tuple[int, int], str]

    @property
    def steps(self) -> Sequence[Step]:
        """
        Take, open, publish, take again, and prune when the first are old: those not opened by then must stay.
        """
        first, second, third = (NOW_S + day * DAY_S for day in DAYS)
        return [
            Step(Do.UPKEEP, first),
            *(Step(Do.TAKE, first, batch) for batch in (0, 1, 2, 1, 3, 4)),
            Step(Do.OPEN, first),
            *(Step(Do.TAKE, first, batch) for batch in (5, 2, 6)),
            Step(Do.UPKEEP, second),
            *(Step(Do.TAKE, second, batch) for batch in (7, 8)),
            Step(Do.GRANT, second),
            Step(Do.TAKE, second, 9),
            Step(Do.UPKEEP, third),
            *(Step(Do.TAKE, third, batch) for batch in (10, 11)),
            Step(Do.OPEN, third),
            *(Step(Do.TAKE, third, batch) for batch in (12, 13)),
        ]

    def request(self, batch: int, now_s: int) -> Request:
        """
        Return the request that brings *batch* at *now_s*.
        """
        header = self.headers[batch, keys.epoch_of(now_s)]
        return Request("POST", BATCHES_PATH, header, self.bodies[batch])

    def is_receipt(self, batch: int, answer: Answer) -> bool:
        """
        Tell whether a device forgets *batch* for *answer*.
        """
        sha = digest(self.bodies[batch])
        outcome = judge(answer.status, answer.body, root=self.root, batch_id=self.ids[batch], body_sha256=sha)
        return outcome.kind is Kind.ACKED

    @classmethod
    def read(cls, place: Path) -> Plan:
        """
        Return the plan in *place*.
        """
        kept = json.loads((place / "plan.json").read_text())
        return cls(
            root=pinned_root(bytes.fromhex(kept["root"])),
            generation=bytes.fromhex(kept["generation"]),
            bodies=tuple(bytes.fromhex(body) for body in kept["bodies"]),
            ids=tuple(bytes.fromhex(each) for each in kept["ids"]),
            headers={(batch, epoch): header for batch, epoch, header in kept["headers"]},
        )


def make_place(place: Path) -> None:
    """
    Found a collector in the new folder *place*, enrol one household, and seal its batches.
    """
    place.mkdir()
    founded = town(place / "state")
    home = founded.enrol()
    monitoring = policy().purposes["monitoring"]
    stream = home.stream(monitoring, NOW_S)
    names = [item.field.name for item in monitoring.views[0].fields]
    ids, bodies, headers = [], [], []
    for batch in range(BATCHES):
        row = {"ac_power": batch + 1, "energy": batch, "serial": "408000123456"}
        batch_id = secrets.token_bytes(16)
        rows = [(NOW_S * 1000 + batch, *(row[name] for name in names))]
        body = home.batch(monitoring, stream, rows, batch_id=batch_id)
        ids.append(batch_id.hex())
        bodies.append(body.hex())
        for day in DAYS:
            now_s = NOW_S + day * DAY_S
            header = home.request("POST", BATCHES_PATH, body, now_s).authorization
            headers.append((batch, keys.epoch_of(now_s), header))
    written = {
        "root": (founded.root(1) or b"").hex(), "generation": home.generation.hex(), "ids": ids, "bodies": bodies,
        "headers": headers,
    }  # fmt: skip
    (place / "plan.json").write_text(json.dumps(written))
