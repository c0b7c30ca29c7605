"""
A medium that refuses while something ends: a withdrawal on the device, the replacement of keys, a change of policy.

Any one call of these acts fails, or all for a while, or all from then on. The act is then done, or it is not and the
program was told so by an error; asked again, in the same process or at the next start, it is done. What a flush
returned for arrives once, nothing is collected without consent, and the authority is told of a withdrawal.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.fault.calllog import Kind
from tests.fault.line_check import check
from tests.fault.line_sabotage import DEAF
from tests.fault.line_script import killer
from tests.fault.recorder import missing
from tests.fault.sweep import stride
from tests.fault.test_line import Recorded, run_once
from tests.fault.test_line_refused import ALWAYS, WAYS, Enter, Refusal, swept

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

# The mark before the act, and the one after it: the flush that follows is in it.
ACTS: Final = {
    "withdrawal": ("withdrawing 10", "flushed 12"),
    "replacement": ("flushed 20", "flushed 24"),
    "policy": ("stopped", "flushed 13"),
}
SAMPLE: Final = 97
PARTS: Final = 3  # each well below what a hanging test is given
# Each call with one of the ways in turn; FULL=1 tries each in each way.
IN_ALL_WAYS: Final = stride(2) == 1


def window(good: Recorded, first: str, last: str) -> range:
    """Return the numbers of the calls between the first such mark and the first such mark after it."""
    number, begun = 0, 0
    for call in good.recording.calls:
        number += call.counted
        text = call.octets.decode() if call.kind is Kind.MARK else ""
        begun = number + 1 if not begun and text.startswith(first) else begun
        if begun and text.startswith(last):
            return range(begun, number + 1)
    raise AssertionError(f"no call between {first} and {last}")


def refusals(good: Recorded, *, every: int, first: int = 0) -> Iterator[Refusal]:
    for turn, call in enumerate(window(good, *ACTS[good.run])[first::every]):
        ways = WAYS if IN_ALL_WAYS and every == PARTS else [WAYS[(turn + first) % len(WAYS)]]
        yield from (Refusal(call, error, count) for error, count in ways)


def test_a_withdrawal_and_midnight_replace_the_root_key_where_calls_are_refused(act: Recorded) -> None:
    counted = [call.text for call in act.recording.calls if call.counted]
    replaced = sum("root.key" in counted[number - 1] for number in window(act, *ACTS[act.run]))
    assert (replaced > 0) is (act.run != "policy")


@pytest.fixture(scope="module", params=ACTS)
def act(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return run_once(tmp_path_factory.mktemp(request.param), run=request.param)


def test_an_act_in_the_sample_is_done_or_said_not_to_be(act: Recorded, entered: Enter) -> None:
    report = swept(act, lambda: refusals(act, every=SAMPLE))
    entered(f"{act.run}, medium refuses (sample)", report)
    assert report.checked
    assert not report.violations, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_an_act_that_the_medium_refuses_is_done_or_said_not_to_be(act: Recorded, entered: Enter, part: int) -> None:
    report = swept(act, lambda: refusals(act, every=PARTS, first=part))
    entered(f"{act.run}, medium refuses", report)
    assert report.checked
    assert not report.violations, str(report)


# What each gets wrong shows where the medium refuses this: the run, the calls from one mark on, the way.
SHOWS: Final = {
    "a refused flush is swallowed": ("replacement", "flushed 10", "flushed 14", errno.EIO, ALWAYS),
    "a grant is in force before it is stored": ("whole", "granting", "granted", errno.EIO, 1),
    "a refused denial is in memory alone": ("withdrawal", "withdrawing", "withdrawn", errno.EIO, 24),
}


# The others take longer to show; all are slow but one.
QUICK: Final = "a refused flush is swallowed"


@pytest.mark.parametrize(
    "sabotage", [QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in DEAF if name != QUICK)]
)
def test_a_line_that_does_not_hear_a_refusal_is_caught(tmp_path: Path, sabotage: str) -> None:
    run, first, last, error, count = SHOWS[sabotage]
    good = run_once(tmp_path / "good", run=run)
    deaf = killer(run=run, sabotage=sabotage)
    try:
        for call in window(good, first, last):
            place = shutil.copytree(good.place, tmp_path / str(call))
            marks = deaf.refuse(place, Refusal(call, error, count).fault)
            try:
                check(place, place / "state", place / "collector", marks, point=call, run=run)
            except AssertionError:
                return  # one broken promise is enough
    finally:
        deaf.close()
    pytest.fail("nothing was lost, and nothing taken without consent")
