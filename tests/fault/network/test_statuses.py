"""
Every status code on every lane: none but a signature moves anything, and what waits is delivered by a good answer.

Lanes: batches, alarms wanted now, messages to the authority, downlink, recipients, root, time, the receipt of a wipe,
the enrolment. Each code comes bare, with a page that leads elsewhere, with Retry-After, and with noise; one after the
other, before the one thing that waits is let through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core.claims import Status
from edge_sdk.enrol import enrol
from edge_sdk.errors import EdgeError
from edge_sdk.http_transport import HttpTransport
from tests import site as sites
from tests.fault.network.misdeeds import PORTAL
from tests.fault.network.place import Account, Place, rule
from tests.fault.network.proxy import Proxy, proxying
from tests.fault.recorder import missing
from tests.fault.sweep import Report
from tests.gateway.test_told_authority import grants, waiting
from tests.gateway.test_wipe import deliver, names_in, point, wiped
from tests.site import LocalSite

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

Enter = Callable[[str, Report], None]
Rules = list[dict[str, Any]]
CODES: Final = (
    200, 201, 202, 203, 204, 205, 206, 207, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406,
    407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499,
    500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511, 520, 521, 522, 523, 524, 525, 526, 530, 599, 600, 799, 999,
)  # fmt: skip
SHORT: Final = (200, 302, 401, 404, 413, 422, 429, 503)
SHAPES: Final[dict[str, dict[str, Any]]] = {
    "bare": {},
    "page": {"body": PORTAL.decode(), "headers": ["Content-Type: text/html", "Location: http://127.0.0.1:9/"]},
    "retry": {"headers": ["Retry-After: 7"]},
    "noise": {"body": "\x84" + "\xff" * 400},
}
TRIED: Final = [
    pytest.param(SHORT, ("bare",), id="short"),
    pytest.param(CODES, tuple(SHAPES), id="all", marks=pytest.mark.slow),
]
EACH: Final = pytest.mark.parametrize(("codes", "shapes"), TRIED)


def answers(path: str, codes: tuple[int, ...], shapes: tuple[str, ...], *, but: tuple[int, ...] = ()) -> Rules:
    """Return each code in each shape, once, for requests of *path*."""
    wanted = [(code, SHAPES[shape]) for code in codes if code not in but for shape in shapes]
    return [rule("status", status=code, path=path, times=1, **shape) for code, shape in wanted]


def meet(place: Place, rules: Rules, want: Callable[[], None] = lambda: None) -> int:
    """Have the device meet every answer of *rules*, calling *want* before each look; return how many it met."""
    place.proxy.seen()
    place.proxy.rules(*rules)
    met = 0
    for _ in range(10 * len(rules) + 100):
        want()
        if not place.go():
            continue
        met += sum(request["fault"] == "status" for request in place.proxy.seen())
        if met == len(rules):
            return met
        place.wait(max(1.0, (place.device.uplink._not_before_ms - place.device.now.mono_ms) / 1000))
    raise AssertionError(f"only {met} of {len(rules)} answers were met")


def settle(place: Place, account: Account, enter: Enter, name: str) -> None:
    place.heal()
    place.check(account)
    enter(f"network, every status: {name}", account.report)


@pytest.mark.usefixtures("mended")
@EACH
def test_no_status_forgets_or_refuses_a_batch(
    place: Place, entered: Enter, codes: tuple[int, ...], shapes: tuple[str, ...]
) -> None:
    account = Account(recorded=place.record(3))
    before = [held.batch_id for held in place.device.queue()]
    account.tries = meet(place, answers("/v1/batches", codes, shapes))
    assert [held.batch_id for held in place.device.queue()][: len(before)] == before
    assert place.device.parts.line.rooms.outbox.aside() == []
    settle(place, account, entered, "batches")


def ask_downlink(place: Place) -> None:
    place.device.parts.line.consent._heard_mono_ms = None


def ask_recipients(place: Place) -> None:
    place.device.parts.line.consent.recipients = None


def ask_time(place: Place) -> None:
    place.device.uplink._asks_time = True


WANTED: Final = {"downlink": ask_downlink, "recipients": ask_recipients, "time": ask_time}


@pytest.mark.slow
@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("lane", WANTED)
@EACH
def test_no_status_in_place_of_a_document_loses_a_reading(
    place: Place, entered: Enter, lane: str, codes: tuple[int, ...], shapes: tuple[str, ...]
) -> None:
    account = Account(recorded=place.record(2))
    account.tries = meet(place, answers(f"/v1/{lane}", codes, shapes), lambda: WANTED[lane](place))
    settle(place, account, entered, lane)


@pytest.mark.slow
@pytest.mark.usefixtures("mended")
@EACH
def test_no_status_in_place_of_the_next_root_loses_a_reading(
    place: Place, entered: Enter, codes: tuple[int, ...], shapes: tuple[str, ...]
) -> None:
    account = Account(recorded=place.record(2))

    def ask_root() -> None:
        place.device.uplink._root_asked = -1

    rules = answers("/v1/root/2", codes, shapes)
    account.tries = meet(place, rules, ask_root)
    settle(place, account, entered, "root")


@pytest.mark.slow
@pytest.mark.usefixtures("mended")
@EACH
def test_a_withdrawal_is_told_whatever_is_answered_before(
    place: Place, entered: Enter, codes: tuple[int, ...], shapes: tuple[str, ...]
) -> None:
    account = Account(recorded=place.record(2))
    again = collecting.devices(place.site.collector)[0].generation
    collecting.grant(place.site.collector, again, "improvement", status=Status.GIVEN, now_s=place.device.now.wall_s)
    ask_downlink(place)
    place.drain()
    place.device.parts.line.withdraw("improvement", place.device.now)
    waited = waiting(place.device)
    assert waited
    account.tries = meet(place, answers("/v1/control", codes, shapes))
    assert waiting(place.device) == waited
    settle(place, account, entered, "messages to the authority")
    place.pass_hours(1)
    assert waiting(place.device) == 0
    with collecting.open_authority(place.site.collector) as authority:
        authority.upkeep(place.device.now.wall_s)
    assert grants(place.site, "improvement")[-1] == "withdrawn"


@pytest.fixture
def proxy(site: LocalSite, tmp_path: Path) -> Iterator[Proxy]:
    with sites.serving(site) as port, proxying(tmp_path, port) as proxy:
        yield proxy


@pytest.mark.slow
@EACH
def test_the_receipt_of_a_wipe_is_kept_until_it_is_signed_for(
    site: LocalSite, proxy: Proxy, entered: Enter, codes: tuple[int, ...], shapes: tuple[str, ...]
) -> None:
    receipt = wiped(site)
    point(site.state / "lane.0.bin", f"http://127.0.0.1:{proxy.port}")
    rules = answers("/v1/control", codes, tuple(shape for shape in shapes if shape != "retry"))
    proxy.rules(*rules)
    deliver(site, timeout_s=60)
    assert names_in(site.state) == {"lock"}
    assert [request["fault"] for request in proxy.seen() if request["path"] == "/v1/control"] == [
        *("status" for _ in rules),
        "honest",
    ]
    with collecting.open_authority(site.collector) as authority:
        authority.upkeep(wall_s())
    erasures = operating.endings(site.collector, now_s=wall_s()).erasures
    assert [erasure.receipt for erasure in erasures] == [receipt]
    entered("network, every status: receipt of a wipe", Report(len(rules), (), {}))


@pytest.mark.slow
@EACH
def test_a_claim_code_is_good_after_every_answer_that_is_none(
    site: LocalSite, proxy: Proxy, tmp_path: Path, entered: Enter, codes: tuple[int, ...], shapes: tuple[str, ...]
) -> None:
    code = collecting.enrol_code(site.collector, now_s=wall_s())
    (fresh := tmp_path / "fresh").mkdir()
    for name in ("site.toml", "policy.toml", "collector"):
        (fresh / name).symlink_to(site.folder / name)
    config = LocalSite(fresh).config
    rules = answers("/v1/enrol", codes, shapes)
    proxy.rules(*rules)

    async def introduce() -> int:
        transport = HttpTransport(f"http://127.0.0.1:{proxy.port}", timeout_ms=5_000)
        try:
            return await enrol(config, code, transport)
        finally:
            await transport.close()

    for _ in rules:
        with pytest.raises(EdgeError):
            asyncio.run(introduce())
    assert asyncio.run(introduce()) > 0
    assert len(collecting.devices(site.collector)) == 2
    entered("network, every status: enrolment", Report(len(rules), (), {}))
