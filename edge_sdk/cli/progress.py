"""
How long work shows itself: a bar on a terminal, a line now and then elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINES = 10  # plain lines for one piece of work, at most


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """
    Lend a function that is told how much is done.

    Args:
        what: the work, as shown.
        total: how much there is to do.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, completed=done)
        return
    told = 0

    def tell(done: int) -> None:
        nonlocal told
        step = LINES * done // total if total else LINES
        if step > told:
            told = step
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    yield tell
