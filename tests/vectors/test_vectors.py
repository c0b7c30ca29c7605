"""
Run every vector file, and hold the folder against the script that writes it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from edge_sdk import errors
from edge_sdk.collector.purposes import decode_purpose
from edge_sdk.collector.rows import batch_rows
from edge_sdk.core import cbor, documents, messages, receipt, seal
from edge_sdk.core.batch import decode_batch
from edge_sdk.core.envelope import outer
from edge_sdk.core.keys import GenerationHpkeSeed, RecipientSeed, RoleSeed
from edge_sdk.core.policy import purpose_digest
from tests.vectors import generate
from tests.vectors.rows import told
from tests.vectors.vector import FOLDER, read

FILES: Final = sorted(FOLDER.glob("*.vec"))
Head = dict[str, str]


def root_of(head: Head) -> documents.Root:
    return documents.pinned_root(read(FOLDER / f"{head['root']}.vec")[1])


def newest(head: Head) -> tuple[int, bytes] | None:
    if "newest_version" not in head:
        return None
    return int(head["newest_version"]), bytes.fromhex(head["newest_sha256"])


def device(head: Head) -> dict[str, Any]:
    return {
        "root": root_of(head),
        "audience": bytes.fromhex(head["audience"]),
        "generation": bytes.fromhex(head["generation"]),
        "now_s": int(head["now_s"]),
    }


def hpke(head: Head, role: type[Any]) -> dict[str, Any]:
    return {"seed": role(bytes.fromhex(head["seed"])), "alg": int(head["alg"])}


def opened_batch(data: bytes, head: Head) -> object:
    opened = seal.open_batch(data, recipient_seed=RecipientSeed(bytes.fromhex(head["seed"])), alg=int(head["alg"]))
    if "purpose" not in head:
        return decode_batch(opened.payload, lambda digest: ())
    canonical = bytes.fromhex(head["purpose"])
    purpose = decode_purpose(canonical, hashlib.sha256(canonical).digest())
    editions = {purpose_digest(purpose): purpose.views}
    found = told(batch_rows(decode_batch(opened.payload, editions.get), purpose))
    assert found == json.loads(head["rows"])
    return found


ACCEPT: Final[dict[str, Callable[[bytes, Head], object]]] = {
    "cbor": lambda data, head: cbor.decode(data, 4096),
    "pinned-root": lambda data, head: documents.pinned_root(data),
    "root": lambda data, head: documents.accept_root(root_of(head), data),
    "recipients": lambda data, head: documents.accept_recipients(
        data, root=root_of(head), newest=newest(head), now_s=int(head["now_s"])
    ),
    "statement": lambda data, head: documents.accept_statement(data, newest=newest(head), **device(head)),
    "wipe": lambda data, head: documents.accept_wipe(
        data, executed=[bytes.fromhex(head.get("executed", ""))], **device(head)
    ),
    "receipt": lambda data, head: receipt.accept_receipt(
        data,
        root=root_of(head),
        batch_id=bytes.fromhex(head["batch_id"]),
        body_sha256=bytes.fromhex(head["body_sha256"]),
    ),
    "time": lambda data, head: messages.accept_time(data, root=root_of(head), nonce=bytes.fromhex(head["nonce"])),
    "batch": opened_batch,
    "downlink": lambda data, head: messages.open_downlink(data, **hpke(head, GenerationHpkeSeed)),
    "enrol": lambda data, head: messages.open_enrol(data, **hpke(head, RoleSeed)),
    "control": lambda data, head: messages.open_control(
        data, signing_key=bytes.fromhex(head["signing_key"]), **hpke(head, RoleSeed)
    ),
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_vector_is_accepted_or_refused_as_it_says(path: Path) -> None:
    head, message = read(path)
    accept = ACCEPT[head["what"]]
    if head["expect"] == "accepted":
        assert accept(message, head) is not None
        return
    with pytest.raises(errors.EdgeError, match=re.escape(head["check"])) as caught:
        accept(message, head)
    assert type(caught.value).__name__ == head["error"]


def test_the_folder_is_what_the_script_writes() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in FILES}
    assert committed == generate.files()


def test_no_listed_vector_has_changed_and_every_vector_is_listed() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FILES}
    assert found == generate.listed()


def test_a_listed_vector_is_not_written_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sums, before = generate.SUMS.read_bytes(), (FOLDER / "rows.vec").read_bytes()
    monkeypatch.setattr(generate, "files", lambda: {"rows.vec": "another"})
    assert generate.main() == 1
    assert "rows.vec" in capsys.readouterr().err
    assert (generate.SUMS.read_bytes(), (FOLDER / "rows.vec").read_bytes()) == (sums, before)


def test_what_the_intake_reads_of_every_good_sealed_vector_is_well_formed() -> None:
    sealed = [path for path in FILES if path.stem in {"batch", "batch-x-wing", "downlink", "enrol", "control"}]
    assert [outer(read(path)[1]).typ for path in sealed]
    assert len(sealed) == 5
