"""
Anything at all in place of the agent's messages, under the address and UB sanitizers.

Two ways to the same target: a driver of its own, which needs no other compiler, and libFuzzer, which looks for inputs
that reach new code and begins with the messages of the vectors, in each phase of a connection.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.shim.building import ADDRESS, COMPILERS, build, run

TARGET = "fuzz_downlink.c"
LIBFUZZER = (*ADDRESS, "-fsanitize=fuzzer", "-DEDGE_LIBFUZZER")
RUNS = 10_000_000
LENGTH = 128  # of an input: messages down have at most 22 bytes, and time goes by the number of messages
VECTORS = Path(__file__).resolve().parents[1] / "vectors/shim_v1.json"


def seeds(folder: Path) -> Path:
    """Write the agent's messages of the vectors as inputs of the target, one for each phase."""
    down = [each for each in json.loads(VECTORS.read_text())["vectors"] if each["direction"] == "down"]
    for number, vector in enumerate(down):
        message = bytes.fromhex(vector["hex"])[:255]
        for phase in range(3):
            (folder / f"{number}-{phase}").write_bytes(bytes((phase, len(message))) + message)
    return folder


def test_the_downlink_takes_anything() -> None:
    run(build(COMPILERS[0], (TARGET,), ADDRESS), "200000", "1")


@pytest.mark.slow
def test_the_downlink_takes_ten_million_inputs() -> None:
    said = run(build(COMPILERS[0], (TARGET,), ADDRESS), str(RUNS), "2", timeout=1800).stdout
    print(said)
    assert said == f"{RUNS} runs\n"


@pytest.mark.slow
def test_the_downlink_takes_what_libfuzzer_finds(tmp_path: Path) -> None:
    if "clang" not in COMPILERS:
        pytest.skip("no clang here: on Debian, apt install clang libclang-rt-14-dev")
    program = build("clang", (TARGET,), LIBFUZZER)
    (tmp_path / "seeds").mkdir()
    limits = (f"-runs={RUNS}", "-seed=1", f"-max_len={LENGTH}", f"-artifact_prefix={tmp_path}/")
    said = run(program, *limits, seeds(tmp_path / "seeds"), timeout=3600).stderr
    print("\n".join(said.splitlines()[-2:]))
    assert int(re.findall(r"^Done (\d+) runs", said, re.MULTILINE)[0]) >= RUNS
