"""
Published test vectors, from the packages that carry them: HPKE from cryptography_vectors, COSE-HPKE from cwt's archive.

The vectors of HPKE have an aad, which the public API of cryptography does not take and this product does not use; only
here its private form is called. No package carries vectors of X-Wing with SHAKE256 and AES-256-GCM at once, or of
COSE-HPKE with X-Wing: the published ones nearest to that suite are run, and the JavaScript reader opens the rest.
"""

from __future__ import annotations

import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cbor2
import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from edge_sdk.core import cbor, claims, envelope, seal
from edge_sdk.core.keys import RecipientSeed
from tests.interop import peers

ALGS: Final = {0x20: claims.ALG_HPKE_X25519, 0x647A: claims.ALG_HPKE_X_WING}
KEMS: Final = {0x20: KEM.X25519, 0x647A: KEM.MLKEM768_X25519}
KDFS: Final = {1: KDF.HKDF_SHA256, 2: KDF.HKDF_SHA384, 3: KDF.HKDF_SHA512, 0x10: KDF.SHAKE128, 0x11: KDF.SHAKE256}
AEADS: Final = {1: AEAD.AES_128_GCM, 2: AEAD.AES_256_GCM, 3: AEAD.CHACHA20_POLY1305}
FILES: Final = ("test-vectors.json", "hpke-pq-test-vectors.json")


def hpke_vectors() -> Iterator[dict[str, Any]]:
    """Yield what uses our key types, in base mode, with an AEAD."""
    with zipfile.ZipFile(peers.archive("cryptography_vectors")) as wheel:
        for name in FILES:
            for vector in json.loads(wheel.read(f"cryptography_vectors/HPKE/{name}")):
                spoken = vector["kem_id"] in KEMS and vector["aead_id"] in AEADS and vector["kdf_id"] in KDFS
                if vector["mode"] == 0 and spoken:
                    yield vector


def suite_of(vector: dict[str, Any]) -> tuple[KEM, KDF, AEAD]:
    return KEMS[vector["kem_id"]], KDFS[vector["kdf_id"]], AEADS[vector["aead_id"]]


@pytest.fixture(scope="module")
def vectors() -> list[dict[str, Any]]:
    return list(hpke_vectors())


def test_the_suite_of_small_links_is_among_the_published_ones(vectors: list[dict[str, Any]]) -> None:
    assert seal.SUITES[claims.ALG_HPKE_X25519] in {suite_of(vector) for vector in vectors}


def test_both_kinds_of_key_are_among_them(vectors: list[dict[str, Any]]) -> None:
    assert {vector["kem_id"] for vector in vectors} == set(KEMS)


def test_a_seed_gives_the_published_public_key(vectors: list[dict[str, Any]]) -> None:
    for vector in vectors:
        seed = RecipientSeed(bytes.fromhex(vector["skRm"]))
        assert seal.hpke_key_pair(seed, ALGS[vector["kem_id"]])[1].hex() == vector["pkRm"]


def test_what_was_published_opens_with_a_key_pair_made_here(vectors: list[dict[str, Any]]) -> None:
    for vector in vectors:
        private, _ = seal.hpke_key_pair(RecipientSeed(bytes.fromhex(vector["skRm"])), ALGS[vector["kem_id"]])
        first = vector["encryptions"][0]  # the later ones need a context, which nothing here has
        found = openssl.hpke._decrypt_with_aad(
            Suite(*suite_of(vector)),
            bytes.fromhex(vector["enc"] + first["ct"]),
            private,
            bytes.fromhex(vector["info"]),
            bytes.fromhex(first["aad"]),
        )
        assert found.hex() == first["pt"]


# ------------------------------------------------------------------------------------------------ COSE-HPKE

HEADING: Final = re.compile(
    r"HPKE-4-KE with (default|external) aad, (default|external) info, default hpke aad\s+Ciphertext: (\w+)"
)


@dataclass(frozen=True)
class Published:
    """One message of appendix C of draft-ietf-cose-hpke, and what was bound to it."""

    message: bytes
    external_aad: bytes
    extra_info: bytes


def cose_key_and_messages() -> tuple[bytes, list[Published]]:
    with tarfile.open(peers.archive("cwt")) as archive:
        (name,) = [name for name in archive.getnames() if name.endswith("tests/vectors/testvectors.txt")]
        content = archive.extractfile(name)
        assert content is not None
        text = content.read().decode("ascii")
    key = re.search(r"HPKE-4-KE COSE_Key:: (\w+)", text)
    assert key is not None
    told = {"default": (b"", b""), "external": (b"external-aad", b"external-info")}
    found = [
        Published(bytes.fromhex(message), external_aad=told[aad][0], extra_info=told[info][1])
        for aad, info, message in HEADING.findall(text)
    ]
    return bytes.fromhex(key[1]), found


def seed_in(cose_key: bytes) -> RecipientSeed:
    """Return the private part (label -4) of an OKP key; the strict reader here takes no such map."""
    at = cose_key.rindex(b"\x23\x58\x20")
    return RecipientSeed(cose_key[at + 3 : at + 35])


def test_the_published_messages_of_our_algorithm_open_with_the_structures_of_this_profile() -> None:
    cose_key, messages = cose_key_and_messages()
    private, _ = seal.hpke_key_pair(seed_in(cose_key), claims.ALG_HPKE_X25519)
    assert len(messages) == 4
    for one in messages:
        protected, unprotected, ciphertext, ((named, encapsulated, wrapped),) = _parts(one.message)
        assert protected == cbor.encode({1: claims.ALG_CHACHA20_POLY1305})
        info = envelope.recipient_structure(claims.ALG_CHACHA20_POLY1305, named, one.extra_info)
        cek = Suite(*seal.SUITES[claims.ALG_HPKE_X25519]).decrypt(encapsulated[-4] + wrapped, private, info)
        aad = envelope.content_aad(protected, one.external_aad)
        assert ChaCha20Poly1305(cek).decrypt(unprotected[5], ciphertext, aad) == b"hpke test payload"


def _parts(message: bytes) -> Any:
    assert message[:2] == b"\xd8\x60"
    return cbor2.loads(message[2:])
