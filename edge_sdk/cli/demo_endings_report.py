"""
What the demo prints of its acts of ending: lines and tables out of facts. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_sdk.cli.demo_endings import Act, Cancelled, Copied, WithdrawnHere, WithdrawnThere
from edge_sdk.cli.demo_folders import Folders
from edge_sdk.cli.demo_report import heading
from edge_sdk.cli.demo_rows import Compared
from edge_sdk.cli.instants import said
from edge_sdk.cli.tables import print_table
from edge_sdk.core.keys import SECRET_BYTES


def show(act: Act, folders: Folders) -> None:
    """
    Print what an act gave.
    """
    match act:
        case WithdrawnHere():
            _show_here(act)
        case WithdrawnThere():
            _show_there(act, folders)
        case Cancelled():
            _show_cancelled(act, folders)
    print()


def _show_here(act: WithdrawnHere) -> None:
    heading(4, "consent withdrawn on the device, while the network is away")
    _ran(f"edge-sdk consent withdraw {act.purpose}", act.exits["consent withdraw"])
    lines = []
    for name, (batches, size) in act.before.items():
        of, _, left = act.copied.of(name)
        after = act.after[name]
        lines.append([name, str(batches), f"{size:,}", str(after[0]), f"{after[1]:,}", f"{left} of {of}"])
    headings = ["purpose", "queued before", "bytes", "queued after", "bytes", "of a copy, opened by keys left"]
    print_table("batches on the device", headings, lines)
    when = "never" if act.told_s is None else said(act.told_s)
    _list(
        ("the copy", f"of the state folder, made before; {act.copied.left.keys} keys are left on the device"),
        ("the authority", f"was told in {act.messages} sealed messages, once the network was back: withdrawn {when}"),
        ("the others", _rows(act.rows)),
        (act.purpose, f"{act.rows_withdrawn} rows arrived since"),
    )


def _show_there(act: WithdrawnThere, folders: Folders) -> None:
    heading(5, "consent given again, then withdrawn at the operator")
    command = f"edge-sdk collector consent set {folders.collector} {act.purpose}"
    _ran(f"{command} given", act.exits["consent set given"])
    own = sum(each.opened for each in act.granted if each.place[0] == act.purpose)
    _list((act.purpose, f"{own} rows under the new grant"), ("all purposes", _rows(act.granted)))
    _ran(f"{command} withdrawn", act.exits["consent set withdrawn"])
    _list(
        ("arrival", f"on the running gateway {act.heard_ms} ms later, announced by the receipt of its next upload"),
        ("effect", f"{act.effect_ms} ms after that: nothing is taken any more, {act.waiting} batches of it wait"),
        ("the others", _rows(act.rows)),
        (act.purpose, f"{act.rows_after} rows arrived since"),
    )


def _show_cancelled(act: Cancelled, folders: Folders) -> None:
    heading(6, "account cancelled while the device is away: it erases itself, and says so")
    _ran(f"edge-sdk collector cancel {folders.collector}", act.exits["collector cancel"])
    batches, size = act.waiting
    left = ", ".join(f"{name} ({held} bytes)" for name, held in act.left) or "nothing"
    _list(
        ("waiting", f"{batches} batches, {size:,} bytes, on the device that cannot know yet"),
        ("back online", f"{act.sent} of them sent; keys destroyed {act.erased_ms} ms after the start"),
        ("record()", act.refusal or "still takes readings"),
        ("state folder", f"{left} left"),
    )
    lines = [
        [each.generation.hex()[:8], store.name, str(store.method), "yes" if store.verified else "NO", str(store.items)]
        for each in act.erasures
        for store in each.receipt.stores
    ]
    headings = ["device", "store", "erased by", "verified", "items"]
    print_table("receipt, its signature verified by the authority", headings, lines)
    confirmed = sum(order.confirmed_s is not None for order in act.orders)
    _list(
        ("orders", f"{confirmed} of {len(act.orders)} confirmed"),
        ("identifiers", ", ".join(f"{sum(found.values())} in the {place}" for place, found in act.searched.items())),
        ("the copy", _opened(act.copied)),
        ("at recipients", f"to delete what was sent: edge-sdk collector receipts {folders.collector} --delete"),
    )


def _opened(copied: Copied) -> str:
    own, left = copied.own, copied.left
    keys = f"{left.keys:,} strings of {SECRET_BYTES} bytes in what is left on the device"
    made = f"made before: {own.count} of {own.of} batches unwrap with its root key, without it {left.count}, by any of"
    return f"{made}\n{'':18}the {keys}"


def _rows(compared: Iterable[Compared]) -> str:
    found = list(compared)
    differ = sum(each.missing + each.besides for each in found)
    verdict = "equal by value to what was minimised" if not differ else f"{differ} rows DIFFER from what was minimised"
    return f"{sum(each.opened for each in found)} rows arrived, {verdict}"


def _list(*facts: tuple[str, str]) -> None:
    for name, fact in facts:
        print(f"  {name:14}  {fact}")


def _ran(command: str, code: int) -> None:
    print(f"  $ {command}{'' if code == 0 else f'   (exit {code})'}")
