"""
How a command has the gateway that runs on a state folder do something: it leaves a request and waits for the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_sdk import files, requests
from edge_sdk.clock import Now, mono_ms
from edge_sdk.config import Config
from edge_sdk.errors import FolderInUse, Refused, StorageError
from edge_sdk.opening import Site, open_site
from edge_sdk.requests import Asked, Wish

_ANSWER_MS: Final = 10_000
LOOK_S: Final = 0.1


def do_here(config: Config, asked: Asked, job: Callable[[Site, Now], None]) -> None:
    """
    Do *job* on the site, or have the gateway that runs on it do what is *asked*.

    Raises:
        EdgeError: the site does not open, or the job is refused.

    After a power cut: as the job; the site was started and stopped like any other time.
    """
    try:
        site, _ = open_site(config)
    except FolderInUse:
        ask_running(config.folder, asked)
        return
    try:
        job(site, site.clock.now())
    finally:  # refused or not, it was a start and a stop like any other
        site.line.finish(site.clock.now())
        site.close()


def ask_running(folder: Path, asked: Asked) -> None:
    """
    Have the gateway that runs on *folder* do what is *asked*; blocks until it has, for ten seconds at most.

    Raises:
        Refused: what the gateway answered.
        StorageError: it did not answer; the request is taken back.

    After a power cut: the request is there or not, and harmless to find.
    """
    requests.ask(folder, asked)
    ends_ms = mono_ms() + _ANSWER_MS
    while mono_ms() < ends_ms:
        if _is_done(folder, asked):
            return
        threading.Event().wait(LOOK_S)
    requests.withdraw_request(folder)
    raise StorageError("the running gateway did not answer", hint="stop it and ask again")


def _is_done(folder: Path, asked: Asked) -> bool:
    if asked.wish is Wish.WIPE:  # the answer is erased with the rest: what tells is that the keys are gone
        return not files.exists(folder / "vault.bin")
    answered = requests.take_answer(folder)
    if answered is not None and not answered[0]:
        raise Refused(answered[1], hint="'edge-sdk status' says how everything stands")
    return answered is not None
