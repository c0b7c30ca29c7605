"""
Seals and opens COSE-HPKE messages with the package cwt; run by ``peers.python`` in the environment of the peers.

Reads {"open": [{"key": {...}, "message", "bound"}]} or {"seal": [{"key", "protected", "iv", "plaintext", "bound"}]};
writes the plaintext or the message in hex, or null where it refuses. *bound* is external aad of the content and extra
info of the recipient at once.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from cwt import COSE, COSEKey, Recipient
from cwt.exceptions import CWTError

HPKE_4_KE = 50
CONTENT_ALGS = {3: "A256GCM", 24: "ChaCha20/Poly1305"}


def key_of(told: dict[str, str]) -> Any:
    parts = {1: 1, 2: bytes.fromhex(told["kid"]), 3: HPKE_4_KE, -1: 4, -2: bytes.fromhex(told["public"])}
    if "seed" in told:
        parts[-4] = bytes.fromhex(told["seed"])
    return COSEKey.new(parts)


def opened(asked: dict[str, Any]) -> str | None:
    bound = bytes.fromhex(asked["bound"])
    try:
        message = bytes.fromhex(asked["message"])
        return COSE.new().decode(message, key_of(asked["key"]), external_aad=bound, extra_info=bound).hex()
    except (CWTError, ValueError):
        return None


def sealed(asked: dict[str, Any]) -> str:
    bound = bytes.fromhex(asked["bound"])
    protected = {int(name): bytes.fromhex(value[4:]) if str(value).startswith("hex:") else value
                 for name, value in asked["protected"].items()}  # fmt: skip
    recipient = Recipient.new(
        protected={1: HPKE_4_KE, 4: bytes.fromhex(asked["key"]["kid"])},
        recipient_key=key_of(asked["key"]),
        extra_info=bound,
    )
    return COSE.new(deterministic_header=True).encode_and_encrypt(
        bytes.fromhex(asked["plaintext"]),
        COSEKey.generate_symmetric_key(alg=CONTENT_ALGS[protected[1]]),
        protected=protected,
        unprotected={5: bytes.fromhex(asked["iv"])},
        recipients=[recipient],
        external_aad=bound,
    ).hex()  # fmt: skip


def main() -> None:
    request = json.load(sys.stdin)
    for asked in request.get("open", []):
        print(json.dumps(opened(asked)))
    for asked in request.get("seal", []):
        print(json.dumps(sealed(asked)))


if __name__ == "__main__":
    main()
