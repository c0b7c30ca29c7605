"""
Make lengths say less: Padme classes, or one fixed size.

Owns: ``padme``, ``pad``, ``pad_to``, ``unpad``.
Rules: padding is one 0x80 and then zeros, inside the encryption; a Padme class costs at most 12 % and leaves
a length about log2 log2 of its bits.
Does not: choose which message gets which (seal, messages). Neighbours: seal, messages above.
"""

from __future__ import annotations

from typing import Final

from edge_sdk.errors import Malformed

_MARK: Final = b"\x80"


def padme(length: int) -> int:
    """
    Return the smallest Padme class that holds *length* bytes (SPEC 4.4).
    """
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    loose_bits = exponent - exponent.bit_length()
    mask = (1 << loose_bits) - 1
    return (length + mask) & ~mask


def pad(content: bytes) -> bytes:
    """
    Return *content* padded to its Padme class.
    """
    return pad_to(content, padme(len(content) + 1))


def pad_to(content: bytes, size: int) -> bytes:
    """
    Return *content* padded to exactly *size* bytes.

    Raises:
        ValueError: there is no room for the mark.
    """
    if len(content) >= size:
        raise ValueError(f"{len(content)} bytes and their mark do not fit into {size}")
    return content + _MARK + bytes(size - len(content) - 1)


def unpad(padded: bytes) -> bytes:
    """
    Return what ``pad`` or ``pad_to`` was given.

    Raises:
        Malformed: there is no mark before the zeros.
    """
    content = padded.rstrip(b"\x00")
    if not content.endswith(_MARK):
        raise Malformed("padding")
    return content[:-1]
