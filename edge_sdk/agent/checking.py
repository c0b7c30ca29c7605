"""
Checking a policy whose text is new in a process of its own, before its site is opened or its line exchanged.

An agent runs for months, and what it takes to check a text (pydantic) would stay in its memory until it is started
again. A child checks, keeps what came of it in ``policy.bin`` as any start does, and goes. Where it cannot, the agent
checks the text itself: nothing depends on the child but memory.

    python -m edge_sdk.agent.checking FOLDER POLICY
    python -m edge_sdk.agent.checking < POLICY
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.config import Config
from edge_sdk.consent_record import decode_held
from edge_sdk.core.lifecycle import Room, check_open
from edge_sdk.core.shim_ids import HASH_BYTES, Schema
from edge_sdk.errors import ConfigError, EdgeError
from edge_sdk.keystore import FileKeyStore
from edge_sdk.opening import draw
from edge_sdk.policies import Policies
from edge_sdk.policy_file import load_policy, policy_text
from edge_sdk.vault import Vault, read_lane
from edge_sdk.wipe import pending_intent, state_of

PATIENCE_S: Final = 120.0  # a start takes a few seconds on the slowest boards
WRONG: Final = 3  # the code a child ends with when the text is wrong, and at nothing else
_MODULE: Final = "edge_sdk.agent.checking"


def check_apart(config: Config) -> None:
    """
    Have a child check the policies of the site, if a start would have to read the text of one.

    Blocks: until the child has ended, 120 s at most.

    After a power cut: the policies are kept or not; the next start checks what is not.
    """
    with contextlib.suppress(EdgeError, OSError, subprocess.SubprocessError):  # whatever it is, opening the site tells
        policies, texts = _kept(config.folder, config.policy)
        if all(map(policies.has, texts)):
            return
        command = [sys.executable, "-m", _MODULE, str(config.folder), config.policy]
        subprocess.run(  # noqa: S603 - our own command
            command, check=False, timeout=PATIENCE_S, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def schema_apart(text: str) -> bytes:
    """
    Have a child check a policy's text, and return the hash of what firmware is told of it.

    Blocks: until the child has ended, 120 s at most.

    Raises:
        ConfigError: the text is wrong.
    """
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", _MODULE], input=text.encode(), check=False, timeout=PATIENCE_S,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode == WRONG:
            raise ConfigError("the policy is wrong", hint="'edge-sdk policy check' says where")
        if done.returncode == 0 and len(done.stdout) == HASH_BYTES:
            return done.stdout
    return Schema(load_policy(text, where="the policy")).hash


def tell_schema() -> int:
    """
    Check the text on standard input, as the child, and write its hash; return the code to end with.
    """
    try:
        schema = Schema(load_policy(sys.stdin.buffer.read().decode(), where="the policy"))
    except ConfigError:
        return WRONG
    sys.stdout.buffer.write(schema.hash)
    return 0


def main(folder: Path, policy: str) -> None:
    """
    Check and keep, as the child.

    Raises:
        EdgeError: the folder is in use, or is none of a site.
    """
    lock = files.FolderLock(folder)
    try:
        policies, texts = _kept(folder, policy)
        for text in texts:
            with contextlib.suppress(ConfigError):  # the agent comes to the same, and tells it
                policies.read(text, where=Path(policy).name)
        policies.keep(draw)
    finally:
        lock.close()


def _kept(folder: Path, policy: str) -> tuple[Policies, list[str]]:
    """
    Return what is kept at a site, and the texts that a start will ask for.
    """
    lane = read_lane(folder)
    check_open(state_of(lane, pending_intent(folder, lane)), Room.COLLECT)  # an erase goes before everything else
    vault = Vault.open(folder, FileKeyStore(folder), draw=draw, finish=False)
    texts = [*decode_held(vault.read_state()).policies, policy_text(policy)]
    return Policies(folder, vault.ring.state), texts


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(tell_schema())
    main(Path(sys.argv[1]), sys.argv[2])
