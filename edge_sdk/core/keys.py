"""
One secret type per role, and the few things that are derived from each.

Owns: ``SecretBytes`` and its roles, key wrapping, the route of an epoch and its request MAC, stream seeds,
the pseudonym ratchet.
Rules: a secret has no voice (no repr, hash, pickle or copy) and one way out, ``reveal``; a function takes the
role it needs, so a key in the wrong place is a type error; every derivation names its label from one table.
Does not: draw keys or nonces (they come in), store them (vault), or promise that Python forgets what it
revealed.
Neighbours: labels, cbor below; vault, uplink, intake, seal above.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final, NoReturn, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from edge_sdk.core import cbor, labels
from edge_sdk.errors import Malformed, Tampered

SECRET_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16  # AES-GCM's authentication tag, and by coincidence also the length of a routing tag
SECONDS_PER_EPOCH: Final = 86400  # one UTC day: long enough to route cheaply, short enough to unlink

_AUTHORIZATION: Final = re.compile(r"Edge ([0-9a-f]{32}):([0-9a-f]{64})")
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_PATH: Final = re.compile(r"/[!-~]{0,255}")


class SecretBytes:
    """
    Hold 32 secret bytes that say nothing about themselves.

    Args:
        value: exactly 32 bytes, not all zero (a zeroed key is a destroyed key).
    """

    __slots__ = ("_held",)

    def __init__(self, value: bytes | bytearray) -> None:
        if len(value) != SECRET_BYTES:
            raise ValueError(f"{type(self).__name__} takes {SECRET_BYTES} bytes, not {len(value)}")
        if not any(value):
            raise ValueError(f"{type(self).__name__} is all zero")
        self._held = bytearray(value)

    def reveal(self) -> bytes:
        """
        Return the secret; the one word to search for.

        Raises:
            RuntimeError: it was destroyed.
        """
        if not any(self._held):
            raise RuntimeError(f"{type(self).__name__} is destroyed")
        return bytes(self._held)

    def destroy(self) -> None:
        """
        Overwrite the secret where it is held; doing so twice is harmless.
        """
        self._held[:] = bytes(SECRET_BYTES)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBytes) or type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._held, other._held)

    __hash__ = None  # type: ignore[assignment]  # a secret is nobody's dictionary key

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} is not copied or pickled")


@final
class RootKey(SecretBytes):
    """
    Wraps every other key of one generation at rest; replaced whenever one of them is destroyed.
    """

    __slots__ = ()


@final
class LaneKey(SecretBytes):
    """
    Wraps what the receipt lane needs after a wipe, apart from the root key.
    """

    __slots__ = ()


@final
class PurposeKey(SecretBytes):
    """
    Wraps the batch keys and sealed batches of one purpose under one grant.
    """

    __slots__ = ()


@final
class BatchKey(SecretBytes):
    """
    Encrypts the pending rows of one open batch; destroyed when it is sealed.
    """

    __slots__ = ()


@final
class PseudonymKey(SecretBytes):
    """
    Makes the pseudonyms of one purpose for one period.
    """

    __slots__ = ()


@final
class StateKey(SecretBytes):
    """
    Encrypts the stored statement and the site's own state.
    """

    __slots__ = ()


@final
class PolicyKey(SecretBytes):
    """
    Authenticates the policies that were checked before, so that they need not be read again.
    """

    __slots__ = ()


@final
class LedgerKey(SecretBytes):
    """
    Encrypts the ledger.
    """

    __slots__ = ()


@final
class StreamSecret(SecretBytes):
    """
    Seeds the signing key of every stream (K_stream).
    """

    __slots__ = ()


@final
class RoutingSecret(SecretBytes):
    """
    Gives tag, request MAC and upload phase of every epoch (K_rt).
    """

    __slots__ = ()


@final
class GenerationSigningSeed(SecretBytes):
    """
    Is the Ed25519 seed of one generation of a device.
    """

    __slots__ = ()


@final
class GenerationHpkeSeed(SecretBytes):
    """
    Is the HPKE seed that opens the downlinks of one generation.
    """

    __slots__ = ()


@final
class RecipientSeed(SecretBytes):
    """
    Is the HPKE seed that opens the batches sealed to one recipient key.
    """

    __slots__ = ()


@final
class RoleSeed(SecretBytes):
    """
    Is the seed of one of the authority's role keys (Ed25519, or HPKE for enrolment).
    """

    __slots__ = ()


def wrap(key: SecretBytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """
    Return *plaintext* under *key* with AES-256-GCM, as nonce and ciphertext.

    Args:
        nonce: 12 random bytes, never used twice with this key.
        aad: what the result belongs to; ``unwrap`` must be given the same.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    return nonce + AESGCM(key.reveal()).encrypt(nonce, plaintext, aad)


def unwrap(key: SecretBytes, wrapped: bytes, aad: bytes) -> bytes:
    """
    Return what ``wrap`` was given.

    Raises:
        Tampered: other key, other *aad*, or other bytes.
    """
    if len(wrapped) < NONCE_BYTES + TAG_BYTES:
        raise Tampered("wrapped bytes")
    try:
        return AESGCM(key.reveal()).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], aad)
    except InvalidTag as exc:
        raise Tampered("wrapped bytes") from exc


@dataclass(frozen=True, slots=True)
class Route:
    """
    Hold what one device shows the intake during one epoch.
    """

    tag: bytes
    """16 bytes, in clear in every request."""
    mac_key: bytes = field(repr=False)
    """32 bytes, shared with the intake for this epoch only."""
    phase: int = field(repr=False)
    """Uniform below 2**64; modulo the upload interval it says when in the interval to send."""


def epoch_of(now_s: int) -> int:
    """
    Return the epoch, the number of the UTC day, of an instant in Unix seconds.
    """
    return now_s // SECONDS_PER_EPOCH


def route(secret: RoutingSecret, epoch: int) -> Route:
    """
    Derive tag, MAC key and upload phase of *epoch* (SPEC 3).
    """
    prk = _hmac(secret.reveal(), labels.ROUTE + epoch.to_bytes(8))
    return Route(
        tag=_hmac(prk, labels.ROUTE_TAG)[:16],
        mac_key=_hmac(prk, labels.ROUTE_MAC),
        phase=int.from_bytes(_hmac(prk, labels.ROUTE_PHASE)[:8]),
    )


def authorization(route: Route, method: str, path: str, body: bytes) -> str:
    """
    Return the ``Authorization`` header for one request, made at the moment of sending.

    Args:
        method: upper case.
        path: with its leading slash and without scheme or host.
    """
    return f"Edge {route.tag.hex()}:{_request_mac(route.mac_key, method, path, body).hex()}"


def parse_authorization(header: str) -> tuple[bytes, bytes]:
    """
    Return tag and MAC of a header that ``authorization`` wrote.

    Raises:
        Malformed: it has another form.
    """
    match = _AUTHORIZATION.fullmatch(header)
    if match is None:
        raise Malformed("Authorization header")
    return bytes.fromhex(match[1]), bytes.fromhex(match[2])


def check_mac(mac_key: bytes, mac: bytes, method: str, path: str, body: bytes) -> None:
    """
    Check that a request was made by a holder of *mac_key*.

    Raises:
        Tampered: it was not, or method, path or body differ.
        Malformed: method or path could not have been signed at all.
    """
    try:
        expected = _request_mac(mac_key, method, path, body)
    except ValueError as exc:
        raise Malformed("request line") from exc
    if not hmac.compare_digest(expected, mac):
        raise Tampered("request")


def stream_seed(secret: StreamSecret, purpose: str, grant_id: bytes, period: int) -> bytes:
    """
    Derive the Ed25519 seed of one stream.

    Args:
        purpose: its name in the policy.
        grant_id: 16 bytes.
        period: number of the pseudonym period, 0 where the view keeps one for good.
    """
    # CBOR makes the parts unambiguous: no two (purpose, grant, period) give the same bytes.
    return _hkdf(secret.reveal(), cbor.encode([labels.STREAM, purpose, grant_id, period]))


def source_tag_key(key: PurposeKey) -> bytes:
    """
    Derive the key that stands in for raw source names in journalled windows of one purpose.
    """
    return _hkdf(key.reveal(), labels.SOURCE_TAG)


def policy_cache_key(key: StateKey) -> PolicyKey:
    """
    Derive the key that checked policies are kept under; it goes with the generation, as the state key does.
    """
    return PolicyKey(_hkdf(key.reveal(), labels.POLICY_CACHE))


def next_pseudonym_key(key: PseudonymKey) -> PseudonymKey:
    """
    Return the key of the next period; there is no way back from it.
    """
    return PseudonymKey(_hkdf(key.reveal(), labels.PSEUDONYM_RATCHET))


def _request_mac(mac_key: bytes, method: str, path: str, body: bytes) -> bytes:
    # Letters, then a slash, then printable ASCII, then 32 bytes: only one way to cut the joined string.
    if _METHOD.fullmatch(method) is None or _PATH.fullmatch(path) is None:
        raise ValueError("method or path is not in its form")
    return _hmac(mac_key, method.encode("ascii") + path.encode("ascii") + hashlib.sha256(body).digest())


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _hkdf(key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=info).derive(key)
