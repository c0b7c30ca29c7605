"""
Thirty days without a network, and a quota that holds less: what counts least goes first, the oldest of it before the
newer, each with its gap; everything else is delivered when the network is back, and nobody misses anything unexplained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from edge_sdk.collector import folder as collecting
from edge_sdk.core.batch import Reason
from edge_sdk.outbox import Held
from edge_sdk.streams import Stream
from tests.fault.network.place import Place, settled, times_asked
from tests.fault.recorder import missing
from tests.fault.sweep import Report
from tests.inverter import ENERGY, STATE, head, power
from tests.site import CANARY, reading

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

Enter = Callable[[str, Report], None]
STEP_S: Final = 1800
DAY_S: Final = 86_400
IMPORTANCE: Final = {"billing": 30, "service": 10, "study": 1}
HEAD: Final = head("away", power("power"), ENERGY, STATE)
PURPOSE: Final = """
[purposes.{name}]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
importance = {importance}
keep_at_most = "90d"
[purposes.{name}.views.inverter.fields]
serial = "keep"
energy = "keep"
"""
POLICY: Final = HEAD + "".join(PURPOSE.format(name=name, importance=IMPORTANCE[name]) for name in IMPORTANCE)


@dataclass
class Away:
    """A household without a network: what it recorded, and what the quota took."""

    place: Place
    recorded: int = 0
    lose: Callable[..., None] = lambda *_, **__: None
    taken: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in IMPORTANCE})

    def __post_init__(self) -> None:
        queueing = self.place.device.parts.line.queueing
        self.lose, queueing._lose = queueing._lose, self._lost

    def queues(self) -> dict[int, tuple[str, Held]]:
        """Return what waits, by number, with its purpose."""
        line = self.place.device.parts.line
        return {
            held.id: (line.binding.streams[row].record.purpose, held)
            for row, queue in line.rooms.outbox.queues.items()
            for held in queue.values()
        }

    def live(self, days: float) -> None:
        """Let days pass: a reading each half an hour, and tries as the uplink says."""
        device = self.place.device
        for _ in range(int(days * DAY_S / STEP_S)):
            assert device.parts.line.recording.record("inverter", reading(self.recorded), device.now.wall_ms) == 3
            self.recorded += 1
            while not self.place.go():
                pass
            self.place.wait(STEP_S)

    def come_back(self) -> None:
        """Let hours pass on a good network until all is delivered."""
        self.place.proxy.connections("serve")
        for _ in range(60):
            while not self.place.go():
                pass
            if not self.place.device.queue():
                return
            self.place.wait(STEP_S)
        raise AssertionError("not delivered")

    def _lost(self, stream: Stream, held: Held, reason: Reason, *, keep: bool) -> None:
        """Look at a batch that the queue lets go: of what counts least it is the oldest there is."""
        least = min(self.queues().values(), key=lambda one: (IMPORTANCE[one[0]], one[1].id))
        assert (reason, least) == (Reason.QUOTA, (stream.record.purpose, held))
        self.taken[stream.record.purpose] |= set(range(held.first, held.last + 1))
        self.lose(stream, held, reason, keep=keep)


@pytest.mark.slow
@pytest.mark.parametrize(("days", "quota_kb"), [(30, 2000)])
def test_what_a_quota_takes_in_days_offline_is_told_and_the_rest_arrives(
    tmp_path: Path, entered: Enter, days: float, quota_kb: int
) -> None:
    with settled(tmp_path, policy=POLICY, outbox=f'quota = "{quota_kb} KB"') as place:
        away = Away(place)
        place.proxy.connections("refuse")
        place.proxy.accepted()
        away.live(days)
        asked = place.proxy.accepted()
        assert days < asked <= 2 * times_asked(days * DAY_S), "a downlink whose connection is lost is asked for twice"
        assert place.device.parts.line.rooms.outbox.held_bytes() <= 1000 * quota_kb
        assert away.taken["study"], "the quota took something"
        assert not away.taken["billing"], "and nothing of what counts most"
        queued = len(place.device.queue())
        away.come_back()
        away.live(2 * STEP_S / DAY_S)
        place.device.parts.line.step(place.device.now, flush=True, close=True)
        away.come_back()
        sent = sum(request["path"] == "/v1/batches" for request in place.proxy.seen())
        assert sent <= queued + 2 * len(IMPORTANCE), "each batch is sent once"
        rows = place.rows()
        gaps = collecting.opener_report(place.site.collector).gaps
        told: set[tuple[bytes, int]] = set()
        for gap in gaps:
            assert (gap.reason.name, gap.first is not None, gap.last is not None) == ("QUOTA", True, True)
            told |= {(gap.stream, seq) for seq in range(gap.first, gap.last + 1)}
        delivered = counted = 0
        for purpose, taken in away.taken.items():
            mine = [row for row in rows if row.purpose == purpose]
            (stream,) = {row.stream for row in mine}
            assert [(row.seq, int(str(row.fields["energy"]))) for row in sorted(mine, key=lambda row: row.seq)] == [
                (number, number) for number in range(away.recorded) if number not in taken
            ]
            assert {seq for where, seq in told if where == stream} == taken
            delivered += len(mine)
            counted += len(taken)
        assert CANARY.encode() not in place.proxy.said()
        counts = {"produced": 3 * away.recorded, "delivered": delivered, "counted": counted}
        assert delivered + counted == counts["produced"]
        entered(f"network, {days:g} days offline, quota of {quota_kb} KB", Report(asked, (), counts))
