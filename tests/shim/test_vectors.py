"""
The vectors of the shim socket, as the C side writes and reads them. tests/agent does the same for Python.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.shim.building import ADDRESS, COMPILERS, build, run

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors/shim_v1.json").read_text())["vectors"]
# Its versions are constants of the shim.
NOT_OURS = {"hello of later versions"}
UP = [each for each in VECTORS if each["direction"] == "up" and each["expect"] == "accepted"]
DOWN = [each for each in VECTORS if each["direction"] == "down"]


def hexed(text: str | dict[str, str]) -> str:
    """Return bytes or text as the program reads them."""
    return (text["bytes"] if isinstance(text, dict) else text.encode().hex()) or "-"


def value(item: Any) -> str:
    """Return kind and bits of a point's value."""
    if isinstance(item, bool):
        return f"2 {int(item)}"
    if isinstance(item, dict):
        return f"1 {item['float64']}"
    return f"0 {struct.pack('>Q', item % (1 << 64)).hex()}"


def command(items: list[Any]) -> str:
    """Return what makes the shim say this."""
    match items:
        case [1, _, _, _, schema, nonce, site, name]:
            return f"hello {hexed(schema)} {hexed(nonce)} {hexed(site)} {hexed(name)}"
        case [2, first, t0, drops, points]:
            told = " ".join(f"{field} {slot} {dt} {value(item)}" for field, slot, dt, item in points)
            return f"batch {first} {t0} {' '.join(map(str, drops))} {told}"
        case [3, slot, kind, text]:
            return f"source {slot} {kind} {hexed(text)}"
        case [4, slot, field, text]:
            return f"text {slot} {field} {hexed(text)}"
        case [5, wipe_id, result]:
            return f"wiped {wipe_id} {result}"
        case [6, first, drops]:
            return f"beat {first} {' '.join(map(str, drops))}"
    raise AssertionError(items)


def said(line: str) -> str:
    return run(build(COMPILERS[0], ("vectors.c",), ADDRESS), input=line + "\n").stdout.strip()


@pytest.mark.parametrize("vector", [each for each in UP if each["name"] not in NOT_OURS], ids=lambda each: each["name"])
def test_the_shim_says_the_very_bytes(vector: dict[str, Any]) -> None:
    assert said(command(vector["items"])) == vector["hex"]


@pytest.mark.parametrize("vector", DOWN, ids=lambda each: each["name"])
def test_the_shim_understands_as_the_vectors_say(vector: dict[str, Any]) -> None:
    understood = said(f"down {vector['hex'] or '-'}")
    if vector["expect"] != "accepted":
        assert understood == "refused"
    else:
        numbers = understood.split()
        assert [int(number) for number in numbers] == vector["items"][: len(numbers)]
        assert len(numbers) == {16: 5, 17: 4, 18: 3, 19: 2}[vector["items"][0]]
