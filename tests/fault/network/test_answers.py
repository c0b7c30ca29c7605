"""
A network that delays, cuts, repeats, changes and invents: what was sealed arrives, once, when it is good again.

The proxy is a process of its own, and so is the collector; sockets are real, hours are simulated. During a fault the
requests are counted at the proxy, and none may come that no back-off explains.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.fault.network.place import Account, Place, rule, times_asked
from tests.fault.recorder import missing
from tests.fault.sweep import Report

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.usefixtures("mended")]

Enter = Callable[[str, Report], None]
HOUR_S = 3600
BATCHES = {"path": "/v1/batches"}

# What answers at once, so that many tries take no time: name, rule.
QUICK: dict[str, dict[str, Any]] = {
    "connection lost before the collector": rule("lost_before"),
    "connection lost after the collector": rule("lost_after"),
    "reset while it is sent": rule("reset_in_request"),
    "reset while it is answered": rule("reset_in_answer"),
    "answer cut in its body": rule("truncated"),
    "answer cut in its head": rule("truncated_head"),
    "answer of 8 MiB": rule("oversized"),
    "answer without end": rule("endless"),
    "head without end": rule("endless_head"),
    "gzip bomb of 512 MiB": rule("gzip_bomb"),
    "captive portal, 200 with a page": rule("portal"),
    "captive portal, 302 with a page": rule("redirect", status=302, to="http://127.0.0.1:9/login"),
    "captive portal, 511": rule("status", status=511, body="<html>log in</html>"),
    "413 to everything": rule("status", status=413),
    "404 to everything": rule("status", status=404),
    "204 to everything": rule("empty"),
    "stored, and answered without a receipt": rule("swallowed"),
    "a bit changed on the way there": rule("flipped_request"),
    "a bit changed on the way back": rule("flipped_answer"),
    "half a request handed on": rule("cut_request"),
    "Authorization taken out": rule("nameless"),
    "another protocol": rule("no_http"),
    "HTTP/2": rule("no_http", bytes="\0\0\x12\x04\0\0\0\0\0"),
    "HTTP/0.9": rule("no_http", bytes="<html>log in</html>"),
    "a switch of protocols": rule("status", status=101),
}
# What only a timeout ends.
HANGING: dict[str, dict[str, Any]] = {
    "never answered, and not stored": rule("black_hole"),
    "never answered, and stored": rule("half_open"),
    "half-closed in its answer": rule("half_closed"),
    "a byte of head at a time": rule("slow_head"),
    "a byte of body at a time": rule("slow_body"),
    "answered too late": rule("late"),
    "1xx without end": rule("flood"),
}
# What a device gets through while it lasts.
PASSED: dict[str, dict[str, Any]] = {
    "latency": rule("latency"),
    "1xx before the answer": rule("hinted"),
    "handed on twice": rule("twice"),
    "an answer too many": rule("two_answers"),
    "closed between two requests": rule("kept_then_cut"),
    "one connection in three lost": rule("lost_after", chance=0.33),
}
UNANSWERED = {"lost_before", "lost_after", "reset_in_request", "reset_in_answer"}
A_DAY = [
    "connection lost before the collector", "stored, and answered without a receipt", "a bit changed on the way back",
    "Authorization taken out", "captive portal, 200 with a page", "404 to everything",
]  # fmt: skip
SHORT = {
    "connection lost after the collector", "gzip bomb of 512 MiB", "413 to everything", "a bit changed on the way back",
}  # fmt: skip


def cases(faults: dict[str, dict[str, Any]]) -> list[Any]:
    return [pytest.param(name, marks=() if name in SHORT else pytest.mark.slow) for name in faults]


def weather(place: Place, fault: dict[str, Any], *, hours: float) -> tuple[Account, int]:
    """Record, and let the fault last; return what was recorded and how many requests came that count."""
    account = Account(recorded=place.record(3, batches=2))
    place.proxy.rules(fault)
    place.proxy.seen()
    place.pass_hours(hours)
    seen = place.proxy.seen()
    account.tries = len(seen)
    return account, backed_off(seen)


def backed_off(seen: list[dict[str, Any]]) -> int:
    """
    Return how many requests a back-off has to explain.

    A failure may be followed at once by one request for a newer root or the time, to learn what might mend it. And
    aiohttp asks a second time, at once, where the connection of a GET is lost without an answer.
    """
    asked = [request for request in seen if not request["path"].startswith(("/v1/root", "/v1/time"))]
    assert len(seen) <= 2 * len(asked) + 1
    again = sum(request["path"] == "/v1/downlink" and request["fault"] in UNANSWERED for request in asked) // 2
    return len(asked) - again


@pytest.mark.parametrize("name", cases(QUICK))
def test_after_an_hour_of_bad_answers_every_reading_is_there_once(place: Place, entered: Enter, name: str) -> None:
    account, asked = weather(place, QUICK[name], hours=1)
    assert 3 < asked <= times_asked(HOUR_S)
    place.heal()
    place.check(account)
    entered(f"network, {name}", account.report)


@pytest.mark.parametrize("name", cases(HANGING))
def test_what_is_never_answered_is_asked_again_ever_more_rarely(place: Place, entered: Enter, name: str) -> None:
    account = Account(recorded=place.record(3, batches=2), tries=3)
    place.proxy.rules(HANGING[name])
    place.proxy.seen()
    place.suffer(account.tries)
    assert len(place.proxy.seen()) <= account.tries + 1, "one request a try, and perhaps the stale connection's"
    place.heal()
    place.check(account)
    entered(f"network, {name}", account.report)


@pytest.mark.parametrize("name", cases(PASSED))
def test_what_delays_and_repeats_is_got_through(place: Place, entered: Enter, name: str) -> None:
    account = Account(recorded=place.record(3, batches=6))
    place.proxy.rules(PASSED[name])
    place.proxy.seen()
    place.drain()
    account.tries = len(place.proxy.seen())
    place.check(account)
    place.heal()
    entered(f"network, {name}", account.report)


@pytest.mark.slow
@pytest.mark.parametrize("name", A_DAY)
def test_a_day_of_bad_answers_is_asked_through_at_the_back_off_and_no_faster(
    place: Place, entered: Enter, name: str
) -> None:
    account, asked = weather(place, QUICK[name], hours=24)
    assert asked <= times_asked(24 * HOUR_S)
    place.heal()
    place.check(account)
    entered(f"network, a day: {name}", account.report)


@pytest.mark.slow
def test_a_request_that_arrives_long_after_its_repetition_is_stored_once(place: Place, entered: Enter) -> None:
    account = Account(recorded=place.record(3, batches=3), tries=3)
    place.proxy.rules(rule("again_later", times=3, **BATCHES))
    place.suffer(3)
    place.heal()
    time.sleep(0.5)  # the proxy hands its copies on by then
    place.check(account)
    entered("network, a request that comes late", account.report)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/v1/batches"], ids=["everything", "batches"])
def test_a_proxy_that_answers_413_for_a_week_costs_patience_and_nothing_else(
    place: Place, entered: Enter, path: str
) -> None:
    account = Account()
    place.proxy.rules(rule("status", status=413, path=path, body="<html>too large</html>"))
    place.proxy.seen()
    for _ in range(7 * 24):
        account.recorded += place.record(2)
        place.pass_hours(1, step_s=300)
    seen = place.proxy.seen()
    account.tries = len(seen)
    assert backed_off(seen) <= times_asked(7 * 24 * HOUR_S)
    assert place.device.parts.line.rooms.outbox.aside() == []
    place.heal()
    place.check(account)
    entered(f"network, a week of 413 to {path}", account.report)


@pytest.mark.slow
def test_weather_of_every_kind_at_once_delays_and_loses_nothing(place: Place, entered: Enter) -> None:
    account = Account()
    faults = [*QUICK.values(), *PASSED.values(), HANGING["never answered, and stored"]]
    place.proxy.rules(*({**fault, "chance": 0.03} for fault in faults))
    place.proxy.seen()
    for _ in range(24):
        account.recorded += place.record(2)
        place.pass_hours(1, step_s=60)
    account.tries = len(place.proxy.seen())
    place.heal()
    place.check(account)
    entered("network, all of them by chance", account.report)


@pytest.fixture
def elsewhere() -> Any:
    """A host that nobody has any reason to speak to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def test_a_redirect_leads_nowhere(place: Place, entered: Enter, elsewhere: socket.socket) -> None:
    account = Account(recorded=place.record(2))
    to = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
    for status in (300, 301, 302, 303, 305, 307, 308):
        place.proxy.rules(rule("redirect", status=status, to=to))
        place.suffer(2)
        account.tries += 2
    with pytest.raises(BlockingIOError):
        elsewhere.accept()
    place.heal()
    place.check(account)
    entered("network, redirects", account.report)
