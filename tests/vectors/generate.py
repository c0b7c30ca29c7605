"""
Write the test vectors: ``python -m tests.vectors.generate``.

Each vector is a good message with one thing wrong. Signed ones come out the same each time; sealed ones are made once
and kept, because HPKE draws its own chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_sdk.core import cbor, claims, cose, documents, labels, messages, receipt, seal
from edge_sdk.core.claims import Role
from edge_sdk.core.documents.root import CLOCK_SKEW_S
from edge_sdk.core.keys import RoleSeed
from edge_sdk.core.padding import pad, pad_to
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
        7: bytes.fromhex("03 00"),  # an empty deflated block: no tables
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


# --- documents


def successor(**changes: Any) -> documents.Root:
    """
    Return the root that follows the pinned one.
    """
    return world.root(**({"version": 2, "iat_s": NOW_S} | changes))


def roots() -> Iterator[Vector]:
    """
    Return the vectors of the root.
    """
    by_root: dict[str, Any] = {"what": "root", "arguments": {"root": "pinned-root"}}
    rotated = dict(world.root().roles) | {Role.ROOT: world.role_keys(Role.ROOT, edition=" new")}
    one_new = [*world.seeds(Role.ROOT), *world.seeds(Role.ROOT, 1, edition=" new")]
    good = documents.encode_root(successor())

    def by_two(root: documents.Root, seeds: Sequence[RoleSeed] | None = None) -> Callable[[], bytes]:
        return lambda: documents.sign_root(root, seeds or world.seeds(Role.ROOT))

    yield Vector("pinned-root", "pinned-root", by_two(world.root()), "the pinned root of all other vectors")
    yield Vector("root", make=by_two(successor()), comment="the next version", **by_root)
    refused = {
        "root-1-signature": ("Tampered", "one bit of a signature", lambda: flipped(by_two(successor())())),
        "root-2-typ": ("", "signed as statement", lambda: signed(Role.ROOT, labels.TYP_STATEMENT, good)),
        "root-3-role": ("", "signed by the statement role", lambda: signed(Role.STATEMENT, labels.TYP_ROOT, good)),
        "root-3-role-current": ("", "one of two signatures", lambda: signed(Role.ROOT, labels.TYP_ROOT, good, 1)),
        "root-3-role-successor": (
            "",
            "one of two signatures by the new keys",
            by_two(successor(roles=rotated), one_new),
        ),
        "root-4-audience": ("", "a real root after a test root", by_two(successor(test=False))),
        "root-6-version": ("", "version 3 after version 1", by_two(successor(version=3))),
        "root-6-version-same": ("", "version 1 after version 1", by_two(successor(version=1))),
        "root-7-times": ("", "issued before version 1", by_two(successor(iat_s=world.root().iat_s - 1))),
    }
    yield from numbered("root", refused, by_root)


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


def statements() -> Iterator[Vector]:
    """
    Return the vectors of the statement.
    """
    common: dict[str, Any] = {"what": "statement", "arguments": STATEMENT}
    good = documents.encode_statement(world.statement())

    def made(**changes: Any) -> Callable[[], bytes]:
        return lambda: documents.sign_statement(world.statement(**changes), world.seeds(Role.STATEMENT))

    yield Vector("statement", make=made(), comment="one consent, given", **common)
    strange = made(account="dormant", grants=(world.grant(status="paused", basis="whim"),))
    yield Vector(
        "statement-unknown-words", make=strange, comment="account, basis and status of a later release", **common
    )
    early = made(nbf_s=NOW_S + CLOCK_SKEW_S + 1)
    refused = {
        "statement-1-signature": ("Tampered", "one bit of the signature", lambda: flipped(made()())),
        "statement-2-typ": ("", "signed as receipt", lambda: signed(Role.STATEMENT, labels.TYP_RECEIPT, good)),
        "statement-3-role": ("", "signed by the wipe role", lambda: signed(Role.WIPE, labels.TYP_STATEMENT, good)),
        "statement-4-audience": ("", "for another device", made(audience=bytes(16))),
        "statement-5-generation": ("", "for another generation", made(generation=bytes(16))),
        "statement-7-times-early": ("", "valid in more than an hour", early),
        "statement-7-times-expired": ("", "expired this second", made(exp_s=NOW_S)),
    }
    yield from numbered("statement", refused, common)
    yield from versions("statement", made(), world.statement(), common)
    yield Vector(
        "statement-malformed-grant-twice",
        make=lambda: signed(Role.STATEMENT, labels.TYP_STATEMENT, twice(good, claims.GRANTS)),
        comment="one grant id twice",
        error="Malformed",
        check="statement gives one grant id twice",
        **common,
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


def recipients() -> Iterator[Vector]:
    """
    Return the vectors of the recipients document.
    """
    common: dict[str, Any] = {"what": "recipients", "arguments": ROOTED}
    good = documents.encode_recipients(world.recipients())

    def made(**changes: Any) -> Callable[[], bytes]:
        return lambda: documents.sign_recipients(world.recipients(**changes), world.seeds(Role.RECIPIENTS))

    yield Vector("recipients", make=made(), comment="one X25519 key", **common)
    both = (world.recipient_key(), world.recipient_key(claims.ALG_HPKE_X_WING))
    yield Vector("recipients-two", make=made(keys=both), comment="an X25519 and an X-Wing key", **common)
    early = made(iat_s=NOW_S + CLOCK_SKEW_S + 1)
    refused = {
        "recipients-1-signature": ("Tampered", "one bit of the signature", lambda: flipped(made()())),
        "recipients-2-typ": ("", "signed as root", lambda: signed(Role.RECIPIENTS, labels.TYP_ROOT, good)),
        "recipients-3-role": (
            "",
            "signed by the statement role",
            lambda: signed(Role.STATEMENT, labels.TYP_RECIPIENTS, good),
        ),
        "recipients-7-times-early": ("", "issued in more than an hour", early),
        "recipients-7-times-expired": ("", "expired this second", made(exp_s=NOW_S)),
    }
    yield from numbered("recipients", refused, common)
    yield from versions("recipients", made(), world.recipients(), common)
    yield Vector(
        "recipients-malformed-key-twice",
        make=lambda: signed(Role.RECIPIENTS, labels.TYP_RECIPIENTS, twice(good, claims.RECIPIENTS)),
        comment="one key twice",
        error="Malformed",
        check="recipients list one key twice",
        **common,
    )


def wipe_orders() -> Iterator[Vector]:
    """
    Return the vectors of the wipe order.
    """
    common: dict[str, Any] = {"what": "wipe", "arguments": STATEMENT}
    good = documents.encode_wipe(world.wipe_order())

    def made(**changes: Any) -> Callable[[], bytes]:
        return lambda: documents.sign_wipe(world.wipe_order(**changes), world.seeds(Role.WIPE))

    yield Vector("wipe", make=made(), comment="the whole account", **common)
    yield Vector("wipe-purpose", make=made(purposes=("research",)), comment="one purpose", **common)
    refused = {
        "wipe-1-signature": ("Tampered", "one bit of a signature", lambda: flipped(made()())),
        "wipe-2-typ": ("", "signed as statement", lambda: signed(Role.WIPE, labels.TYP_STATEMENT, good)),
        "wipe-3-role": ("", "signed by the statement role", lambda: signed(Role.STATEMENT, labels.TYP_WIPE, good)),
        "wipe-3-role-threshold": ("", "one of two signatures", lambda: signed(Role.WIPE, labels.TYP_WIPE, good, 1)),
        "wipe-4-audience": ("", "for another device", made(audience=bytes(16))),
        "wipe-5-generation": ("", "for another generation", made(generation=bytes(16))),
        "wipe-7-times-early": ("", "issued in more than an hour", made(iat_s=NOW_S + CLOCK_SKEW_S + 1)),
        "wipe-7-times-not-due": ("", "due in a second", made(not_before_s=NOW_S + 1)),
    }
    yield from numbered("wipe order", refused, common)
    replayed = Vector(
        "",
        make=made(),
        comment="carried out before",
        error="ConsentRefused",
        check="wipe order check 6 (version)",
        **common,
    )
    yield aged("wipe-6-version-executed", replayed, executed=world.wipe_order().nonce.hex())


# --- answers


def answers() -> Iterator[Vector]:
    """
    Return the vectors of receipt and signed time.
    """
    by_receipt: dict[str, Any] = {"what": "receipt", "arguments": RECEIPT}
    by_time: dict[str, Any] = {"what": "time", "arguments": TIME}
    stored = cbor.encode({0: 1, 1: world.BATCH_ID, 2: BODY, 3: None, 4: 0, 6: NOW_S})
    told = cbor.encode({0: 1, 1: NONCE, 2: NOW_S})

    def made(**changes: Any) -> Callable[[], bytes]:
        arguments: dict[str, Any] = {"batch_id": world.BATCH_ID, "body_sha256": BODY, "downlink_hash": None}
        full = receipt.Receipt(at_s=NOW_S, **(arguments | changes))
        return lambda: receipt.sign_receipt(full, world.seeds(Role.RECEIPT)[0])

    yield Vector("receipt", make=made(), comment="stored", **by_receipt)
    yield Vector("receipt-refusal", make=made(result=413), comment="too large", **by_receipt)
    yield from numbered(
        "receipt",
        {
            "receipt-1-signature": (
                "Tampered",
                "signed by a stranger",
                lambda: single(Role.RECEIPT, labels.TYP_RECEIPT, stored, edition=" stranger"),
            ),
            "receipt-2-typ": ("Tampered", "signed as time", lambda: single(Role.RECEIPT, labels.TYP_TIME, stored)),
            "receipt-3-role": (
                "Tampered",
                "signed by the time role",
                lambda: single(Role.TIME, labels.TYP_RECEIPT, stored),
            ),
            "receipt-4-batch id": ("Tampered", "for another batch", made(batch_id=bytes(16))),
            "receipt-5-body": ("Tampered", "for other bytes", made(body_sha256=bytes(32))),
        },
        by_receipt,
    )
    yield Vector("time", make=lambda: single(Role.TIME, labels.TYP_TIME, told), comment="now", **by_time)
    other = cbor.encode({0: 1, 1: bytes(16), 2: NOW_S})
    yield from numbered(
        "time",
        {
            "time-1-signature": (
                "Tampered",
                "signed by a stranger",
                lambda: single(Role.TIME, labels.TYP_TIME, told, edition=" stranger"),
            ),
            "time-2-typ": ("Tampered", "signed as receipt", lambda: single(Role.TIME, labels.TYP_RECEIPT, told)),
            "time-3-role": (
                "Tampered",
                "signed by the receipt role",
                lambda: single(Role.RECEIPT, labels.TYP_TIME, told),
            ),
            "time-4-nonce": ("Tampered", "for another request", lambda: single(Role.TIME, labels.TYP_TIME, other)),
        },
        by_time,
    )


# --- sealed messages


def sealed_batch(alg: int = ALG) -> bytes:
    """
    Return a good batch.
    """
    kid = world.recipient_key(alg).kid
    collect = world.decision(statement=world.statement(grants=(world.grant(recipients=(kid,)),))).collect
    assert collect is not None
    return seal.seal_batch(
        PAYLOAD,
        grant=collect,
        recipient=world.recipient_key(alg),
        stream_id=world.STREAM_ID,
        stream_seed=STREAM_SEED,
        batch_id=world.BATCH_ID,
        **CHANCE,
    )


def hand_sealed(inner: bytes) -> bytes:
    """
    Return any inside in a good batch envelope.
    """
    return seal.seal(inner, recipient=world.recipient_key(), typ=labels.TYP_BATCH, batch_id=world.BATCH_ID, **CHANCE)


def hand_signed(**changes: Any) -> bytes:
    """
    Return a batch whose inner signature is made otherwise.
    """
    aad = cbor.encode([labels.PROFILES[labels.TYP_BATCH], world.BATCH_ID, world.recipient_key().kid])
    arguments: dict[str, Any] = {
        "seed": STREAM_SEED,
        "kid": world.STREAM_ID,
        "typ": labels.TYP_BATCH,
        "external_aad": aad,
    }
    return hand_sealed(pad(cose.sign1(PAYLOAD, **(arguments | changes))))


def batches() -> Iterator[Vector]:
    """
    Return the vectors of sealed batches, from the inside out.
    """
    common: dict[str, Any] = {"what": "batch", "arguments": OPENER, "sealed": True}
    profile = labels.PROFILES[labels.TYP_BATCH]
    kid = world.recipient_key().kid
    yield Vector("batch", make=sealed_batch, comment="HPKE-4-KE, A256GCM, a power gap and no rows", **common)
    yield Vector(
        "batch-x-wing",
        make=lambda: sealed_batch(claims.ALG_HPKE_X_WING),
        comment="HPKE-9-KE",
        **(common | {"arguments": OPENER | {"alg": str(claims.ALG_HPKE_X_WING)}}),
    )
    other_batch = cbor.encode([profile, bytes(16), kid])
    other_kid = cbor.encode([profile, world.BATCH_ID, bytes(8)])
    refused: dict[str, tuple[str, str, Callable[[], bytes]]] = {
        "other-signer": ("Tampered", "signature", lambda: hand_signed(seed=world.named("forger"))),
        "other-stream": ("Tampered", "batch", lambda: hand_signed(kid=bytes(16))),
        "other-batch": ("Tampered", "signature", lambda: hand_signed(external_aad=other_batch)),
        "other-recipient": ("Tampered", "signature", lambda: hand_signed(external_aad=other_kid)),
        "other-typ": ("Tampered", "signature", lambda: hand_signed(typ=labels.TYP_CONTROL)),
        "detached": ("Malformed", "batch carries no payload", lambda: hand_signed(detached=True)),
        "no-padding": ("Malformed", "padding", lambda: hand_sealed(b"")),
        "no-signature": ("Malformed", "batch lacks tag 18", lambda: hand_sealed(pad(b"inside"))),
    }
    for name, (error, check, make) in refused.items():
        yield Vector(f"batch-{name}", make=make, comment=name.replace("-", " "), error=error, check=check, **common)


def envelopes(batch: bytes) -> Iterator[Vector]:
    """
    Return the vectors of the outer form, made of one good batch.
    """
    value: Any = cbor.decode(batch[2:], 1 << 16)
    header, iv, ciphertext, (recipient,) = value

    def rebuilt(*parts: object) -> Callable[[], bytes]:
        return lambda: batch[:2] + cbor.encode(list(parts))

    common: dict[str, Any] = {"what": "batch", "arguments": OPENER}
    twice_alg = cbor.encode({1: 50, 4: recipient[0][-8:], 5: b""})
    refused: dict[str, tuple[str, str, Callable[[], bytes]]] = {
        "tag": ("Malformed", "envelope lacks tag 96", lambda: b"\xd8\x61" + batch[2:]),
        "trailing-byte": ("Malformed", "bytes after its end", lambda: batch + b"\x00"),
        "indefinite": ("Malformed", "indefinite", lambda: batch[:2] + b"\x9f" + batch[3:] + b"\xff"),
        "long-head": ("Malformed", "head longer", lambda: batch[:2] + b"\x98\x04" + batch[3:]),
        "iv-flipped": ("Tampered", "envelope", rebuilt(header, {5: flipped(iv[5])}, ciphertext, [recipient])),
        "extra-unprotected": ("Malformed", "unknown keys", rebuilt(header, iv | {4: b""}, ciphertext, [recipient])),
        "extra-recipient-header": (
            "Malformed",
            "unknown keys",
            rebuilt(header, iv, ciphertext, [[twice_alg, *recipient[1:]]]),
        ),
        "second-recipient": ("Malformed", "1 items", rebuilt(header, iv, ciphertext, [recipient, recipient])),
        "no-recipient": ("Malformed", "1 items", rebuilt(header, iv, ciphertext, [])),
        "short-ek": (
            "Malformed",
            "length of ek",
            rebuilt(header, iv, ciphertext, [[recipient[0], {-4: bytes(31)}, recipient[2]]]),
        ),
        "other-content-alg": (
            "Tampered",
            "envelope",
            rebuilt(header.replace(b"\x01\x03", b"\x01\x18\x18"), iv, ciphertext, [recipient]),
        ),
        "other-batch-id": (
            "Tampered",
            "envelope",
            rebuilt(header.replace(world.BATCH_ID, bytes(16)), iv, ciphertext, [recipient]),
        ),
    }
    for name, (error, check, make) in refused.items():
        yield Vector(f"envelope-{name}", make=make, comment=name.replace("-", " "), error=error, check=check, **common)


def sealed_messages() -> Iterator[Vector]:
    """
    Return the vectors of downlink, enrolment and control.
    """
    device_key = documents.HpkePublic(ALG, seal.hpke_key_pair(world.HPKE_SEED, ALG)[1])
    enrolment = world.root().enrolment
    device = {"seed": world.HPKE_SEED.reveal().hex(), "alg": str(ALG)}
    request = messages.EnrolRequest(
        code="ABCD-EFGH-JKMN-0123",
        generation=world.GENERATION,
        signing_key=world.SIGNING_KEY,
        hpke=device_key,
        routing=world.ROUTING,
        stream=world.STREAM_SECRET,
        root_version=1,
    )
    control = messages.Control(world.GENERATION, NOW_S, (world.named("head"), 3), messages.LedgerHead())
    statement = documents.sign_statement(world.statement(), world.seeds(Role.STATEMENT))
    down = messages.Downlink(20_370, statement)

    def down_of(size: int) -> bytes:
        inner = cbor.encode({0: 1, 1: down.epoch, 2: statement})
        return seal.seal(pad_to(inner, size), recipient=device_key, typ=labels.TYP_DOWNLINK, batch_id=None, **CHANCE)

    yield Vector(
        "downlink",
        "downlink",
        lambda: messages.seal_downlink(down, recipient=device_key, **CHANCE),
        "a statement and no wipe order",
        arguments=device,
        sealed=True,
    )
    yield Vector(
        "downlink-size",
        "downlink",
        lambda: down_of(2048),
        "padded to another size",
        error="Malformed",
        check="not padded to 4096",
        arguments=device,
        sealed=True,
    )
    yield Vector(
        "enrol",
        "enrol",
        lambda: messages.seal_enrol(request, seed=world.SIGNING_SEED, recipient=enrolment, **CHANCE),
        "a new generation",
        arguments=AUTHORITY,
        sealed=True,
    )
    sent: dict[str, Any] = {"recipient": enrolment, "message_id": world.BATCH_ID, **CHANCE}
    by = AUTHORITY | {"signing_key": world.SIGNING_KEY.hex()}
    yield Vector(
        "control",
        "control",
        lambda: messages.seal_control(control, seed=world.SIGNING_SEED, **sent),
        "a ledger head",
        arguments=by,
        sealed=True,
    )
    yield Vector(
        "control-other-generation",
        "control",
        lambda: messages.seal_control(control, seed=world.SIGNING_SEED, **sent),
        "signed by another generation than the one looked up",
        error="Tampered",
        check="control message",
        arguments=by | {"signing_key": cose.public_key_of(world.named("other")).hex()},
        sealed=True,
    )


NOT_CBOR: Final = {
    "tag": ("c000", "tag, float or simple"),
    "float": ("f90000", "tag, float or simple"),
    "indefinite-array": ("9f01ff", "indefinite"),
    "long-head": ("1801", "longer than needed"),
    "text-key": ("a1616101", "key outside the format"),
    "two-byte-key": ("a1181801", "key outside the format"),
    "repeated-key": ("a200010002", "not deterministically encoded"),
    "unordered-keys": ("a201010000", "not deterministically encoded"),
    "not-utf8": ("61ff", "not UTF-8"),
    "cut-short": ("4201", "cut short"),
    "trailing-byte": ("0000", "bytes after its end"),
    "bomb": ("9bffffffffffffffff", "more items than it has bytes"),
    "too-deep": ("81" * 13 + "00", "nests deeper"),
}


def encodings() -> Iterator[Vector]:
    """
    Return the vectors of the encoding itself.
    """
    for name, (hexed, check) in NOT_CBOR.items():
        make = bytes.fromhex(hexed)
        yield Vector(
            f"cbor-{name}",
            "cbor",
            lambda made=make: made,
            name.replace("-", " "),
            error="Malformed",
            check=check,
        )


def vectors(kept_batch: bytes) -> list[Vector]:
    """
    Return all vectors; those of the outer form are made of *kept_batch*.
    """
    makers = (roots, statements, recipients, wipe_orders, answers, batches, sealed_messages, encodings)
    made = [vector for maker in makers for vector in maker()]
    return [*made, *envelopes(kept_batch)]


def files() -> dict[str, str]:
    """
    Return every vector file by name, keeping the sealed messages that are there.
    """
    first = FOLDER / "batch.vec"
    kept_batch = read(first)[1] if first.exists() else sealed_batch()
    written = {}
    for vector in vectors(kept_batch):
        name = vector.name.replace(" ", "-") + ".vec"
        path = FOLDER / name
        if vector.name == "batch":
            message = kept_batch
        elif vector.sealed and path.exists():
            message = read(path)[1]
        else:
            message = vector.make()
        written[name] = vector.text(message)
    return written


def main() -> None:
    """
    Write the files, and remove those that are no longer made.
    """
    FOLDER.mkdir(exist_ok=True)
    written = files()
    for path in FOLDER.glob("*.vec"):
        if path.name not in written:
            path.unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(written)} vectors")


if __name__ == "__main__":
    main()
