"""
One vector: its file, and the ways to make a message wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_sdk.core import cbor, claims, cose, documents
from edge_sdk.core.claims import Role
from tests.vectors import world

FOLDER: Final = Path(__file__).parent / "v1"
NOW_S: Final = world.NOW_S
ALG: Final = claims.ALG_HPKE_X25519
DEVICE: Final = {"audience": world.AUDIENCE.hex(), "generation": world.GENERATION.hex()}
ROOTED: Final = {"root": "pinned-root", "now_s": str(NOW_S)}
STATEMENT: Final = ROOTED | DEVICE
BODY: Final = world.named("body")
NONCE: Final = world.named("nonce", 16)
RECEIPT: Final = {"root": "pinned-root", "batch_id": world.BATCH_ID.hex(), "body_sha256": BODY.hex()}
TIME: Final = {"root": "pinned-root", "nonce": NONCE.hex()}
OPENER: Final = {"seed": world.RECIPIENT_SEED.reveal().hex(), "alg": str(ALG)}
AUTHORITY: Final = {"seed": world.ENROLMENT_SEED.reveal().hex(), "alg": str(ALG)}
CHANCE: Final[dict[str, Any]] = {
    "content_alg": claims.ALG_A256GCM,
    "cek": world.named("cek"),
    "iv": world.named("iv", 12),
}
STREAM_SEED: Final = world.named("stream")
PAYLOAD: Final = cbor.encode(
    {
        0: 1,
        1: world.STREAM_ID,
        2: 0,
        3: -1,
        4: world.DIGEST,
        5: 0,
        6: [[0, None, None, 7]],
        7: bytes.fromhex("01 0100 feff 80"),  # one stored block: the empty list of tables
        9: cose.public_key_of(STREAM_SEED),
    }
)


@dataclass(frozen=True, slots=True)
class Vector:
    """
    Hold one vector before its message is made.
    """

    name: str
    what: str
    make: Callable[[], bytes]
    comment: str
    error: str = ""
    check: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    sealed: bool = False

    def text(self, message: bytes) -> str:
        """
        Return the file's content.
        """
        head = {"what": self.what, "expect": "refused" if self.error else "accepted"}
        if self.error:
            head |= {"error": self.error, "check": self.check}
        head |= {"comment": self.comment, **self.arguments}
        hexed = message.hex()
        lines = [hexed[at : at + 96] for at in range(0, len(hexed), 96)]
        return "\n".join([*(f"{key}: {value}" for key, value in head.items()), "", *lines, ""])


def read(path: Path) -> tuple[dict[str, str], bytes]:
    """
    Return head and message of a vector file.
    """
    head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
    keys = dict(line.split(": ", 1) for line in head.splitlines())
    return keys, bytes.fromhex("".join(body.split()))


def flipped(message: bytes, at: int = -1) -> bytes:
    """
    Return *message* with one bit changed.
    """
    position = at % len(message)
    return message[:position] + bytes([message[position] ^ 1]) + message[position + 1 :]


def signed(role: Role, typ: str, payload: bytes, count: int | None = None) -> bytes:
    """
    Return a bundle signed by *role* as *typ*, right or wrong.
    """
    return cose.sign_document(payload, typ=typ, seeds=[seed.reveal() for seed in world.seeds(role, count)])


def single(role: Role, typ: str, payload: bytes, *, edition: str = "") -> bytes:
    """
    Return one signature by *role* as *typ*, right or wrong.
    """
    seed = world.seeds(role, 1, edition=edition)[0].reveal()
    return cose.sign1(payload, seed=seed, kid=cose.key_id(cose.public_key_of(seed)), typ=typ)


def numbered(
    what: str, refused: Mapping[str, tuple[str, str, Callable[[], bytes]]], common: Mapping[str, Any]
) -> Iterator[Vector]:
    """
    Return one vector for each failed check; its number and name are in the file's name.
    """
    for name, (error, comment, make) in refused.items():
        number, word = name.removeprefix(f"{common['what']}-").split("-")[:2]
        check = f"{what} check {number} ({word})"
        yield Vector(name, make=make, comment=comment, error=error or "ConsentRefused", check=check, **common)


def aged(name: str, vector: Vector, **arguments: str) -> Vector:
    """
    Return *vector* met by a device that knows or is something else.
    """
    return Vector(
        name,
        vector.what,
        vector.make,
        vector.comment,
        error=vector.error,
        check=vector.check,
        arguments={**vector.arguments, **arguments},
    )


def twice(payload: bytes, key: int) -> bytes:
    """
    Return *payload* with the list under *key* doubled.
    """
    value: Any = cbor.decode(payload, 1 << 16)
    value[key] = value[key] * 2
    return cbor.encode(value)


def versions(
    what: str, make: Callable[[], bytes], document: documents.Statement | documents.Recipients, common: Any
) -> Iterator[Vector]:
    """
    Return rollback and equivocation: a good document met by a device that has seen another.
    """
    newer = Vector(
        "",
        make=make,
        comment="a newer one was accepted",
        error="ConsentRefused",
        check=f"{what} check 6 (version)",
        **common,
    )
    yield aged(
        f"{what}-6-version-rollback",
        newer,
        newest_version=str(document.version + 1),
        newest_sha256=bytes(32).hex(),
    )
    other = Vector(
        "",
        make=make,
        comment="another content of this version was accepted",
        error="Equivocation",
        check=f"{what} check 6 (version)",
        **common,
    )
    yield aged(
        f"{what}-6-version-equivocation",
        other,
        newest_version=str(document.version),
        newest_sha256=bytes(32).hex(),
    )
    again = Vector("", make=make, comment="the same one again", **common)
    yield aged(
        f"{what}-again",
        again,
        newest_version=str(document.version),
        newest_sha256=document.sha256.hex(),
    )
