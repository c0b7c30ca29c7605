"""
Asks zcbor which messages match which rules; run by ``peers.python`` in the environment of the peers.

Reads {"cddl": text, "messages": [[rule, hex]]}; writes true or false for each message.
"""

from __future__ import annotations

import contextlib
import json
import sys

from zcbor.zcbor.zcbor import PRELUDE_PATH, CddlValidationError, DataTranslator


def main() -> None:
    request = json.load(sys.stdin)
    rules = DataTranslator.from_cddl(PRELUDE_PATH.read_text() + request["cddl"], 1 << 20).my_types
    for rule, message in request["messages"]:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # it prints what does not match
                rules[rule].validate_str(bytes.fromhex(message))
            print("true")
        except CddlValidationError:
            print("false")


if __name__ == "__main__":
    main()
