"""
Before and after: what an ECU uploads today beside what this SDK sends, byte by byte, as whoever is on the wire sees it.

Owns: the tables, and the search for what the first says in the second.
Rules: both are real: the one a whole frame as an ECU makes it, the other as a relay kept it on its way. The second is
shown without TLS, which is more than an observer has: under TLS host, times and sizes are left of it.
Does not: make either (preview_frame, demo).
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_sdk.cli.demo_canary import Canary, search
from edge_sdk.cli.tables import print_table
from edge_sdk.cli.wire import BATCHES, Exchange, pieces_of
from edge_sdk.sources.apsystems_upload import HOST, PORTS, Upload

_INVERTERS_SHOWN = 2
_REQUESTS_SHOWN = 8
_NOTHING = "nothing"
_ONE = "one inverter"


def show(upload: Upload, exchanges: Sequence[Exchange]) -> list[str]:
    """
    Print both, and return what does not hold, in sentences.

    Args:
        upload: of one round of the radio.
        exchanges: what was sent, of which at least one is a batch.
    """
    batches = [exchange for exchange in exchanges if exchange.request.startswith(BATCHES)]
    if not batches:
        return ["no batch was seen on the wire"]
    _show_today(upload)
    _show_requests(exchanges)
    _show_batch(batches[0])
    _show_both(upload, batches)
    return found_in(upload, exchanges)


def _show_today(upload: Upload) -> None:
    rows: list[list[str]] = []
    left_out = 0
    for piece in upload.pieces:
        shown = sum(row[2] == _ONE for row in rows)
        if piece.what == _ONE and shown == _INVERTERS_SHOWN:
            left_out += 1
            continue
        rows.append([str(piece.at), str(piece.size), piece.what, piece.says])
    size = _size(upload)
    print_table(f"today: {size} bytes to {HOST}, plain TCP, after each round", ["byte", "bytes", "", "says"], rows)
    if left_out:
        print(f"  and {left_out} inverters more, each told like these")
    print()


def _show_requests(exchanges: Sequence[Exchange]) -> None:
    began_ms = exchanges[0].at_ms
    rows = [
        [f"{exchange.at_ms - began_ms} ms", exchange.line, str(len(exchange.request)), str(exchange.answer_bytes)]
        for exchange in exchanges[:_REQUESTS_SHOWN]
    ]
    print_table(f"with this SDK: {len(exchanges)} requests", ["after", "", "bytes out", "bytes back"], rows)
    if len(exchanges) > _REQUESTS_SHOWN:
        print(f"  and {len(exchanges) - _REQUESTS_SHOWN} requests more")
    print()


def _show_batch(batch: Exchange) -> None:
    rows = [[str(piece.at), str(piece.size), piece.what, piece.says] for piece in pieces_of(batch.request)]
    title = f"with this SDK: one batch of them, {len(batch.request)} bytes, without the TLS around it"
    print_table(title, ["byte", "bytes", "", "says"], rows)
    print()


def _show_both(upload: Upload, batches: Sequence[Exchange]) -> None:
    sizes = sorted({len(batch.request) for batch in batches})
    serials = ", ".join(fields["serial"] for fields in upload.inverters[:_INVERTERS_SHOWN])
    more = len(upload.inverters) - _INVERTERS_SHOWN
    ports = ", ".join(map(str, PORTS))
    rows = [
        ["network address", "the household's", "the household's"],
        ["host", f"{HOST}, port {ports}", "the collector's (here: this machine)"],
        ["when", "every round: 5 minutes apart while the sun shines", "when a batch is due: night included"],
        ["size", f"{_size(upload)} bytes, by number of inverters and channels", _of_sizes(sizes, len(batches))],
        ["ECU", upload.gateway["ecu_id"], _NOTHING],
        ["inverters", serials + (f" and {more} more" if more > 0 else ""), _NOTHING],
        ["power now", f"{upload.gateway['ac_power']:.2f} W", _NOTHING],
        ["lifetime energy", f"{upload.gateway['energy']:.1f} kWh", _NOTHING],
        ["local time", upload.stamp, _NOTHING],
        ["each inverter", "grid voltage, frequency, temperature, every channel", _NOTHING],
        ["purposes", "", "how many are granted: batches that are due together"],
    ]
    print_table("what an observer on the wire learns", ["", "today", "with this SDK"], rows)


def found_in(upload: Upload, exchanges: Sequence[Exchange]) -> list[str]:
    """
    Look for every identifier of the frame, in any form that gives it away, in all that was sent; return what is there.
    """
    names = {"ECU id": (upload.gateway["ecu_id"],), "serial": tuple(each["serial"] for each in upload.inverters)}
    canaries = [Canary(name, values, nowhere=True) for name, values in names.items()]
    sent = [exchange.request for exchange in exchanges]
    hits = search(sent, canaries)
    values = sum(map(len, names.values()))
    print(f"  {values} identifiers of the frame looked for in {sum(map(len, sent))} bytes sent: {hits.total()} found\n")
    return [f"{name}: {count} hits on the wire" for name, count in hits.items() if count]


def _size(upload: Upload) -> int:
    return sum(piece.size for piece in upload.pieces)


def _of_sizes(sizes: Sequence[int], batches: int) -> str:
    return f"{batches} batches of {', '.join(map(str, sizes))} bytes: size classes"
