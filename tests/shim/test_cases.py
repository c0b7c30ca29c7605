"""
The shim against a scripted system: each case by itself, with each compiler, under the address and UB sanitizers.
"""

from __future__ import annotations

import pytest

from tests.shim.building import ADDRESS, COMPILERS, build_cases, names_in, run

SOURCES = ("cases_codes.c", "cases_line.c")


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("source", "case"), [(source, case) for source in SOURCES for case in names_in(source)])
def test_the_shim_holds_to(source: str, case: str, compiler: str) -> None:
    run(build_cases(source, compiler, ADDRESS), case)
