"""
The tables of a policy file as pydantic sees them, one model per table.

A model checks one table by itself: which keys there are, of what type, in what range. What one table says of
another is checked where the values are built (``declare``, ``views``). The description of each key is what a
message tells the reader to write. pydantic's own texts never leave this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator, StringConstraints, ValidationError
from pydantic import Field as Key

from edge_sdk.core.claims import Mechanism
from edge_sdk.core.policy import Basis, FieldClass, FieldType, Window
from edge_sdk.core.terms import TRANSFERS, ChildAccount
from edge_sdk.core.units import parse_duration
from edge_sdk.policy_file.problems import NAME, NAME_RULE, Place, Wrong, listed, nearest, one_of

BINARY64_INTEGER = 1 << 53
_DIGITS = 40

_UNKEYED_WORDS = "hash hashed md5 sha sha1 sha224 sha256 sha384 sha512 sha3 crc crc32 blake2b blake2s digest"
UNKEYED = frozenset(_UNKEYED_WORDS.split())
UNKEYED_ADVICE = 'write { pseudonym = "30d" }, which is keyed on the device and whose key is destroyed'
UNKEYED_WHAT = "an unkeyed hash hides nothing: all 10^8 serials of a model are tried in under a minute"

# What people write for a key that has another name here.
_MEANT: Final = {
    "min": "minimum low",
    "max": "maximum high",
    "resolution": "precision step accuracy",
    "wraps_at": "modulus",
    "max_length": "length",
    "class": "category",
    "type": "kind",
    "values": "enum bits labels",
    "unit": "units",
    "keep_at_most": "retention ttl",
    "regions": "region",
    "recipient": "recipients",
    "importance": "priority",
    "clauses": "rules",
    "basis": "legal_basis",
    "dpv": "purpose",
    "transfer": "mechanism transfers",
    "breach_notice": "breach breach_clock",
    "answer_within": "deadline",
    "child_below": "age child",
    "every": "interval period cadence",
    "window": "aggregate",
    "clip": "limit clamp",
    "band": "bands buckets",
    "mask": "redact",
    "truncate_text": "truncate",
    "coarsen_location": "location",
    "pseudonym": "pseudonymise pseudonymize",
    "source": "id",
    "max_sources": "sources",
}
_SYNONYMS: Final = {word: key for key, words in _MEANT.items() for word in words.split()}


def _number(value: object) -> int | Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise Wrong(f"is {spoken(value)}")
    if isinstance(value, Decimal) and not value.is_finite():
        raise Wrong("is not a finite number")
    if isinstance(value, Decimal) and len(value.as_tuple().digits) > _DIGITS:
        raise Wrong(f"has more than {_DIGITS} digits")
    if not -BINARY64_INTEGER < value < BINARY64_INTEGER:
        raise Wrong("lies outside -2^53 .. 2^53, where binary64 no longer holds every integer")
    return value


def _numbers(value: object) -> tuple[int | Decimal, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 255:
        raise Wrong("is no array of 1 to 255 numbers" if isinstance(value, list) else f"is {spoken(value)}")
    return tuple(_number(item) for item in value)


def _duration(value: object) -> int:
    if not isinstance(value, str):
        raise Wrong(f"is {spoken(value)}")
    try:
        return parse_duration(value)
    except ValueError:
        raise Wrong("is no duration (a whole number and ms, s, min, h or d)") from None


def _member(members: type[StrEnum], among: Iterable[StrEnum] | None = None) -> PlainValidator:
    known = [member.value for member in among or members]

    def check(value: object) -> StrEnum:
        if not isinstance(value, str):
            raise Wrong(f"is {spoken(value)}", f"write one of {listed(known)}")
        if value not in known:
            raise Wrong("is not one of the values known here", one_of(value, known))
        return members(value)

    return PlainValidator(check)


Number = Annotated[int | Decimal, PlainValidator(_number)]
Numbers = Annotated[tuple[int | Decimal, ...], PlainValidator(_numbers)]
Duration = Annotated[int, PlainValidator(_duration)]
Said = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\z")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Region = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9-]{1,15}\z")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class File(_Table):
    """
    The whole file: its top-level tables.
    """

    policy: Any = Key(description='a table [policy] with name = "..." and version = "..."')
    terms: Any = Key(default=None, description="a table [terms], or leave it out")
    kinds: Any = Key(description="at least one table [kinds.NAME]")
    purposes: Any = Key(description="at least one table [purposes.NAME]")


class Heading(_Table):
    """
    ``[policy]``
    """

    name: str = Key(pattern=rf"^{NAME}\z", description='name = "..."; ' + NAME_RULE)
    version: str = Key(
        min_length=1,
        max_length=32,
        description='version = "2022-12-15", text in quotes of at most 32 characters',
    )


class TermsTable(_Table):
    """
    ``[terms]``
    """

    controller: Said = Key(description='who answers for the data, such as controller = "Example Ltd."')
    contact: Said = Key(description='where to write to, such as contact = "privacy@example.com"')
    text_sha256: str = Key(
        default="", pattern=r"^([0-9a-f]{64})?\z", description="the SHA-256 of the policy's text, 64 hex digits"
    )
    bases: list[Annotated[Basis, _member(Basis)]] = Key(
        min_length=1, max_length=6, description='the bases that the policy names, such as bases = ["consent"]'
    )
    never: list[Annotated[FieldClass, _member(FieldClass)]] = Key(
        max_length=7, description='the classes no purpose may have, such as never = ["contact", "credential"]'
    )
    home: list[Region] = Key(
        min_length=1, max_length=32, description='where nothing is a transfer, such as home = ["EU"]'
    )
    transfer: list[Annotated[Mechanism, _member(Mechanism, TRANSFERS)]] = Key(
        max_length=3, description='what a recipient elsewhere needs, such as transfer = ["scc"], or [] for nowhere'
    )
    retention: Duration = Key(description='how long a recipient keeps a row, such as retention = "365d"')
    breach_notice: Duration = Key(
        description='by when an authority is told of a breach, such as breach_notice = "72h"'
    )
    answer_within: Duration = Key(
        description='by when a person gets an answer, such as answer_within = "30d"'
    )
    child_below: int = Key(
        ge=0, le=25, description="the age below which a person is a child, such as child_below = 18"
    )
    child_account: Annotated[ChildAccount, _member(ChildAccount)] = Key(
        description='"wipe": a child has no account; "parent": only with a parent\'s consent'
    )


class KindTable(_Table):
    """
    ``[kinds.NAME]``
    """

    source: str = Key(description='source = "..." with the field that says which device a reading is about')
    max_sources: int = Key(
        default=64, ge=1, le=4096, description="a whole number from 1 to 4096, such as max_sources = 64"
    )
    on_invalid: Literal["field", "reading"] = Key(
        default="field",
        description='"field" to drop a bad value alone, or "reading" to drop its whole reading',
    )
    fields: Any = Key(description="a table [kinds.NAME.fields] with at least one field")


class FieldTable(_Table):
    """
    One line of ``[kinds.NAME.fields]``
    """

    cls: Annotated[FieldClass, _member(FieldClass)] = Key(alias="class", description='class = "..."')
    type: Annotated[FieldType, _member(FieldType)] = Key(description='type = "..."')
    unit: str = Key(
        default="", max_length=16, description='at most 16 characters in quotes, such as unit = "W"'
    )
    min: Number | None = Key(default=None, description="the smallest plausible number, such as min = -100")
    max: Number | None = Key(default=None, description="the largest plausible number, such as max = 100000")
    resolution: Number | None = Key(
        default=None, description="the smallest step worth keeping, such as resolution = 0.1"
    )
    wraps_at: Number | None = Key(
        default=None, description="the number at which it starts again from 0, such as wraps_at = 65536"
    )
    max_length: int = Key(
        default=64, ge=1, le=1024, description="a whole number from 1 to 1024, such as max_length = 32"
    )
    values: list[Label] | None = Key(
        default=None, description='an array of names of 1 to 64 characters, such as values = ["off", "on"]'
    )


class PurposeTable(_Table):
    """
    ``[purposes.NAME]``
    """

    basis: Annotated[Basis, _member(Basis)] = Key(description='basis = "..."')
    dpv: str = Key(
        pattern=r"^[a-z][a-z-]{0,31}:[A-Za-z][A-Za-z0-9-]{0,63}\z",
        description='a term of the Data Privacy Vocabulary, such as dpv = "dpv:RequestedServiceProvision"',
    )
    recipient: str = Key(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z",
        description='the operator named in the recipients document, such as recipient = "operator-eu"',
    )
    regions: list[Region] = Key(
        min_length=1, max_length=32, description='where the recipient may be, such as regions = ["EU"]'
    )
    importance: int = Key(
        default=10, ge=0, le=100, description="a whole number from 0 to 100, such as importance = 10"
    )
    keep_at_most: Duration = Key(
        description='how long unsent rows may stay on the device, such as keep_at_most = "30d"'
    )
    clauses: list[Label] = Key(
        default=[],
        max_length=64,
        description='the rules of the privacy policy, such as clauses = ["apsystems_ema.P2"]',
    )
    views: Any = Key(description="at least one table [purposes.NAME.views.KIND]")


class ViewTable(_Table):
    """
    ``[purposes.NAME.views.KIND]``
    """

    every: Duration | None = Key(default=None, description='the length of a window, such as every = "5min"')
    send: Literal["now"] | None = Key(default=None, description='send = "now", or leave it out')
    fields: Any = Key(description="a table [purposes.NAME.views.KIND.fields] that names at least one field")


class TransformTable(_Table):
    """
    One line of ``[purposes.NAME.views.KIND.fields]``
    """

    window: Annotated[Window, _member(Window)] | None = Key(default=None, description='window = "last"')
    clip: Numbers | None = Key(
        default=None, description="the lowest and highest number, such as clip = [0, 5000]"
    )
    round: Number | None = Key(default=None, description="the step to round to, such as round = 10")
    band: Numbers | None = Key(
        default=None, description="the lower edges of all bands but the first, such as band = [100, 1000]"
    )
    mask: int | None = Key(default=None, description="how many characters stay readable, such as mask = 4")
    truncate_ip: int | None = Key(
        default=None, description="how many bits of an IPv4 address stay, such as truncate_ip = 16"
    )
    truncate_text: int | None = Key(
        default=None, description="how many characters stay, such as truncate_text = 8"
    )
    coarsen_location: int | None = Key(
        default=None, description="how many decimals of a degree stay, such as coarsen_location = 1"
    )
    pseudonym: Duration | None = Key(
        default=None, description='how long one pseudonym lasts, such as pseudonym = "30d"'
    )


T = TypeVar("T", bound=_Table)


def read_table(model: type[T], raw: object, place: Place) -> T | None:
    """
    Return *raw* as *model*; None when it is no such table, with every reason noted at *place*.
    """
    if not isinstance(raw, dict):
        place.wrong("", f"is {spoken(raw)}", "write a table")
        return None
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _note(model, detail, place)
        return None


def _note(model: type[_Table], detail: Any, place: Place) -> None:
    key = str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        place.wrong(key, *_unknown_key(model, key))
        return
    wrong = detail.get("ctx", {}).get("error")
    advice = next(f"write {d}" for name, d in descriptions(model).items() if name == key)
    if isinstance(wrong, Wrong):
        place.wrong(key, wrong.what, wrong.instead or advice)
        return
    item = f"item {detail['loc'][1] + 1} " if len(detail["loc"]) > 1 else ""
    place.wrong(key, item + _SAID.get(detail["type"], _said_otherwise)(detail["input"]), advice)


def _unknown_key(model: type[_Table], key: str) -> tuple[str, str]:
    if key.lower().replace("-", "") in UNKEYED and model is TransformTable:
        return UNKEYED_WHAT, UNKEYED_ADVICE
    known = list(descriptions(model))
    meant = _SYNONYMS.get(key.lower())
    if meant not in known:
        meant = nearest(key, known)
    if meant is not None:
        return "is no key of this table", f'did you mean "{meant}"?'
    return "is no key of this table", f"the keys here are {listed(known)}"


def descriptions(model: type[_Table]) -> dict[str, str]:
    """
    Return each key of *model* as the file spells it, with what to write for it.
    """
    return {field.alias or name: field.description or "" for name, field in model.model_fields.items()}


def spoken(value: object) -> str:
    """
    Return what kind of TOML value *value* is, in words and never its content.
    """
    return _WORDS.get(type(value), "a date or time")


def _said_otherwise(value: object) -> str:
    return f"is {spoken(value)}"


_WORDS: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    Decimal: "a decimal number",
    str: "text",
    list: "an array",
    dict: "a table",
}
_SAID: Final[dict[str, Callable[[object], str]]] = {
    "missing": lambda value: "is missing",
    "string_pattern_mismatch": lambda value: "has characters or a length that do not fit here",
    "string_too_short": lambda value: "is empty",
    "string_too_long": lambda value: "is too long",
    "too_short": lambda value: "is empty",
    "too_long": lambda value: "has too many items",
    "greater_than_equal": lambda value: "is too small",
    "less_than_equal": lambda value: "is too large",
    "literal_error": lambda value: "is not one of the values known here",
}
