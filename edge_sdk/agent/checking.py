"""
Checking a policy whose text is new in a process of its own, before its site is opened.

An agent runs for months, and what it takes to check a text (pydantic) would stay in its memory until it is started
again. A child checks, keeps what came of it in ``policy.bin`` as any start does, and goes. Where it cannot, the agent
checks the text itself: nothing depends on the child but memory.

    python -m edge_sdk.agent.checking FOLDER POLICY
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
from edge_sdk.errors import ConfigError, EdgeError
from edge_sdk.keystore import FileKeyStore
from edge_sdk.opening import draw
from edge_sdk.policies import Policies
from edge_sdk.policy_file import policy_text
from edge_sdk.vault import Vault, read_lane
from edge_sdk.wipe import pending_intent, state_of

PATIENCE_S: Final = 120.0  # a start takes a few seconds on the slowest boards


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
        command = [sys.executable, "-m", "edge_sdk.agent.checking", str(config.folder), config.policy]
        subprocess.run(  # noqa: S603 - our own command
            command, check=False, timeout=PATIENCE_S, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


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
    main(Path(sys.argv[1]), sys.argv[2])
