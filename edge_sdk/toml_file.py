"""
The small TOML files that every start reads: tables with known keys, each value checked by itself.

Owns: reading such a file, and every mistake in it told at once by file, table and key, with what to write instead.
Rules: closed; a key nobody declared is refused by name, one without a default has to be there. A check is given what
TOML holds and returns the value, or raises ValueError with what to write. What was written is never repeated.
Does not: know what the keys mean (``config``, ``agent.settings``), or read policies, whose tables are larger and seldom
new: those take pydantic (``policy_file``), which costs a start on a slow core more than everything here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from edge_sdk import files
from edge_sdk.errors import ConfigError, StorageError

Check: TypeAlias = Callable[[Any], Any]
Values: TypeAlias = dict[str, Any]

_LIMIT: Final = 1 << 16
_LONGEST: Final = 4096
_REPEATED: Final = 1000  # tables of one name


@dataclass(frozen=True, slots=True)
class Key:
    """
    One key: what checks its value, and what it is where it is left out; a key that *must* be there has no default.
    """

    check: Check
    default: Any = None
    must: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """
    One table of a file, or, where it is *repeated*, one to a thousand of them.
    """

    keys: Mapping[str, Key]
    must: bool = False
    repeated: bool = False


def read_tables(path: Path, tables: Mapping[str, Table], *, hint: str) -> dict[str, Any]:
    """
    Return the tables of the file *path*: the values of each, defaults included, or a list of them where it is repeated;
    a table that is not in the file and need not be there is not in the result.

    Args:
        hint: what to do where the file cannot be read.

    Raises:
        ConfigError: with every mistake, one line each.
    """
    raw = _read(path, hint)
    problems: list[str] = []
    _refuse_unknown(raw, tables, "[{}]", problems)
    found: dict[str, Any] = {}
    for name, table in tables.items():
        if name in raw:
            found[name] = _rows(name, raw[name], table, problems) if table.repeated else (
                _values(f"[{name}]", raw[name], table.keys, problems)
            )  # fmt: skip
        elif table.must:
            problems.append(f"[{name}]: is missing")
    if problems:
        raise ConfigError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return found


def defaults(table: Table) -> Values:
    """
    Return the values of a table that is not in the file.
    """
    return {name: key.default for name, key in table.keys.items()}


def text(value: Any) -> str:
    """
    Return *value* if it is text of 1 to 4096 characters.

    Raises:
        ValueError: it is anything else.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST:
        raise ValueError(f"write text in quotes, 1 to {_LONGEST} characters")
    return value


def whole(least: int, most: int) -> Check:
    """
    Return a check for a whole number from *least* to *most*.
    """

    def check(value: Any) -> int:
        # A bool is an int to Python, never to TOML.
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"write a whole number from {least} to {most}")
        return value

    return check


def one_of(*words: str) -> Check:
    """
    Return a check for one of *words*.
    """

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError("write " + " or ".join(f'"{word}"' for word in words))
        return value

    return check


def several(check: Check, least: int = 0) -> Check:
    """
    Return a check for an array of at least *least* values that each pass *check*.
    """

    def check_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise ValueError("write an array in brackets" + (f" with at least {least} in it" if least else ""))
        return tuple(check(item) for item in value)

    return check_all


def _read(path: Path, hint: str) -> dict[str, Any]:
    try:
        return tomllib.loads(files.read(path, _LIMIT).decode("utf-8"))
    except StorageError as error:
        is_there = not isinstance(error.__cause__, FileNotFoundError)
        raise ConfigError(str(error), hint=error.hint if is_there and error.hint else hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name}: not UTF-8 at byte {error.start}", hint="save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name}: not TOML: {error}", hint="mend that line") from None
    except (RecursionError, ValueError):
        raise ConfigError(f"{path.name}: is nested too deep or holds an endless number", hint="write less") from None


def _rows(name: str, raw: Any, table: Table, problems: list[str]) -> list[Values]:
    if not isinstance(raw, list) or not 1 <= len(raw) <= _REPEATED:
        problems.append(f"[[{name}]]: write 1 to {_REPEATED} tables of this name in double brackets")
        return []
    return [_values(f"[[{name}]] {number}", row, table.keys, problems) for number, row in enumerate(raw, 1)]


def _values(where: str, raw: Any, keys: Mapping[str, Key], problems: list[str]) -> Values:
    if not isinstance(raw, dict):
        problems.append(f"{where}: is no table")
        return {}
    _refuse_unknown(raw, keys, f"{where} {{}}", problems)
    values: Values = {}
    for name, key in keys.items():
        if name not in raw:
            values[name] = key.default
            if key.must:
                problems.append(f"{where} {name}: is missing")
            continue
        try:
            values[name] = key.check(raw[name])
        except ValueError as error:
            problems.append(f"{where} {name}: {error}")
    return values


def _refuse_unknown(raw: Mapping[str, Any], known: Mapping[str, Any], where: str, problems: list[str]) -> None:
    for name in raw:
        if name not in known:
            problems.append(f"{where.format(_shown(name))}: no such key; {_meant(name, known)}")


def _meant(name: str, known: Mapping[str, Any]) -> str:
    import difflib  # only who mistypes a key needs it

    near = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _shown(name: str) -> str:
    """
    Return a key of the file fit for a terminal: one short line of plain characters.
    """
    return ascii(name)[1:-1][:40]
