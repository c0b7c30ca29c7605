"""
Registers of 16 bits, as Modbus devices tell them, into numbers and letters.

Owns: which runs of registers to ask for, whether an answer is one, what its words say.
Rules: pure. What a library hands over as an answer is looked at before it is believed: some check neither how many
registers came nor what they are. A message names what was read, never what was found there.
Does not: know any device (sofar_g3, sunspec), scale, or talk to a bus (examples/ do, with a library each).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from edge_sdk.errors import Malformed

LAST: Final = 0xFFFF  # both the highest register and the highest value of one
_PRINTABLE: Final = range(0x20, 0x7F)


def runs(spans: Iterable[range], most: int) -> Iterator[range]:
    """
    Yield runs that cover *spans* and no register beside them, so that nothing is asked for that nobody may have.

    Args:
        most: how many registers one answer may hold; a span that is longer has a run of its own.
    """
    ordered = sorted({(span.start, span.stop) for span in spans})
    if not ordered:
        return
    first, end = ordered[0]
    for start, stop in ordered[1:]:
        if start <= end and stop - first <= most:
            end = max(end, stop)
        else:
            yield range(first, end)
            first, end = start, stop
    yield range(first, end)


def checked(answer: object, asked: range) -> dict[int, int]:
    """
    Return the registers of *answer* by number.

    Raises:
        Malformed: when it is not as many registers as were *asked* for.
    """
    if not isinstance(answer, list | tuple) or len(answer) != len(asked):
        raise Malformed("an answer of another number of registers")
    if not all(type(word) is int and 0 <= word <= LAST for word in answer):
        raise Malformed("an answer that is not of registers")
    return dict(zip(asked, answer, strict=True))


def number(registers: Mapping[int, int], span: range, *, signed: bool = False) -> int:
    """
    Return the whole number in *span*, its highest word first.
    """
    return int.from_bytes(_told(registers, span), "big", signed=signed)


def letters(registers: Mapping[int, int], span: range) -> str:
    """
    Return the text in *span*, up to the first zero, without blanks at its end.

    Raises:
        Malformed: when there is anything but printable ASCII in it: control characters would act on a terminal.
    """
    text = _told(registers, span).partition(b"\x00")[0].rstrip(b" ")
    bad = next((at for at, byte in enumerate(text) if byte not in _PRINTABLE), None)
    if bad is not None:
        raise Malformed("a text in registers", bad)
    return text.decode("ascii")


def _told(registers: Mapping[int, int], span: range) -> bytes:
    return b"".join(registers[register].to_bytes(2, "big") for register in span)
