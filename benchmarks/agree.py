"""
``python -m benchmarks.agree FIRST.json SECOND.json``: whether two runs say the same, each ratio within a tenth.

Takes what ``python -m benchmarks`` or ``python -m benchmarks.compare`` wrote: ratios of processor time and of bytes,
medians of the rounds. Ends with 1 where one differs by more, so that no figure of a run is quoted that another of the
same machine does not bear out.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

WITHIN: Final = 0.10


def main() -> int:
    """
    Print both figures of each ratio, and their difference.
    """
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.agree", description=__doc__)
    arguments.add_argument("first", type=Path)
    arguments.add_argument("second", type=Path)
    chosen = arguments.parse_args()
    first, second = (json.loads(path.read_text()) for path in (chosen.first, chosen.second))
    print(first["head"], second["head"], sep="\n")
    if first["ratios"].keys() != second["ratios"].keys():
        sys.exit("the two runs are not of the same rows: run the same command twice")
    apart = 0
    for name, one in first["ratios"].items():
        other = second["ratios"][name]
        is_apart = abs(other / one - 1) > WITHIN
        apart += is_apart
        print(f"{name:52} {one:10.3f} {other:10.3f} {other / one - 1:+8.1%}{'  apart' if is_apart else ''}")
    print(f"{len(first['ratios']) - apart} of {len(first['ratios'])} agree within {WITHIN:.0%}")
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
