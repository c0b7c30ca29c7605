"""
``make test-fuzz``: bytes that atheris makes up, against everything that takes bytes from outside.

The first byte of an input says who takes the rest (``taking.ALL``, in its order). Begins with ``taking.seeds`` and with
what is in ``found/``: inputs that once showed a fault.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["edge_sdk.core", "edge_sdk.sources", "edge_sdk.collector.intake"]):
    from tests.fuzz.taking import ALL, LENGTH, refuses_or_returns, seeds

FOUND = Path(__file__).with_name("found")
NAMES = list(ALL)
TELL_EVERY = 100_000


def main() -> None:
    """Run with the arguments of libFuzzer, and say now and then how often each was asked."""
    asked: Counter[str] = Counter()

    def feed(data: bytes) -> None:
        if data:
            name = NAMES[data[0] % len(NAMES)]
            asked[name] += 1
            if asked.total() % TELL_EVERY == 0:
                print(f"asked {dict(asked.most_common())}", file=sys.stderr, flush=True)
            refuses_or_returns(ALL[name], data[1:])

    with TemporaryDirectory() as folder:
        for number, (name, message) in enumerate(seeds()):
            (Path(folder) / str(number)).write_bytes(bytes([NAMES.index(name)]) + message[: LENGTH - 1])
        corpora = [folder, *map(str, [FOUND] if FOUND.is_dir() else [])]
        atheris.Setup([*sys.argv, f"-max_len={LENGTH}", "-timeout=20", *corpora], feed)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
