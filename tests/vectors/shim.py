"""
Write the vectors of the shim socket: ``python -m tests.vectors.shim`` makes ``shim_v1.json`` for C and Python.

Good messages are encoded by cbor2 from the items that stand beside them, so that the decoder under test is not what
makes them; wrong ones are such a message with one thing changed, byte by byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cbor2

PATH: Final = Path(__file__).parent / "shim_v1.json"
HASH: Final = bytes(range(8))
NONCE: Final = bytes.fromhex("a1b2c3d4e5f60718")
NO_DROPS: Final = [0, 0, 0, 0, 0]
HELLO: Final = [1, 1, 1, 256, HASH, NONCE, "house-1", "ecu"]
POINT: Final = [3, 0, 0, 231.5]
BATCH: Final = [2, 0, 86_400_000, NO_DROPS, [POINT]]
TIMES: Final = [0, 23, 24, 255, 256, 65535, 65536, (1 << 31) - 1, -1, -24, -25, -256, -257, -(1 << 31)]
INTEGERS: Final = [0, 23, 24, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1]

UP: Final[dict[str, Any]] = {
    "hello": HELLO,
    "hello without a name": [*HELLO[:7], ""],
    "hello with the longest texts": [*HELLO[:6], "s" * 64, "n" * 32],
    "hello of later versions": [1, 2, 255, (1 << 32) - 1, *HELLO[4:]],
    "batch": BATCH,
    "batch of whole numbers": [2, 1, 0, NO_DROPS, [[4095, 65535, 0, n] for n in INTEGERS]],
    "batch of numbers below 0": [2, 1, 0, NO_DROPS, [[1, 0, 0, -1 - n] for n in INTEGERS]],
    "batch of fractions": [2, 0, 0, NO_DROPS, [[1, 0, 0, n] for n in (0.0, 1.0, -0.1, 1e308, 5e-324, 65504.0)]],
    "batch of truths": [2, 0, 0, NO_DROPS, [[1, 0, 0, False], [1, 0, 0, True]]],
    "batch of times": [
        2, (1 << 53) - 1, (1 << 53) - 1, NO_DROPS, [[1, 0, n, 0] for n in TIMES],
    ],
    "batch of field numbers": [2, 0, 0, NO_DROPS, [[n, 0, 0, 0] for n in (0, 23, 24, 255, 256, 4095)]],
    "batch of slots": [2, 0, 0, NO_DROPS, [[1, n, 0, 0] for n in (0, 23, 24, 255, 256, 65535)]],
    "batch with field and slot of two bytes": [2, 0, 0, NO_DROPS, [[25, 24, 0, 0]]],
    "batch with drops": [2, 7, 0, [1, 24, 256, 65536, (1 << 32) - 1], [POINT]],
    "full batch": [2, 0, 1 << 32, NO_DROPS, [[field % 17 + 1, field // 17, field, 1e9 + field] for field in range(64)]],
    "source": [3, 0, 1, "408000123456"],
    "source of the last slot": [3, 65535, 4095, "ß" * 32],
    "text": [4, 0, 2, "192.168.1.20"],
    "text taken back": [4, 0, 2, ""],
    "longest text": [4, 0, 2, "t" * 128],
    "wiped": [5, 4_000_000_000, 0],
    "wiped, failed": [5, 0, 1],
    "beat": [6, 64, [0, 3, 0, 0, 0]],
}  # fmt: skip
DOWN: Final[dict[str, Any]] = {
    "welcome": [16, 1, 0, 64, 5000],
    **{f"welcome, result {result}": [16, 1, result, 64, 0] for result in range(1, 6)},
    "welcome with fewer points": [16, 1, 0, 1, (1 << 32) - 1],
    "state, nothing granted": [17, 1, 0, 120_000],
    "state, all granted": [17, (1 << 32) - 1, (1 << 20) - 1, 120_000],
    "state, one granted": [17, 2, 1 << 19, 1],
    "wipe of the account": [18, 7, (1 << 20) - 1],
    "wipe of one purpose": [18, (1 << 32) - 1, 1],
    **{f"bye, reason {reason}": [19, reason] for reason in range(5)},
    "welcome with an element of a later version": [16, 1, 0, 64, 5000, "later"],
    "state with elements of a later version": [17, 1, 1, 120_000, [1, b"2"], None],
}
IGNORED: Final[dict[str, tuple[str, list[Any]]]] = {
    "unknown type": ("up", [7, {"a": 1}, 1.5]),
    "unknown type of two bytes": ("up", [4711]),
    "unknown type from the agent": ("down", [20, 12]),
    "unknown type of two bytes from the agent": ("down", [255]),
}
WRONG_UP: Final[dict[str, Any]] = {
    "hello with an element more": [*HELLO, 0],
    "hello with an element less": HELLO[:-1],
    "hello with a negative version": [1, -1, *HELLO[2:]],
    "hello with a version of two bytes": [1, 256, *HELLO[2:]],
    "hello with a shim version of eight bytes": [*HELLO[:3], 1 << 32, *HELLO[4:]],
    "hello with a schema hash of seven bytes": [*HELLO[:4], HASH[:7], *HELLO[5:]],
    "hello with a nonce of nine bytes": [*HELLO[:5], NONCE + b"9", *HELLO[6:]],
    "hello without a site": [*HELLO[:6], "", "ecu"],
    "hello with a long site": [*HELLO[:6], "s" * 65, "ecu"],
    "hello with a long name": [*HELLO[:7], "n" * 33],
    "hello with a line break": [*HELLO[:7], "a\nb"],
    "hello with a delete": [*HELLO[:7], "a\x7f"],
    "hello with bytes for text": [*HELLO[:7], b"ecu"],
    "batch without points": [2, 0, 0, NO_DROPS, []],
    "batch of 65 points": [2, 0, 0, NO_DROPS, [POINT] * 65],
    "batch with a first beyond 2^53": [2, 1 << 53, 0, NO_DROPS, [POINT]],
    "batch with a time beyond 2^53": [2, 0, 1 << 53, NO_DROPS, [POINT]],
    "batch with four drops": [2, 0, 0, [0] * 4, [POINT]],
    "batch with six drops": [2, 0, 0, [0] * 6, [POINT]],
    "batch with drops beyond 2^32": [2, 0, 0, [1 << 32, 0, 0, 0, 0], [POINT]],
    "batch with an element more": [*BATCH, 0],
    "point of three": [2, 0, 0, NO_DROPS, [POINT[:3]]],
    "point of five": [2, 0, 0, NO_DROPS, [[*POINT, 0]]],
    "point with a field beyond 4095": [2, 0, 0, NO_DROPS, [[4096, 0, 0, 0]]],
    "point with a slot beyond 65535": [2, 0, 0, NO_DROPS, [[1, 65536, 0, 0]]],
    "point with a dt beyond 2^31": [2, 0, 0, NO_DROPS, [[1, 0, 1 << 31, 0]]],
    "point with a dt below -2^31": [2, 0, 0, NO_DROPS, [[1, 0, -(1 << 31) - 1, 0]]],
    "value beyond 2^63": [2, 0, 0, NO_DROPS, [[1, 0, 0, 1 << 63]]],
    "value below -2^63": [2, 0, 0, NO_DROPS, [[1, 0, 0, -(1 << 63) - 1]]],
    "value not a number": [2, 0, 0, NO_DROPS, [[1, 0, 0, float("nan")]]],
    "value infinite": [2, 0, 0, NO_DROPS, [[1, 0, 0, float("inf")]]],
    "value minus infinite": [2, 0, 0, NO_DROPS, [[1, 0, 0, float("-inf")]]],
    "value null": [2, 0, 0, NO_DROPS, [[1, 0, 0, None]]],
    "value text": [2, 0, 0, NO_DROPS, [[1, 0, 0, "1"]]],
    "value array": [2, 0, 0, NO_DROPS, [[1, 0, 0, [1]]]],
    "field a fraction": [2, 0, 0, NO_DROPS, [[1.5, 0, 0, 1]]],
    "slot below 0": [2, 0, 0, NO_DROPS, [[1, -1, 0, 1]]],
    "source without an id": [3, 0, 1, ""],
    "source with a long id": [3, 0, 1, "i" * 65],
    "source of a kind beyond 4095": [3, 0, 4096, "1"],
    "text of 129 bytes": [4, 0, 2, "t" * 129],
    "wiped with another result": [5, 1, 2],
    "wiped with an id beyond 2^32": [5, 1 << 32, 0],
    "beat with an element more": [6, 0, NO_DROPS, 0],
    "message that is a map": {1: 2},
    "message that is a number": 6,
    "type below 0": [-2, 0],
    "type a text": ["1", 0],
    "array without a type": [],
}  # fmt: skip
WRONG_DOWN: Final[dict[str, Any]] = {
    "welcome with an element less": [16, 1, 0, 64],
    "welcome with a negative result": [16, 1, -1, 64, 5000],
    "state with a mask of 21 bits": [17, 1, 1 << 20, 120_000],
    "state with a generation beyond 2^32": [17, 1 << 32, 0, 120_000],
    "state with a text": [17, "1", 0, 120_000],
    "wipe with an element less": [18, 7],
    "bye without a reason": [19],
    "message from the agent that is a number": 19,
}


def _changed(message: bytes, old: str, new: str) -> bytes:
    assert message.count(bytes.fromhex(old)) == 1, (message.hex(), old)
    return message.replace(bytes.fromhex(old), bytes.fromhex(new))


def _broken() -> Iterator[tuple[str, str, bytes]]:
    """
    Yield (name, direction, bytes) of what no encoder of items makes.
    """
    whole = cbor2.dumps([2, 1, 0, NO_DROPS, [[1, 0, 7, 300]]])
    batch, state, source = cbor2.dumps(BATCH), cbor2.dumps(DOWN["state, one granted"]), cbor2.dumps(UP["source"])
    yield "no bytes", "up", b""
    yield "4097 bytes", "up", cbor2.dumps([7, bytes(4092)])
    yield "batch of indefinite length", "up", b"\x9f" + batch[1:] + b"\xff"
    yield "batch with a head of two bytes", "up", b"\x98\x05" + batch[1:]
    yield "batch cut short in its points", "up", batch[:-3]
    yield "batch cut short before its points", "up", batch[:7]
    yield "batch with bytes behind", "up", batch + b"\x00"
    yield "batch with a tag", "up", b"\xd9\xd9\xf7" + batch
    yield "point with a long field", "up", _changed(whole, "84010007", "8418010007")
    yield "point with a long slot", "up", _changed(whole, "84010007", "8401180007")
    yield "point with a long dt", "up", _changed(whole, "84010007", "8401001807")
    yield "point with a dt of three bytes for one", "up", _changed(whole, "84010007", "840100190007")
    yield "value of five bytes for three", "up", _changed(whole, "19012c", "1a0000012c")
    yield "value of three bytes for two", "up", _changed(whole, "19012c", "19002c")
    yield "value of two bytes for one", "up", _changed(whole, "19012c", "1802")
    yield "value of nine bytes for three", "up", _changed(whole, "19012c", "1b000000000000012c")
    yield "value binary16", "up", _changed(batch, "fb406cf00000000000", "f95b3c")
    yield "value binary32", "up", _changed(batch, "fb406cf00000000000", "fa43678000")
    yield "value a big number", "up", _changed(whole, "19012c", "c2410a")
    yield "text of indefinite length", "up", _changed(source, "6c343038", "7f6c343038") + b"\xff"
    yield "text that is not UTF-8", "up", _changed(source, "6c3430", "6cc328")
    yield "text cut short", "up", source[:-1]
    yield "no bytes from the agent", "down", b""
    yield "state of indefinite length", "down", b"\x9f" + state[1:] + b"\xff"
    yield "state with a long mask", "down", _changed(state, "1a00080000", "1b0000000000080000")
    yield "state cut short", "down", state[:-1]
    yield "state with bytes behind", "down", state + b"\x00"
    yield "state with a tag", "down", b"\xc1" + state


def _plain(item: Any) -> Any:
    """
    Return an item as JSON has it: byte strings and floats (by their eight bytes) marked, the rest as it is.
    """
    match item:
        case bytes():
            return {"bytes": item.hex()}
        case float():
            return {"float64": cbor2.dumps(item)[1:].hex()}
        case list():
            return [_plain(inner) for inner in item]
        case _:
            return item


def vectors() -> Iterator[dict[str, Any]]:
    """
    Yield every vector.
    """
    for direction, good in (("up", UP), ("down", DOWN)):
        for name, items in good.items():
            yield _vector(name, direction, "accepted", cbor2.dumps(items)) | {"items": _plain(items)}
    for name, (direction, items) in IGNORED.items():
        yield _vector(name, direction, "ignored", cbor2.dumps(items))
    for direction, wrong in (("up", WRONG_UP), ("down", WRONG_DOWN)):
        for name, items in wrong.items():
            yield _vector(name, direction, "refused", _dumped(items))
    for name, direction, message in _broken():
        yield _vector(name, direction, "refused", message)


def _dumped(items: Any) -> bytes:
    # cbor2 may write infinities and NaN as half floats: put the eight bytes in, so that only the value is wrong.
    message: bytes = cbor2.dumps(items)
    for short, long in (("f97e00", "7ff8000000000000"), ("f97c00", "7ff0000000000000"), ("f9fc00", "fff0000000000000")):
        message = message.replace(bytes.fromhex(short), b"\xfb" + bytes.fromhex(long))
    return message


def _vector(name: str, direction: str, expect: str, message: bytes) -> dict[str, Any]:
    return {"name": name, "direction": direction, "expect": expect, "hex": message.hex()}


def text() -> str:
    """
    Return the file.
    """
    lines = ",\n".join("  " + json.dumps(vector, ensure_ascii=True) for vector in vectors())
    return f'{{"wire": 1, "vectors": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    print(sum(1 for _ in vectors()), "vectors")
