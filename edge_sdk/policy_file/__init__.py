"""
The policy file: TOML in, :class:`edge_sdk.core.policy.Policy` out, or every mistake in it at once.

This room owns the text form of a policy and the profiles that come with the package. It refuses what the core
could not carry out or what says two things; whether a policy is *wise* is for ``core.policy_lint``. It reads
files only when asked by name, keeps nothing, and speaks to the core and to pydantic.

    problems   what is wrong, gathered line by line
    tables     the tables by themselves (pydantic)
    declare    kinds and fields
    terms      what the policy promises about all purposes
    views      purposes, views and transforms
    rules      the rules of a privacy policy, and what answers each
"""

from __future__ import annotations

import pkgutil
import re
import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from edge_sdk import files
from edge_sdk.core.policy import Policy
from edge_sdk.errors import ConfigError, StorageError
from edge_sdk.policy_file.declare import read_kinds
from edge_sdk.policy_file.problems import Place, Problems, nearest, shown
from edge_sdk.policy_file.tables import NAME, File, Heading, read_table
from edge_sdk.policy_file.terms import check_purposes, read_terms
from edge_sdk.policy_file.views import read_purposes

MAX_CHARACTERS = 1 << 20
PROFILES: Final = (  # edge_sdk/profiles/NAME.toml
    "apsystems_ema",
    "aux_cloud",
    "auxconn_beauty",
    "nanolux_nccs",
    "sofar_monitor",
    "strictest",
)
RULED: Final = (*(name for name in PROFILES if name != "strictest"), "mechanisms")  # profiles/rules/NAME.toml


def load_policy(text: str, *, where: str) -> Policy:
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


def find_policy(name_or_path: str) -> Policy:
    """
    Return the policy of a profile that comes with the package, or of a file.

    A bare name (letters, digits, underscores) is a profile; anything else is a path.

    Raises:
        ConfigError: when there is neither, or the policy is wrong.
    """
    where = f"profile {name_or_path}" if _is_profile(name_or_path) else _shown_path(name_or_path)
    return load_policy(policy_text(name_or_path), where=where)


def policy_text(name_or_path: str) -> str:
    """
    Return the TOML text of a profile that comes with the package, or of a file.

    Raises:
        ConfigError: when there is neither, or it is not UTF-8.
    """
    if _is_profile(name_or_path):
        return profile_text(name_or_path)
    return _file_text(Path(name_or_path))


def profile_text(name: str) -> str:
    """
    Return the TOML text of the profile *name*.

    Raises:
        ConfigError: when no profile has that name.
    """
    if name not in PROFILES:
        near = nearest(name, PROFILES)
        hint = f'did you mean "{near}"?' if near else f"the profiles are {', '.join(PROFILES)}"
        raise ConfigError(f"{shown(name)}: there is no profile and no file of that name", hint=hint)
    content = pkgutil.get_data("edge_sdk.profiles", f"{name}.toml")
    assert content is not None  # only a loader that cannot read its package's files returns None
    return content.decode("utf-8")


def rules_text(name: str) -> str:
    """
    Return the TOML text of the rules that the profile *name* answers, or of the mechanisms that answer them.

    Raises:
        ConfigError: there are none; a profile of our own answers no policy.
    """
    if name not in RULED:
        raise ConfigError(f"{shown(name)}: no rules of that name", hint=f"there are rules for {', '.join(RULED[:-1])}")
    content = pkgutil.get_data("edge_sdk.profiles", f"rules/{name}.toml")
    assert content is not None  # as above
    return content.decode("utf-8")


def _is_profile(name_or_path: str) -> bool:
    bare = re.fullmatch(NAME, name_or_path) is not None
    return bare and (name_or_path in PROFILES or not files.exists(Path(name_or_path)))


def _shown_path(path: str) -> str:
    return shown(Path(path).name)


def _file_text(path: Path) -> str:
    where = _shown_path(str(path))
    try:
        content = files.read(path, 4 * MAX_CHARACTERS)
    except StorageError as error:
        raise ConfigError(f"the policy: {error}", hint="give the path of a TOML file") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{where}: is not UTF-8 at byte {error.start}", hint="save the file as UTF-8"
        ) from error


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
