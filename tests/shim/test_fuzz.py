"""
Anything at all in place of the agent's messages, under the address and UB sanitizers.
"""

from __future__ import annotations

import pytest

from tests.shim.building import ADDRESS, COMPILERS, build, run

TARGET = "fuzz_downlink.c"
LIBFUZZER = (*ADDRESS, "-fsanitize=fuzzer", "-DEDGE_LIBFUZZER")


def test_the_downlink_takes_anything() -> None:
    run(build(COMPILERS[0], (TARGET,), ADDRESS), "200000", "1")


@pytest.mark.slow
def test_the_downlink_takes_ten_million_inputs() -> None:
    run(build(COMPILERS[0], (TARGET,), ADDRESS), "10000000", "2", timeout=900)


@pytest.mark.slow
def test_the_downlink_takes_what_libfuzzer_finds() -> None:
    if "clang" not in COMPILERS:
        pytest.skip("no clang here: on Debian, apt install clang libclang-rt-14-dev")
    run(build("clang", (TARGET,), LIBFUZZER), "-runs=10000000", "-seed=1", "-print_final_stats=0", timeout=1800)
