"""
The examples against the real agent: from a C call to opened rows at the collector, by value.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.shim.building import SHIM, run
from tests.shim.plant import EXAMPLES, agent_of, compile_example, delivered, header, site_in

READINGS = 25


def row(serial: str, power: float, energy: int, *, online: str = "True") -> tuple[str, ...]:
    return (serial, f"{power:.1f}", str(energy), online)


EXPECTED = {
    "poll_loop.c": [
        row(serial, 231.5 + number + tick, 4211 + tick)
        for tick in range(READINGS)
        for number, serial in enumerate(("408000123456", "408000123457"))
    ],
    "realtime_thread.c": [row("408000777777", 100.5 + tick, 9000 + tick, online="None") for tick in range(READINGS)],
    "cpp_wrapper.cc": [row("408000999999", 50.5 + tick, 7000 + tick) for tick in range(READINGS)],
}


@pytest.mark.parametrize("example", EXPECTED)
def test_what_an_example_puts_is_what_the_collector_opens(example: str, tmp_path: Path) -> None:
    site = site_in(tmp_path)
    program = compile_example(example, header(site), tmp_path)
    with agent_of(tmp_path, site) as house:
        said = run(program, house.socket, "test", str(READINGS), "20").stdout
        assert house.stop()[0] == 0
    stored, sent = map(int, re.findall(r"\d+", said)[:2])
    assert stored == sent == sum(len(set(each) - {"None"}) - 1 for each in EXPECTED[example])
    assert delivered(site) == sorted(EXPECTED[example])


@pytest.mark.slow
def test_an_example_whom_the_agent_refuses_says_so_and_fails(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    program = compile_example("poll_loop.c", header(site), tmp_path)
    with agent_of(tmp_path, site) as house:
        done = run(program, house.socket, "another-site", "1", "1", check=False)
    assert (done.returncode, done.stdout) == (1, "stored 0 sent 0 denied 0 full 0\n")
    assert "edge_pump answered -14; edge_shim.h says what it means\n" in done.stderr


def test_the_examples_are_what_the_readme_says() -> None:
    named = set(re.findall(r"examples/(\w+\.\w+)", (SHIM / "README.md").read_text()))
    assert named == {path.name for path in EXAMPLES.iterdir()} == set(EXPECTED)
