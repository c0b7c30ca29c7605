"""
The shim against a scripted system: each case by itself, under the address and UB sanitizers.
"""

from __future__ import annotations

import pytest

from tests.shim.building import ADDRESS, COMPILERS, build_cases, names_in, run

SOURCES = ("cases_codes.c", "cases_line.c")


@pytest.mark.parametrize(("source", "case"), [(source, case) for source in SOURCES for case in names_in(source)])
def test_the_shim_holds_to(source: str, case: str) -> None:
    run(build_cases(source, COMPILERS[0], ADDRESS), case)


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS[1:])
@pytest.mark.parametrize("source", SOURCES)
def test_the_shim_holds_to_all_of_it_with(source: str, compiler: str) -> None:
    program = build_cases(source, compiler, ADDRESS)
    for case in names_in(source):
        run(program, case)
