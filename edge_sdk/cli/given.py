"""
What a user hands to a command: files by their path, numbers of seconds, and the words that a command is described with.

Rules: what was given wrong is told as such (exit 2), never as trouble of our own disk; no value is repeated.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.errors import ConfigError, StorageError

_MOST_S: Final = 86_400


def read_given(path: Path, limit: int) -> bytes:
    """
    Return the content of a file that the user named.

    Args:
        limit: bytes it has at most.

    Raises:
        ConfigError: it cannot be read, or is longer.
    """
    with _the_users():
        return files.read(path, limit)


def check_given(path: Path) -> None:
    """
    Look whether a file that the user named can be read.

    Raises:
        ConfigError: it cannot.
    """
    with _the_users():
        next(files.read_lines(path, 1), b"")


def seconds(text: str) -> float:
    """
    Return a number of seconds, from 0 to a day.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= _MOST_S:
        raise argparse.ArgumentTypeError(f"write a number of seconds from 0 to {_MOST_S}")
    return number


def described(doc: str | None) -> str:
    """
    Return the docstring of a module as the help of its command: without the command's name in front, which stands above
    it anyway, and without the signs of code.
    """
    words = re.sub(r"^``[^:]*``[^:]*: ", "", (doc or "").strip()).replace("``", "'")
    return words[:1].upper() + words[1:]


@contextmanager
def _the_users() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise ConfigError(str(error), hint=error.hint) from error
