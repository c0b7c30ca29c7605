"""
Write the test vectors: ``python -m tests.vectors.generate``.

Each vector is a good message with one thing wrong. Signed ones come out the same each time; sealed ones are made once
and kept, because HPKE draws its own chance. A file that is listed in ``SHA256SUMS`` is never written again: other
implementations were built on it.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Final

from tests.vectors import rows, sealed, signed
from tests.vectors.vector import FOLDER, Vector, read

SUMS: Final = FOLDER / "SHA256SUMS"


def vectors(kept_batch: bytes) -> list[Vector]:
    """
    Return all vectors; those of the outer form are made of *kept_batch*.
    """
    makers = (
        signed.roots,
        signed.statements,
        signed.recipients,
        signed.wipe_orders,
        signed.answers,
        sealed.batches,
        rows.batches_with_rows,
        sealed.sealed_messages,
        sealed.encodings,
    )
    made = [vector for maker in makers for vector in maker()]
    return [*made, *sealed.envelopes(kept_batch)]


def files() -> dict[str, str]:
    """
    Return every vector file by name, keeping the sealed messages that are there.
    """
    first = FOLDER / "batch.vec"
    kept_batch = read(first)[1] if first.exists() else sealed.sealed_batch()
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


def listed() -> dict[str, str]:
    """
    Return the SHA-256 in hex of every file that must not change, by name.
    """
    lines = SUMS.read_text(encoding="ascii").splitlines() if SUMS.exists() else []
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def sha256_of(text: str) -> str:
    """
    Return the SHA-256 of a vector file with that text, in hex.
    """
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def main() -> int:
    """
    Write the files that are new and list them; return 1 without writing when a listed one would change or go.
    """
    FOLDER.mkdir(exist_ok=True)
    written, kept = files(), listed()
    changed = sorted(name for name, digest in kept.items() if name not in written or sha256_of(written[name]) != digest)
    if changed:
        print(f"these are listed in {SUMS.name} and would change: {', '.join(changed)}", file=sys.stderr)
        print("make a new one beside them; to change what one holds is a new version of the format", file=sys.stderr)
        return 1
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    lines = [f"{sha256_of(text)}  {name}\n" for name, text in sorted(written.items())]
    SUMS.write_text("".join(lines), encoding="ascii")
    print(f"{len(written)} vectors, {len(written) - len(kept)} new")
    return 0


if __name__ == "__main__":
    sys.exit(main())
