"""
For the program under test: say in the recorder's log what has just been promised.

On the child's import path whenever ``recorder.run`` starts it; a no-op outside of the recorder. Imports
nothing but ctypes, so that importing it changes no file.
"""

from __future__ import annotations

import ctypes


def mark(text: str) -> None:
    """
    Put *text* into the log between the last disk-changing call and the next one.

    A mark is not counted as a call, so marks never move a kill point.
    """
    stamp = getattr(ctypes.CDLL(None), "edge_fault_mark", None)
    if stamp is not None:
        promise = text.encode()
        stamp(promise, ctypes.c_size_t(len(promise)))
