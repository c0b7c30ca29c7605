"""
The whole of a policy file: from text to a :class:`edge_sdk.core.policy.Policy`, or to every mistake in it at once.

Owns: reading the TOML and putting the tables together. Imported only when a text is to be read, since it brings
pydantic; what was read before comes from ``policies``.
Does not: find files or profiles (the package above), keep anything.
"""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from edge_sdk.core.policy import Policy
from edge_sdk.errors import ConfigError
from edge_sdk.policy_file.declare import read_kinds
from edge_sdk.policy_file.problems import MAX_CHARACTERS, Place, Problems
from edge_sdk.policy_file.tables import File, Heading, read_table
from edge_sdk.policy_file.terms import check_purposes, read_terms
from edge_sdk.policy_file.views import read_purposes


def read_policy(text: str, *, where: str) -> Policy:
    """
    Return the policy that *text* says.

    Args:
        text: TOML, at most 1 MiB.
        where: the name of the file, for messages.

    Raises:
        ConfigError: naming every mistake, one line each: file, table, key, what is wrong, what to write.
    """
    raw = _parse(text, where)
    place = Place(Problems(where))
    file = read_table(File, raw, place)
    heading = read_table(Heading, raw["policy"], place.at("policy")) if "policy" in raw else None
    kinds = read_kinds(raw["kinds"], place.at("kinds")) if "kinds" in raw else {}
    terms = read_terms(raw["terms"], place.at("terms")) if "terms" in raw else None
    purposes = {}
    if "purposes" in raw:
        reach = None if terms is None else terms.reach
        purposes = read_purposes(raw["purposes"], kinds, place.at("purposes"), reach=reach)
        check_purposes(purposes, terms, place.at("purposes"))
    place.problems.refuse()
    if file is None or heading is None:  # said by refuse() already; here for the type checker
        raise AssertionError("a policy without problems has its tables")
    sound = {name: declared.kind for name, declared in kinds.items() if declared.kind is not None}
    return Policy(heading.name, heading.version, MappingProxyType(sound), MappingProxyType(purposes), terms)


def _parse(text: str, where: str) -> dict[str, Any]:
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(
            f"{where}: has {len(text)} characters",
            hint=f"a policy file has at most {MAX_CHARACTERS} characters",
        )
    try:
        return tomllib.loads(text, parse_float=_decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: {_position(str(error), text)}", hint="mend the TOML there") from None
    except (RecursionError, ValueError):
        raise ConfigError(
            f"{where}: is nested too deep or holds an endless number", hint="write less of it"
        ) from None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text.replace("_", ""))
    except InvalidOperation:  # too large an exponent for a Decimal; refused as not finite where it stands
        return Decimal("NaN")


def _position(message: str, text: str) -> str:
    found = re.search(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", message, re.DOTALL)
    what = _shown_reason(found.group(1) if found else message)
    if found is None or found.group(2) is None:
        return f"line {text.count(chr(10)) + 1}, at the end: not TOML: {what}"
    return f"line {found.group(2)}, column {found.group(3)}: not TOML: {what}"


def _shown_reason(message: str) -> str:
    # The parser quotes single characters and names of keys, never what stands behind a key.
    return ascii(message)[1:-1][:120]
