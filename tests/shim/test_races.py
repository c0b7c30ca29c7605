"""
Threads that put while grants come and go: what was let in under a grant since ended never leaves, and all is counted.

Each promise is also planted wrong in the text of the shim, and must then be found.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shim.building import CASES, COMPILERS, PLAIN, SHIM, THREAD, build, run

RACES = "races.c"


def test_no_point_outlives_its_grant_whatever_the_threads_do() -> None:
    run(build(COMPILERS[0], (RACES,), PLAIN), "200000", "1")


def test_the_thread_sanitizer_finds_no_race() -> None:
    run(build(COMPILERS[-1], (RACES,), THREAD), "60000", "2")


@pytest.mark.slow
@pytest.mark.parametrize("flags", [PLAIN, THREAD], ids=["plain", "thread-sanitizer"])
def test_ten_million_puts_hold_to_it(flags: tuple[str, ...]) -> None:
    run(build(COMPILERS[0], (RACES,), flags), "10000000", "3", timeout=900)


PLANTED = {
    "the epoch is not looked at": ("(slot->meta_ ^ e->epoch_) >> EDGE_PURPOSES == 0 && ", ""),
    "the epoch never moves": ("e->epoch_ = epoch + EDGE_ALL_PURPOSES + 1u;", ";"),
    "a withdrawal leaves what is stored, and its epoch": (
        "	sweep(e, epoch, reason); /*",
        "	e->epoch_ = epoch; /*",
    ),
    "a drop is not counted": ("MARK(&e->stats_.dropped[reason], ", "((void)reason, "),
    "a put does not ask": ("	if (code != EDGE_OK)\n		goto dropped;\n", ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str, tmp_path: Path) -> None:
    right, wrong = PLANTED[planted]
    text = (SHIM / "edge_shim.c").read_text()
    assert text.count(right) == 1
    (tmp_path / "edge_shim.c").write_text(text.replace(right, wrong))
    program = tmp_path / "races"
    run(COMPILERS[0], "-std=c99", "-O2", f"-I{tmp_path}", f"-I{SHIM}", CASES / RACES, "-o", program, "-lpthread")
    found = [run(program, "1000000", str(seed), check=False).returncode for seed in range(1, 4)]
    assert any(found)
