"""
Write the test vectors: ``python -m tests.vectors.generate``.

Each vector is a good message with one thing wrong. Signed ones come out the same each time; sealed ones are made once
and kept, because HPKE draws its own chance.
"""

from __future__ import annotations

from tests.vectors import sealed, signed
from tests.vectors.vector import FOLDER, Vector, read


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
