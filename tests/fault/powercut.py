"""
Every folder a power cut could have left behind a recorded run.

The model, in the words of disk.py. After each counted call the power may go. What is then on the medium:

1. Durable things, always. ``fsync``/``fdatasync`` of a file: its bytes and size at that moment (``fsync``
   its mode too). ``fsync`` of a folder: every name made, moved or taken away in it until then. Nothing else
   makes anything durable: not ``close``, not time, not ``sync_file_range``; not ``fsync`` of a new file its
   name (ext4 would keep that too; POSIX does not say so, and a program that passes here relies on neither).
2. Of the rest - ``changes`` of files and ``namings`` in folders since their last sync - any part. So a name
   may be there without the bytes (an empty file, a stale one after a rename) and the bytes without the name
   (then they are lost). A rename is atomic. A write may be torn at a multiple of 512 bytes of the file, or
   miss a page of 4096; bytes beside a write are never harmed (SQLite's "powersafe overwrite"). Later changes
   may be kept without earlier ones.

Per point these choices are made, each folder once:

``all``      everything, as a kill leaves it
``none``     only what is durable
``names``    all namings, no change
``changes``  all changes, no naming
``sizes``    all namings; files have their new size, but zeros for bytes that never came
``n of m``   where at most ``exhaustive`` things are not durable: every part of them; otherwise ``samples``
             each of: one thing missing, one change alone, the first few of each list, a coin toss for each
``torn``     the last write cut at a 512- and at a 4096-byte boundary (by seed): only what is before it, only
             what is behind it; all of it but one page from its middle

Not in the model: a medium that lies about syncs, bit rot, metadata that a journal would keep in order across
folders. One state is given once per set of promises: the same folder is given again after a later mark,
because there it has more to answer for. The choice is a function of calls, folder and seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .calllog import Call, Kind
from .disk import Blind, Disk
from .folder import FolderState, differences
from .nodes import Change, Naming, Resized, Written

__all__ = ["Blind", "check_end", "replay", "states"]

SECTOR_BYTES: Final = 512
PAGE_BYTES: Final = 4096

_Choice = tuple[str, Sequence[Naming], Sequence[Change]]


def states(
    calls: Iterable[Call], initial: FolderState, *, seed: int = 0, exhaustive: int = 4, samples: int = 2
) -> Iterator[FolderState]:
    """
    Yield each folder that a power cut during *calls* could leave, in the order of the run.

    Args:
        initial: the folder before the first call, taken to be durable.
        exhaustive: up to so many things that are not durable, every part of them is tried (2**n states).
        samples: how many choices of each kind are drawn beyond that.

    Raises:
        Blind: the log is not enough to tell; nothing may be concluded.
    """
    disk, marks, seen = Disk(initial), [*initial.marks], set[tuple[bytes, int]]()
    point, after = 0, "the start"
    for call in [*calls, None]:
        if call is not None and call.kind is Kind.MARK:
            marks.append(call.octets.decode())
            continue
        # A cut between the marks and this call: everything promised so far has to hold.
        promised = tuple(marks)
        for label, namings, changes in _choices(disk, random.Random(f"{seed}/{point}"), exhaustive, samples):
            entries = disk.live_image() if label == "all" else disk.image(namings, changes)
            state = FolderState(entries, point, label, promised, after)
            if (state.digest, len(marks)) not in seen:
                seen.add((state.digest, len(marks)))
                yield state
        if call is not None:
            disk.apply(call)
            point, after = point + call.counted, call.text


def replay(calls: Iterable[Call], initial: FolderState) -> FolderState:
    """
    Return the folder as the programs saw it after the last of *calls*.
    """
    disk, count, marks, after = Disk(initial), 0, list[str](), "the start"
    for call in calls:
        disk.apply(call)
        count += call.counted
        if call.kind is Kind.MARK:
            marks.append(call.octets.decode())
        else:
            after = call.text
    return FolderState(disk.live_image(), count, "all", tuple(marks), after)


def check_end(calls: Iterable[Call], initial: FolderState, final: FolderState) -> None:
    """
    Check that *calls* lead from *initial* to *final*: that nothing went past the recorder.

    Raises:
        Blind: they do not.
    """
    found = differences(replay(calls, initial), final)
    if found:
        raise Blind("the log does not lead to the folder as it is; log / folder: " + "; ".join(found))


def _choices(disk: Disk, rng: random.Random, exhaustive: int, samples: int) -> Iterator[_Choice]:
    namings, changes = list(disk.namings), disk.reachable()
    yield "all", namings, changes
    if not namings and not changes:
        return
    yield "none", [], []
    yield "names", namings, []
    yield "changes", [], changes
    yield (
        "sizes",
        namings,
        [Resized(file, file.live.size) for file in {change.file: None for change in changes}],
    )
    if len(namings) + len(changes) <= exhaustive:
        yield from _every_part(namings, changes)
    else:
        for _ in range(samples):
            yield from _drawn_parts(namings, changes, rng)
    yield from _torn(namings, changes, rng)


def _every_part(namings: Sequence[Naming], changes: Sequence[Change]) -> Iterator[_Choice]:
    count = len(namings) + len(changes)
    for bits in range(1, (1 << count) - 1):
        yield _part(namings, changes, [bool(bits >> number & 1) for number in range(count)])


def _drawn_parts(
    namings: Sequence[Naming], changes: Sequence[Change], rng: random.Random
) -> Iterator[_Choice]:
    count = len(namings) + len(changes)
    missing = rng.randrange(count)
    yield _part(namings, changes, [number != missing for number in range(count)])
    if changes:
        alone = len(namings) + rng.randrange(len(changes))
        yield _part(namings, changes, [number < len(namings) or number == alone for number in range(count)])
    names, octets = rng.randint(0, len(namings)), rng.randint(0, len(changes))
    yield _part(
        namings, changes, [n < names for n in range(len(namings))] + [n < octets for n in range(len(changes))]
    )
    yield _part(namings, changes, [rng.random() < 0.5 for _ in range(count)])


def _part(namings: Sequence[Naming], changes: Sequence[Change], kept: Sequence[bool]) -> _Choice:
    split = len(namings)
    label = f"{sum(kept[:split])} of {split} names, {sum(kept[split:])} of {len(changes)} changes ("
    label += "".join("x" if one else "-" for one in kept) + ")"
    return (
        label,
        [naming for naming, one in zip(namings, kept[:split], strict=True) if one],
        [change for change, one in zip(changes, kept[split:], strict=True) if one],
    )


def _torn(namings: Sequence[Naming], changes: Sequence[Change], rng: random.Random) -> Iterator[_Choice]:
    last = changes[-1] if changes else None
    if not isinstance(last, Written):
        return
    for unit in (SECTOR_BYTES, PAGE_BYTES):
        first = last.at // unit + 1
        beyond = -(-(last.at + len(last.octets)) // unit)
        if first >= beyond:
            continue  # within one unit, which is written whole
        cut = rng.randrange(first, beyond) * unit - last.at
        before = Written(last.file, last.at, last.octets[:cut])
        behind = Written(last.file, last.at + cut, last.octets[cut:])
        yield f"torn, the first {cut} bytes", namings, [*changes[:-1], before]
        yield f"torn, all but the first {cut} bytes", namings, [*changes[:-1], behind]
    first = last.at // PAGE_BYTES + 1
    beyond = (last.at + len(last.octets) - 1) // PAGE_BYTES
    if first < beyond:
        hole = rng.randrange(first, beyond) * PAGE_BYTES - last.at
        before = Written(last.file, last.at, last.octets[:hole])
        behind = Written(last.file, last.at + hole + PAGE_BYTES, last.octets[hole + PAGE_BYTES :])
        yield f"torn, all but a page after {hole} bytes", namings, [*changes[:-1], before, behind]
