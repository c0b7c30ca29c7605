"""
What is wrong in a policy file, gathered, so that one run tells all of it.

Each problem is one line: file, table, key, what is wrong and what to write instead. Names of tables and keys
are shown, shortened and in plain characters; what stands behind a key is not, since a file may hold anything.
Knows nothing of policies; its neighbours are the other modules of this room.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edge_sdk.errors import ConfigError

NAME = r"[a-z][a-z0-9_]{0,31}"
NAME_RULE = "a name is a to z, 0 to 9 and _, begins with a letter and has at most 32 characters"
MAX_CHARACTERS = 1 << 20
SHOWN_LIMIT = 100  # lines; a file that is wrong throughout is not worth more of the terminal
_NAME_LIMIT = 40


class Wrong(ValueError):
    """
    Carry what is wrong with one value, and what to write instead, out of a validator.
    """

    def __init__(self, what: str, instead: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.instead = instead


@dataclass(slots=True)
class Problems:
    """
    The lines found so far in one file.
    """

    where: str
    lines: list[str] = field(default_factory=list)

    def refuse(self) -> None:
        """
        Stop when anything was found.

        Raises:
            ConfigError: with every line, the first hundred of them at most.
        """
        if not self.lines:
            return
        unshown = len(self.lines) - SHOWN_LIMIT
        lines = self.lines[:SHOWN_LIMIT] + ([f"{self.where}: and {unshown} more"] if unshown > 0 else [])
        raise ConfigError("\n".join(lines), hint="docs/policy.md lists every table and key")


@dataclass(frozen=True, slots=True)
class Place:
    """
    A table of the file, by the names that lead to it.
    """

    problems: Problems
    path: tuple[str, ...] = ()

    def at(self, *names: str) -> Place:
        """
        Return the table *names* below this one.
        """
        return Place(self.problems, (*self.path, *names))

    def wrong(self, key: str, what: str, instead: str) -> None:
        """
        Note that *key* of this table is wrong.
        """
        table = f" [{'.'.join(shown(name) for name in self.path)}]" if self.path else ""
        label = f" {shown(key)}:" if key else ":"
        self.problems.lines.append(f"{self.problems.where}:{table}{label} {what}; {instead}")

    @property
    def count(self) -> int:
        """
        Return how many problems the file has so far.
        """
        return len(self.problems.lines)


def shown(name: str) -> str:
    """
    Return a name from the file fit for a terminal: short, one line, plain characters.
    """
    plain = name if name.isascii() and name.isprintable() else ascii(name)[1:-1]
    return plain if len(plain) <= _NAME_LIMIT else plain[:_NAME_LIMIT] + "..."


def listed(words: Iterable[str]) -> str:
    """
    Return *words* quoted and joined by commas.
    """
    return ", ".join(f'"{word}"' for word in words)


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """
    Return the one of *choices* that *word* most likely meant, None when nothing is near.
    """
    import difflib  # only who mistypes a word needs it

    near = difflib.get_close_matches(word[:_NAME_LIMIT], list(choices), n=1, cutoff=0.6)
    return near[0] if near else None


def one_of(word: str, choices: Iterable[str]) -> str:
    """
    Return the advice for *word*, which is none of *choices*.
    """
    known = list(choices)
    near = nearest(word, known)
    if near is not None:
        return f'did you mean "{near}"?'
    return f"write one of {listed(known)}" if known else "there is none to choose from"
