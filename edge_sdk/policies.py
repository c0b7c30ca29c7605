"""
The policies of one site: each read from its text once, and from then on from a file that only this device can write.

Checking a text takes pydantic and more of a start than everything else. What came of it is kept in ``policy.bin``,
under a key of its own that is derived from the state key (SPEC 2.5, 7.3), with the SHA-256 of the text each was made
of; the release is bound to the whole. What was made of another text, by another release or another generation, what is
torn, damaged or put back, fits nothing that is asked for: it is passed over, the text is read, the file made anew.

Rules: never trusted beyond its tag; a text that is not in it is always checked in full; a file that cannot be written
costs the next start, nothing else. Does not: know which policies a site needs (opening, beside), or lint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.core import cbor
from edge_sdk.core.keys import NONCE_BYTES, StateKey, policy_cache_key, unwrap, wrap
from edge_sdk.core.policy import Policy
from edge_sdk.core.policy_cbor import LIMIT, decode_policy, encode_policy
from edge_sdk.core.shape import array, list_of, octets
from edge_sdk.errors import BadInput, StorageError
from edge_sdk.events import Event, tell
from edge_sdk.policy_file import load_policy
from edge_sdk.release import __version__

MAX_KEPT: Final = 8  # the one in force, those before it that a site keeps, and room
_NAME: Final = "policy.bin"
_AAD: Final = f"edge-sdk/policies/1 {__version__}".encode("ascii")
_LIMIT: Final = 4 << 20  # bytes; the profiles take 5 to 20 KB each
_ENTRIES: Final = list_of(array(octets(32), octets(None, LIMIT)), MAX_KEPT)


class Policies:
    """
    The policies of the site in *folder*, for as long as it takes to open it.

    Args:
        key: the state key of the generation.
    """

    def __init__(self, folder: Path, key: StateKey) -> None:
        self._path = folder / _NAME
        self._key = policy_cache_key(key)
        self._kept = self._opened()
        self._asked: dict[bytes, bytes] = {}
        self._read: dict[bytes, Policy] = {}

    def read(self, text: str, *, where: str) -> Policy:
        """
        Return the policy that *text* says.

        Args:
            text: the whole policy file.
            where: its name, for messages.

        Raises:
            ConfigError: naming every mistake.
        """
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        policy = self._read.get(digest) or self._kept_policy(digest)
        if policy is None:
            tell(Event.POLICY_READ, characters=len(text))
            policy = load_policy(text, where=where)
            self._asked[digest] = encode_policy(policy)
        self._read[digest] = policy
        return policy

    def has(self, text: str) -> bool:
        """
        Tell whether *text* need not be read.
        """
        return hashlib.sha256(text.encode("utf-8")).digest() in self._kept

    def keep(self, draw: Callable[[int], bytes]) -> None:
        """
        Keep what was read, and nothing else, for the next start; nothing is written when that is kept already.

        After a power cut: what was kept before is there, or what was read, or neither; the next start reads the texts.
        """
        fitting = _fitting(self._asked)
        if fitting == self._kept:
            return
        content = cbor.encode([[digest, encoded] for digest, encoded in fitting.items()])
        try:
            files.write(self._path, wrap(self._key, draw(NONCE_BYTES), content, _AAD))
        except StorageError:
            tell(Event.STORAGE_ERROR)

    def _kept_policy(self, digest: bytes) -> Policy | None:
        encoded = self._kept.get(digest)
        if encoded is None:
            return None
        try:
            policy = decode_policy(encoded)
        except BadInput:
            tell(Event.POLICY_PASSED_OVER)
            return None
        self._asked[digest] = encoded
        return policy

    def _opened(self) -> dict[bytes, bytes]:
        """
        Return what is kept, by the SHA-256 of the text; nothing where the file is not there or not to be trusted.
        """
        if not files.exists(self._path):
            return {}
        try:
            content = unwrap(self._key, files.read(self._path, _LIMIT), _AAD)
            return dict(_ENTRIES(cbor.decode(content, _LIMIT, "kept policies"), "kept policies"))
        except (BadInput, StorageError):
            tell(Event.POLICY_PASSED_OVER)
            return {}


def _fitting(asked: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """
    Return as many of the newest as one file takes; what does not fit is read from its text at each start.
    """
    room = _LIMIT // 2
    fitting: list[tuple[bytes, bytes]] = []
    for digest, encoded in reversed([*asked.items()]):
        if len(encoded) <= min(room, LIMIT) and len(fitting) < MAX_KEPT:
            room -= len(encoded)
            fitting.append((digest, encoded))
    return dict(reversed(fitting))
