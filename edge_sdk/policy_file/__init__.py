"""
The policy file: TOML in, :class:`edge_sdk.core.policy.Policy` out, or every mistake in it at once.

This room owns the text form of a policy and the profiles that come with the package. It refuses what the core
could not carry out or what says two things; whether a policy is *wise* is for ``core.policy_lint``. It reads
files only when asked by name and keeps nothing. pydantic is loaded when a text is read, and not before.

    checked    the whole file, and its TOML
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
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.core.policy import Policy
from edge_sdk.errors import ConfigError, StorageError
from edge_sdk.policy_file.problems import MAX_CHARACTERS, NAME, nearest, shown

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
    from edge_sdk.policy_file.checked import read_policy  # brings pydantic: half of what a start takes

    return read_policy(text, where=where)


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
