"""
Open windows as a flush stores them: by column over all panes of a view, and read back as they were.

A flush stores every open window, so a number has to cost little: a column of numbers is packed in one go, in four
bytes each where all of them fit and eight where they do not, and a column that only says again how many readings there
were is left out. What is no number, or beyond 64 bits, stays a plain value. Panes are stored folded; when they were
opened is of this process and is not stored, where they end follows from the view.

Two older forms are read: an entry for each source, its numbers packed or not. Does not: fold, know what a slot means
(gathering), name sources (windows), encrypt or write (streams).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Any, Final, NamedTuple

from edge_sdk.core.gathering import OPENED, SLOTS, Pane, Slots, slot_count
from edge_sdk.core.policy import View

_FORM: Final = 1  # what a snapshot by column begins with; the older ones begin with a list
_LIMB: Final = 1 << 62
_PACKED_PARTS: Final = 3  # of an entry of the older form whose numbers are packed
_AGAIN, _OTHER = 0, 1  # how a column is stored that is like the first, and one that is not only numbers
_CODES: Final = {4: "i", 8: "q"}  # and the bytes of a number in one that is
_BEFORE_SLOTS: Final = 7  # what is carried is stored by places in a pane that held its slots behind seven others


Packed = list[tuple[list[Sequence[int]], Sequence[Slots], list[Any]]]
"""Columns of a view and the slots of its panes, and what was made of them."""


class KeptTrail(NamedTuple):
    """
    What a snapshot holds of one source: the panes are folded, the older first.

    Args:
        source: as it would leave, of the latest pane; None where the view does not show it or nothing is open.
    """

    tag: bytes
    source: str | bytes | None
    closed_until: int
    carry: Mapping[int, int]
    panes: Sequence[Pane]


def packed_trails(trails: Sequence[KeptTrail], packed: Packed | None = None) -> list[Any]:
    """
    Return *trails* as plain values, none where there are none.

    Args:
        packed: what other views' panes were packed to; those of a view that gathers the same are packed once.
    """
    if not trails:
        return []
    tags, sources, closed_until, carries, panes = zip(*trails, strict=True)
    starts, _, counts, partial, _, _, _, slots = zip(*chain(*panes), strict=True) if any(panes) else [()] * (SLOTS + 1)
    return [
        _FORM,
        b"".join(tags),
        list(sources),
        [_flat(carry) for carry in carries] if any(carries) else [],
        bytes(map(len, panes)),
        _packed_once([closed_until, tuple(map(len, tags))], (), packed),
        _packed_once([counts, starts, partial], slots, packed),
    ]


def whole_trails(view: View, stored: Sequence[Any]) -> list[KeptTrail]:
    """
    Return what a snapshot of *view* holds, of this form or an older one.
    """
    if not stored:
        return []
    if isinstance(stored[0], list):
        return [_entry(view, entry) for entry in stored]
    _, tags, sources, carries, heights, of_sources, of_panes = stored
    names, opened = iter(tags), iter(_panes(view, _unpacked(of_panes, sum(heights))))
    each = zip(
        sources, carries or repeat([], len(sources)), heights, *_unpacked(of_sources, len(sources)), strict=True
    )
    return [
        KeptTrail(bytes(islice(names, length)), source, until, _pairs(carry), list(islice(opened, height)))
        for source, carry, height, until, length in each
    ]


def _panes(view: View, columns: Sequence[Sequence[Any]]) -> list[Pane]:
    assert view.every_ms is not None
    every = view.every_ms
    rows = zip(*columns, strict=True)
    return [_pane([start, start + every, count, is_partial], slots) for count, start, is_partial, *slots in rows]


def _flat(carry: Mapping[int, int]) -> list[int]:
    return [part for slot, value in carry.items() for part in (_BEFORE_SLOTS + slot, value)]


def _pairs(flat: Sequence[int]) -> dict[int, int]:
    return {place - _BEFORE_SLOTS: value for place, value in zip(flat[::2], flat[1::2], strict=True)}


def _pane(head: Sequence[int], slots: Sequence[Any]) -> Pane:
    return [*head, 0, None, None, list(slots)]


def _packed_once(heads: list[Sequence[int]], slots: Sequence[Slots], packed: Packed | None) -> list[Any]:
    """
    Return columns packed. Views that share slots are told at once; what is folded into those later raises counts.
    """
    if packed is not None:
        for known, held, made in packed:
            if known == heads and held == slots:
                return made
    made = _packed([*heads, *zip(*slots, strict=True)])
    if packed is not None:
        packed.append((heads, slots, made))
    return made


def _packed(columns: Sequence[Sequence[Any]]) -> list[Any]:
    """
    Return columns of one height: how each is stored, those of numbers in one piece, and the others.

    One that is like the first is not repeated: of most means every reading had the value.
    """
    forms, numbers, others = bytearray(), [], []
    for at, column in enumerate(columns):
        if at and column == columns[0]:
            forms.append(_AGAIN)
            continue
        form, packed = _numbers(column)
        forms.append(form)
        if form == _OTHER:
            others.append(list(map(_split, column)))
        numbers.append(packed)
    return [bytes(forms), b"".join(numbers), others]


def _numbers(column: Sequence[Any]) -> tuple[int, bytes]:
    for width, code in _CODES.items():
        try:
            return width, struct.pack(f"<{len(column)}{code}", *column)
        except struct.error:
            continue  # beyond that many bytes, or no number: texts, or none yet
    return _OTHER, b""


def _unpacked(stored: Sequence[Any], height: int) -> list[Sequence[Any]]:
    forms, numbers, others = stored
    columns: list[Sequence[Any]] = []
    rest, at = iter(others), 0
    for form in forms:
        if form == _AGAIN:
            columns.append(columns[0])
        elif form == _OTHER:
            columns.append(list(map(_whole, next(rest))))
        else:
            columns.append(struct.unpack_from(f"<{height}{_CODES[form]}", numbers, at))
            at += form * height
    return columns


def _split(slot: Any) -> Any:
    """
    Return *slot* as a snapshot holds it: whole numbers of any size as (high, low), which no slot is otherwise.
    """
    return list(divmod(slot, _LIMB)) if isinstance(slot, int) and not -_LIMB <= slot < _LIMB else slot


def _whole(slot: Any) -> Any:
    return slot[0] * _LIMB + slot[1] if isinstance(slot, list) else slot


def _entry(view: View, stored: Sequence[Any]) -> KeptTrail:
    """
    Return one entry of an older form; a pane of it is ``[start_ms, end_ms, count, partial, *slots]``.
    """
    if len(stored) > _PACKED_PARTS:
        tag, source, closed_until, pairs, panes = stored
        carry = [*chain.from_iterable(pairs)]
        kept = [[_whole(part) for part in pane] for pane in panes]
    else:
        tag, source, packed = stored
        closed_until, carried, *numbers = struct.unpack(f"<{len(packed) // 8}q", packed)
        carry = numbers[: 2 * carried]
        width = OPENED + slot_count(view)
        kept = [numbers[at : at + width] for at in range(2 * carried, len(numbers), width)]
    return KeptTrail(tag, source, closed_until, _pairs(carry), [_pane(pane[:OPENED], pane[OPENED:]) for pane in kept])
