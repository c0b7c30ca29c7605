"""
What is allowed in a policy and still unwise, as findings with a closed list of codes.

A file that loads can be carried out; whether it keeps what a privacy policy promises is asked here. An error
stops ``edge-sdk policy check``; a warning wants a reason; a note is worth knowing. docs/policy.md has a line
for each code and a test compares. Says nothing of the text form (``edge_sdk.policy_file``) nor of changes
(``policy_diff``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge_sdk.core.claims import Mechanism
from edge_sdk.core.deidentify import identifying
from edge_sdk.core.policy import (
    Basis,
    FieldClass,
    FieldType,
    Policy,
    Purpose,
    TextRule,
    View,
    ViewField,
    Window,
)
from edge_sdk.core.terms import Terms
from edge_sdk.core.units import DAY_MS, HOUR_MS

PSEUDONYM_LIMIT_MS: Final = 400 * DAY_MS
COARSE_DECIMALS: Final = 2  # 10**-2 degrees are about a kilometre
COARSE_PREFIX: Final = 24
NOTICE_LIMIT_MS: Final = 72 * HOUR_MS
ANSWER_LIMIT_MS: Final = 31 * DAY_MS
READABLE_CHARACTERS: Final = 4  # of a serial; a model's prefix is rarely longer

_OWN_CHOICE: Final = frozenset({Basis.CONSENT, Basis.LEGITIMATE_INTEREST})
_NAMES_SOMEONE: Final = frozenset(
    {
        FieldClass.DEVICE_IDENTIFIER,
        FieldClass.NETWORK_IDENTIFIER,
        FieldClass.LOCATION,
        FieldClass.CONTACT,
    }
)
_ANYWHERE: Final = frozenset({"ALL", "ANY", "ANYWHERE", "EARTH", "GLOBAL", "INTL", "WORLD", "WORLDWIDE", "WW"})
_SERIAL_LIKE: Final = frozenset({FieldClass.DEVICE_IDENTIFIER, FieldClass.NETWORK_IDENTIFIER})
# Terms of the Data Privacy Vocabulary for what serves the operator rather than the contract.
_BEYOND_A_CONTRACT: Final = frozenset(
    {
        "ServiceOptimisation",
        "OptimisationForController",
        "OptimisationForConsumer",
        "OptimiseUserInterface",
        "ImproveExistingProductsAndServices",
        "ImproveInternalCRMProcesses",
        "InternalResourceOptimisation",
        "ServiceUsageAnalytics",
        "ResearchAndDevelopment",
        "AcademicResearch",
        "CommercialResearch",
        "NonCommercialResearch",
        "Marketing",
        "DirectMarketing",
        "SocialMediaMarketing",
        "Advertising",
        "PersonalisedAdvertising",
        "TargetedAdvertising",
        "CreateProductRecommendations",
        "SellDataToThirdParties",
    }
)


class Level(StrEnum):
    """
    How much a finding weighs.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Code(StrEnum):
    """
    The closed list of findings; the number stays with its meaning for ever.
    """

    CREDENTIAL_LEAVES = "L01"
    RAW_IDENTIFIER = "L02"
    FINE_LOCATION = "L03"
    FREE_TEXT = "L04"
    BEYOND_CONTRACT = "L05"
    EVERY_READING = "L06"
    MASK_SHOWS_MUCH = "L07"
    LONG_PSEUDONYM = "L08"
    UNUSED_FIELD = "L09"
    UNUSED_KIND = "L10"
    CALLED_ANONYMOUS = "L11"
    LONG_PREFIX = "L12"
    SUM_OF_COUNTER = "L13"
    PSEUDONYM_BESIDE_RAW = "L14"
    NO_CLAUSE = "L15"
    NAMED_ABROAD = "L16"
    NO_PLACE = "L17"
    WAITS_LONGER = "L18"
    LATE_NOTICE = "L19"
    LATE_ANSWER = "L20"
    NO_TERMS = "L21"


LEVELS: Final = {
    Code.CREDENTIAL_LEAVES: Level.ERROR,
    Code.UNUSED_FIELD: Level.NOTE,
    Code.UNUSED_KIND: Level.NOTE,
    Code.NO_CLAUSE: Level.NOTE,
    Code.NAMED_ABROAD: Level.ERROR,
    Code.NO_PLACE: Level.ERROR,
    Code.NO_TERMS: Level.NOTE,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing to think about: where in the file, what it is, and what to write instead.
    """

    code: Code
    where: str
    what: str
    instead: str

    @property
    def level(self) -> Level:
        """
        Return how much it weighs.
        """
        return LEVELS.get(self.code, Level.WARNING)


@dataclass(frozen=True, slots=True)
class _Line:
    """
    One line of a view, with all that a rule may ask about.
    """

    purpose: Purpose
    view: View
    field: ViewField
    where: str

    @property
    def shows_all(self) -> bool:
        """
        Tell whether the value leaves as it was read.
        """
        if self.field.window is Window.COUNT:
            return False
        return self.field.text in (None, TextRule.KEEP) and self.field.factor == 1 and not self.field.band


Verdict = tuple[Code, str, str]


def lint(policy: Policy) -> list[Finding]:
    """
    Return what is unwise in *policy*: purposes first, in the order of the file, then declarations.
    """
    findings: list[Finding] = []
    for purpose in policy.purposes.values():
        findings += _lint_purpose(policy, purpose)
    findings += _unused(policy)
    findings += [Finding(code, "terms", what, instead) for code, what, instead in _terms(policy.terms)]
    return findings


def _lint_purpose(policy: Policy, purpose: Purpose) -> Iterator[Finding]:
    where = f"purposes.{purpose.name}"
    for purpose_rule in _PURPOSE_RULES:
        for code, what, instead in purpose_rule(policy, purpose):
            yield Finding(code, where, what, instead)
    for view in purpose.views:
        if view.every_ms is None and purpose.basis is Basis.CONSENT:
            what = "sends every reading, where a consent is best asked for as little as possible"
            yield Finding(
                Code.EVERY_READING,
                f"{where}.views.{view.kind.name}",
                what,
                'write every = "1d", or at least "1h"',
            )
        for view_field in view.fields:
            line = _Line(
                purpose, view, view_field, f"{where}.views.{view.kind.name}.fields.{view_field.field.name}"
            )
            for rule in _LINE_RULES:
                yield from (Finding(code, line.where, what, instead) for code, what, instead in rule(line))


def _called_anonymous(policy: Policy, purpose: Purpose) -> Iterator[Verdict]:
    if "anonym" in f"{policy.name} {purpose.name} {purpose.dpv}".lower():
        what = "is called anonymous; rounding, masks and pseudonyms leave personal data (GDPR recital 26)"
        yield Code.CALLED_ANONYMOUS, what, "call it pseudonymous, or by what it is for"


def _beyond_contract(_: Policy, purpose: Purpose) -> Iterator[Verdict]:
    if purpose.basis is Basis.CONTRACT and purpose.dpv.partition(":")[2] in _BEYOND_A_CONTRACT:
        what = "rests on the contract, which seldom needs this to be performed (GDPR Art. 6(1)(b))"
        yield Code.BEYOND_CONTRACT, what, 'write basis = "consent"'


def _long_pseudonym(_: Policy, purpose: Purpose) -> Iterator[Verdict]:
    if purpose.period_ms is not None and purpose.period_ms > PSEUDONYM_LIMIT_MS:
        what = "keeps a pseudonym for more than 400 days, so that seasons and owners can be followed"
        yield Code.LONG_PSEUDONYM, what, 'write pseudonym = "30d", at most "400d"'


def _pseudonym_beside_raw(_: Policy, purpose: Purpose) -> Iterator[Verdict]:
    lines = [_Line(purpose, view, view_field, "") for view in purpose.views for view_field in view.fields]
    raw = any(line.field.field.cls in _SERIAL_LIKE and line.shows_all for line in lines)
    if raw and purpose.period_ms is not None:
        what = "has a pseudonym beside an identifier that is kept, so that the pseudonym hides nothing"
        yield Code.PSEUDONYM_BESIDE_RAW, what, "write a pseudonym for each identifier, or keep them all"


def _no_clause(_: Policy, purpose: Purpose) -> Iterator[Verdict]:
    if not purpose.clauses:
        what = "names no rule of the privacy policy that it answers"
        yield Code.NO_CLAUSE, what, 'write clauses = ["..."], so that a reader can compare the two'


def _named_abroad(_: Policy, purpose: Purpose) -> Iterator[Verdict]:
    reach = purpose.reach
    if reach is None or Mechanism.DEIDENTIFIED not in reach.transfer or not reach.abroad(purpose.regions):
        return
    for reason in identifying(purpose):
        what = f"may go abroad only de-identified, and {reason}"
        yield Code.NAMED_ABROAD, what, 'write every = "1d", bands or round, and leave names and places out'


def _no_place(_: Policy, purpose: Purpose) -> Iterator[Verdict]:
    named = {*purpose.regions, *(() if purpose.reach is None else purpose.reach.home)}
    if named & _ANYWHERE:
        yield Code.NO_PLACE, "may go to a region that is no place", 'write where the recipient is, such as "EU"'


def _waits_longer(_: Policy, purpose: Purpose) -> Iterator[Verdict]:
    if purpose.reach is not None and purpose.keep_at_most_ms > purpose.reach.retention_ms:
        what = "waits on the device longer than its recipient may keep it"
        yield Code.WAITS_LONGER, what, "write a keep_at_most below retention in [terms]"


def _terms(terms: Terms | None) -> Iterator[Verdict]:
    if terms is None:
        yield Code.NO_TERMS, "are missing: home, transfers, retention and deadlines are nowhere", "write [terms]"
        return
    if terms.breach_notice_ms > NOTICE_LIMIT_MS:
        yield Code.LATE_NOTICE, "tell an authority later than GDPR Art. 33 has it", 'write breach_notice = "72h"'
    if terms.answer_within_ms > ANSWER_LIMIT_MS:
        yield Code.LATE_ANSWER, "answer later than the month of GDPR Art. 12(3)", 'write answer_within = "30d"'


def _credential(line: _Line) -> Iterator[Verdict]:
    if line.field.field.cls is FieldClass.CREDENTIAL:
        yield Code.CREDENTIAL_LEAVES, "lets a credential leave, in whatever form", "leave the line out"


def _raw_identifier(line: _Line) -> Iterator[Verdict]:
    cls = line.field.field.cls
    if line.purpose.basis in _OWN_CHOICE and cls in _NAMES_SOMEONE and line.shows_all:
        what = f"keeps a {cls} as it is on the basis of {line.purpose.basis}"
        yield Code.RAW_IDENTIFIER, what, _GENTLER.get(line.field.field.type, "leave the line out")


_GENTLER: Final = {
    FieldType.TEXT: 'write { pseudonym = "30d" }',
    FieldType.MAC: 'write { pseudonym = "30d" }',
    FieldType.IP: "write { truncate_ip = 16 }",
    FieldType.LOCATION: "write { coarsen_location = 1 }",
}


def _fine_location(line: _Line) -> Iterator[Verdict]:
    if line.field.field.type is not FieldType.LOCATION or line.field.window is Window.COUNT:
        return
    if line.field.text is TextRule.KEEP or line.field.amount > COARSE_DECIMALS:
        what = "places the household to better than 10^-2 degrees, about a kilometre"
        yield Code.FINE_LOCATION, what, "write { coarsen_location = 1 }"


def _free_text(line: _Line) -> Iterator[Verdict]:
    field = line.field.field
    if field.cls is FieldClass.TEXT and field.type is FieldType.TEXT and line.shows_all:
        what = "keeps free text, in which people write names and addresses"
        yield Code.FREE_TEXT, what, "declare an enum of what it may say, or leave the line out"


def _mask_shows_much(line: _Line) -> Iterator[Verdict]:
    masks = line.field.text in (TextRule.MASK, TextRule.TRUNCATE_TEXT)
    if masks and line.field.field.cls in _SERIAL_LIKE and line.field.amount > READABLE_CHARACTERS:
        what = f"shows {line.field.amount} characters of an identifier of fixed format; the rest can be tried"
        yield Code.MASK_SHOWS_MUCH, what, 'write { pseudonym = "30d" }, or at most 4 characters'


def _long_prefix(line: _Line) -> Iterator[Verdict]:
    if line.field.text is TextRule.TRUNCATE_IP and line.field.amount > COARSE_PREFIX:
        what = f"keeps {line.field.amount} bits of an IPv4 address, few households wide"
        yield Code.LONG_PREFIX, what, "write { truncate_ip = 16 }, at most 24"


def _sum_of_counter(line: _Line) -> Iterator[Verdict]:
    if line.field.field.type is FieldType.COUNTER and line.field.window is Window.SUM:
        yield Code.SUM_OF_COUNTER, "adds up running totals, which means nothing", 'write { window = "delta" }'


_PURPOSE_RULES: Final[tuple[Callable[[Policy, Purpose], Iterator[Verdict]], ...]] = (
    _called_anonymous,
    _beyond_contract,
    _long_pseudonym,
    _pseudonym_beside_raw,
    _no_clause,
    _named_abroad,
    _no_place,
    _waits_longer,
)
_LINE_RULES: Final[tuple[Callable[[_Line], Iterator[Verdict]], ...]] = (
    _credential,
    _raw_identifier,
    _fine_location,
    _free_text,
    _mask_shows_much,
    _long_prefix,
    _sum_of_counter,
)


def _unused(policy: Policy) -> Iterator[Finding]:
    used: dict[str, set[str]] = {}
    for purpose in policy.purposes.values():
        for view in purpose.views:
            names = {view_field.field.name for view_field in view.fields}
            used.setdefault(view.kind.name, {view.kind.source}).update(names)
    for kind in policy.kinds.values():
        if kind.name not in used:
            yield Finding(Code.UNUSED_KIND, f"kinds.{kind.name}", "is in no view", _LEAVE_UNREAD)
            continue
        for field in kind.fields:
            if field.name not in used[kind.name]:
                where = f"kinds.{kind.name}.fields.{field.name}"
                yield Finding(Code.UNUSED_FIELD, where, "is in no view", _LEAVE_UNREAD)


_LEAVE_UNREAD: Final = "it never leaves; firmware can be built without reading it"
