"""
Changes to the recipients document: a key more, a key retired, a key withdrawn.

Rules: every change is the next version; a retired key stays listed and is sealed to no more, so that what
waits on devices still arrives; a withdrawn one goes, and with it what was sealed to it and not sent. Pure. Not
here: signing and the grants that list the keys (``authority``), private keys (``keyring``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from edge_sdk.core.documents import RecipientKey, Recipients
from edge_sdk.core.policy import Purpose
from edge_sdk.errors import ConfigError

RECIPIENTS_VALID_S: Final = 365 * 86_400  # the document is renewed at half of it
RECIPIENT_KEY_VALID_S: Final = 2 * 365 * 86_400  # by then the operator has to have certified another


def with_key(recipients: Recipients, key: RecipientKey, now_s: int) -> Recipients:
    """
    Return the next version with *key* in it.

    Raises:
        ConfigError: it lists the key already.
    """
    if any(listed.key == key.key for listed in recipients.keys):
        raise ConfigError("that recipient key is certified already", hint="see 'edge-sdk collector recipients'")
    return _next(recipients, (*recipients.keys, key), now_s)


def without_key(
    recipients: Recipients, kid: bytes, *, purposes: Iterable[Purpose], withdraw: bool, now_s: int
) -> Recipients:
    """
    Return the next version, in which devices seal to *kid* no more.

    Args:
        recipients: the version in force.
        kid: of the key.
        purposes: those in force; each must have a key left.
        withdraw: take the key off the list, whoever is left without one: it is in the wrong hands.
        now_s: Unix seconds.

    Raises:
        ConfigError: no such key, or a purpose would be left without one.
    """
    key = next((listed for listed in recipients.keys if listed.kid == kid), None)
    if key is None:
        raise ConfigError("no recipient key of that name", hint="see 'edge-sdk collector recipients DIR list'")
    others = [listed for listed in recipients.keys if listed.kid != kid]
    if withdraw:
        return _next(recipients, tuple(others), now_s)
    bare = sorted(
        purpose.name
        for purpose in purposes
        if _serves(key, purpose) and not any(_serves(other, purpose) and _is_good(other, now_s) for other in others)
    )
    if bare:
        raise ConfigError(
            f"without that key nothing could be sealed for {', '.join(bare)}",
            hint="add the key that follows it first, or use --withdraw if it is in the wrong hands",
        )
    retired = replace(key, exp_s=min(key.exp_s, now_s))
    return _next(recipients, tuple(retired if listed is key else listed for listed in recipients.keys), now_s)


def _next(recipients: Recipients, keys: tuple[RecipientKey, ...], now_s: int) -> Recipients:
    expires_s = now_s + recipients.exp_s - recipients.iat_s
    return Recipients(recipients.version + 1, now_s, now_s, expires_s, keys)


def _serves(key: RecipientKey, purpose: Purpose) -> bool:
    return key.operator == purpose.recipient and key.region in purpose.regions


def _is_good(key: RecipientKey, now_s: int) -> bool:
    return key.nbf_s <= now_s < key.exp_s
