"""
The search of the demo: does any raw identifier of the household stand anywhere it should not?

Every identifier is looked for as text, and as what a careless program makes of it: other encodings, hexadecimal,
base64 at each alignment, packed decimal with either nibble first, plain bytes of a hardware address, reversed, and
unkeyed hashes. Forms shorter than :data:`SHORTEST` bytes are left out: ciphertext would show them by chance. What it
cannot see is an identifier that was compressed or encrypted; that is why it also looks before the line ends.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.cli import demo_plant as plant
from edge_sdk.core.policy import Policy, TextRule

SHORTEST: Final = 6
_HASHES: Final = ("md5", "sha1", "sha256")
_HASH_BYTES: Final = 8
_FILE_LIMIT: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class Canary:
    """
    One kind of identifier: the field it is in and the values it has in this household.

    ``nowhere`` marks what the privacy policy has no purpose for, whatever a policy file says.
    """

    field: str
    values: tuple[str, ...]
    nowhere: bool


CANARIES: Final = (
    Canary("serial", plant.SERIALS, nowhere=False),
    Canary("ecu_id", (plant.ECU_ID,), nowhere=False),
    Canary("lan_ip", (plant.LAN_IP,), nowhere=True),
    Canary("mac", (plant.MAC,), nowhere=True),
    Canary("ssid", (plant.SSID,), nowhere=True),
    Canary("time_zone", (plant.TIME_ZONE,), nowhere=True),
    Canary("router_mac", (plant.ROUTER_MAC,), nowhere=True),
)


def forms(value: str) -> frozenset[bytes]:
    """
    Return the byte strings that would give *value* away.
    """
    raw = value.encode("utf-8")
    compact = value.replace(":", "").replace("-", "")
    found = {raw, raw.upper(), raw[::-1], raw.hex().encode(), raw.hex().upper().encode(), *_base64(raw)}
    found |= {value.encode("utf-16-le"), value.encode("utf-16-be"), value.replace(" ", "%20").encode()}
    found |= {compact.encode(), compact.upper().encode()}
    if ":" in value:
        found |= {value.replace(":", "-").encode(), bytes.fromhex(compact), bytes.fromhex(compact)[::-1]}
    if value.isdigit() and len(value) % 2 == 0:
        found |= {bytes.fromhex(value), bytes.fromhex("".join(map("".join, zip(value[1::2], value[::2], strict=True))))}
    for name in _HASHES:
        digest = hashlib.new(name, raw, usedforsecurity=False).digest()[:_HASH_BYTES]
        found |= {digest, digest.hex().encode()}
    return frozenset(form for form in found if len(form) >= SHORTEST)


def search(contents: Iterable[bytes], canaries: Iterable[Canary] = CANARIES) -> Counter[str]:
    """
    Return how often each identifier stands in *contents*, in any of its forms, by field.
    """
    held = list(contents)
    hits: Counter[str] = Counter()
    for canary in canaries:
        needles = {form for value in canary.values for form in forms(value)}
        hits[canary.field] = sum(content.count(needle) for content in held for needle in needles)
    return hits


def written_out(content: bytes) -> Counter[str]:
    """
    Return how often each identifier stands in *content* as plain text, by field.
    """
    return Counter({canary.field: sum(content.count(value.encode()) for value in canary.values) for canary in CANARIES})


def contents(folder: Path, *, but: Path | None = None) -> list[bytes]:
    """
    Return the bytes of every file below *folder*, without those below *but*.
    """
    paths = [path for path in files.tree(folder) if but is None or not path.is_relative_to(but)]
    return [files.read(path, _FILE_LIMIT) for path in paths]


def keepers(policy: Policy, field: str) -> list[str]:
    """
    Return the purposes that keep *field* as it is in one of their views.
    """
    return [
        purpose.name
        for purpose in policy.purposes.values()
        if any(
            view_field.field.name == field and view_field.is_text and view_field.text is TextRule.KEEP
            for view in purpose.views
            for view_field in view.fields
        )
    ]


def leaks(policy: Policy, clear: Mapping[str, Counter[str]], opened: Counter[str]) -> list[str]:
    """
    Return a sentence for every identifier that stands where it should not.

    Args:
        policy: the policy in force.
        clear: hits by place, for every place where there should be none.
        opened: hits in the opener's own files, which hold the rows that purposes were given.
    """
    found = [
        f"{canary.field}: {hits[canary.field]} hits in {place}"
        for place, hits in clear.items()
        for canary in CANARIES
        if hits[canary.field]
    ]
    for canary in CANARIES:
        kept = keepers(policy, canary.field)
        if opened[canary.field] and not kept:
            found.append(f"{canary.field}: {opened[canary.field]} hits in opened rows, and no purpose keeps it")
        elif opened[canary.field] and canary.nowhere:
            found.append(
                f"{canary.field}: {opened[canary.field]} hits in opened rows: this policy lets {', '.join(kept)} keep "
                "what the vendor's privacy policy has no purpose for"
            )
        elif kept and not opened[canary.field]:
            found.append(f"{canary.field}: {', '.join(kept)} should have it, and the search does not see it")
    return found


def _base64(raw: bytes) -> Iterable[bytes]:
    for before in range(3):
        # What of the text is the same whatever stands around: whole groups of the value's own bits.
        encoded = base64.b64encode(bytes(before) + raw)
        first = -(-before * 8 // 6)
        last = (before + len(raw)) * 8 // 6
        yield encoded[first:last]
