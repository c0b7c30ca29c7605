"""
How a command reaches a running gateway: one small file in the state folder, and one with the answer.

A command that finds the folder in use leaves a request there and rings (``bell``); the gateway does what it says on the
writer's thread and answers. Where it does not hear, it looks every 2.2 seconds. Who may write the folder may ask: it is
0700. A request says what to do, never what was measured.

Files: request, answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from edge_sdk import bell, files
from edge_sdk.clock import Now
from edge_sdk.core import cbor
from edge_sdk.core.shape import array, boolean, octets, text
from edge_sdk.errors import EdgeError, LifecycleRefused, Malformed

_LIMIT: Final = 1 << 16


class Wish(StrEnum):
    """
    What can be asked for.
    """

    WITHDRAW = "withdraw"
    IMPORT = "import"
    WIPE = "wipe"
    SEND = "send"
    STOP = "stop"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Asked:
    """
    One request: ``name`` is the purpose or site meant, ``content`` a document.
    """

    wish: Wish
    name: str = "-"
    content: bytes = b""


def ask(folder: Path, asked: Asked) -> None:
    """
    Leave a request for the gateway that runs on *folder*.

    After a power cut: the request is there or not.
    """
    files.remove(folder / "answer")
    files.write(folder / "request", cbor.encode([str(asked.wish), asked.name, asked.content]))
    bell.ring(folder)


def take_request(folder: Path) -> Asked | None:
    """
    Return the request that waits, None when there is none or it is not one.
    """
    path = folder / "request"
    if not files.exists(path):
        return None
    try:
        wish, name, content = array(text(16), text(64), octets(None, _LIMIT))(
            cbor.decode(files.read(path, _LIMIT), _LIMIT, "request"), "request"
        )
        return Asked(Wish(wish), name, content)
    except (Malformed, ValueError):
        files.remove(path)
        return None


def answer(folder: Path, *, done: bool, message: str) -> None:
    """
    Say how a request ended and take it away.

    After a power cut: answered, or asked still, and done again; each wish is harmless to repeat.
    """
    files.write(folder / "answer", cbor.encode([done, message[:500] or "done"]))
    files.remove(folder / "request")


class Desk:
    """
    Where a running gateway looks for requests; whoever can do something tells it so.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._request = folder / "request"  # joined once: it is looked for at each look
        self._doers: dict[Wish, Callable[[Asked, Now], None]] = {}
        self._is_busy = False
        self._asked: Asked | None = None  # done and not answered yet
        self._said = (True, "done")

    def does(self, wish: Wish, doer: Callable[[Asked, Now], None]) -> None:
        """
        Have *doer* do what *wish* asks for from now on.
        """
        self._doers[wish] = doer

    @property
    def is_asked(self) -> bool:
        """
        Tell whether a request waits.
        """
        return files.exists(self._request)

    def serve(self, now: Now) -> None:
        """
        Do the one thing that is asked for, if anything is, and answer.

        Raises:
            StorageError: the answer cannot be written; the next call only answers, for as long as it is asked for.

        After a power cut: as :func:`answer`.
        """
        if self._is_busy:
            return
        asked = take_request(self._folder) if self.is_asked else None
        if asked is None or asked != self._asked:
            self._asked, self._said = asked, (True, "done") if asked is None else self._do(asked, now)
        if asked is not None:
            answer(self._folder, done=self._said[0], message=self._said[1])
            self._asked = None

    def _do(self, asked: Asked, now: Now) -> tuple[bool, str]:
        """
        Return whether it was done, and what to say.
        """
        self._is_busy = True  # what is asked for may step the line, which looks here
        try:
            doer = self._doers.get(asked.wish)
            if doer is None:
                raise LifecycleRefused(f"this gateway cannot {asked.wish} by itself", hint="stop it and ask again")
            doer(asked, now)
        except EdgeError as error:
            return False, str(error)
        finally:
            self._is_busy = False
        return True, "done"


def take_answer(folder: Path) -> tuple[bool, str] | None:
    """
    Return whether a request was done and what was said, None while there is no answer.
    """
    path = folder / "answer"
    if files.exists(folder / "request") or not files.exists(path):
        return None
    done, message = array(boolean, text(600))(cbor.decode(files.read(path, _LIMIT), _LIMIT, "answer"), "answer")
    files.remove(path)
    return done, message


def withdraw_request(folder: Path) -> None:
    """
    Take back a request that nobody answers.
    """
    files.remove(folder / "request")
