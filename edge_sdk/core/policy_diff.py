"""
What an edited policy lets leave more, less or otherwise than the one before, purpose by purpose.

Exactly what is in the digest of a purpose is compared, so a purpose has changes if and only if its digest is
another: the grants that name the old digest do not open it. Narrower changes an authority may list under the
grant there is; wider and different ones need the person (or the balancing test) again. Judges nothing else;
see ``policy_lint``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

from edge_sdk.core.policy import Field, Policy, Purpose, TextRule, View, ViewField, Window
from edge_sdk.core.terms import Reach
from edge_sdk.core.units import Step, format_duration


class Direction(StrEnum):
    """
    Which way a change goes, as seen by the person the readings are about.
    """

    NARROWER = "narrower"
    WIDER = "wider"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Change:
    """
    One difference between two versions of a purpose.
    """

    purpose: str
    what: str
    direction: Direction


_Found = tuple[str, Direction]


def diff(old: Policy, new: Policy) -> list[Change]:
    """
    Return what changed from *old* to *new*, in the order of the purposes' names.
    """
    changes: list[Change] = []
    for name in sorted({*old.purposes, *new.purposes}):
        before, after = old.purposes.get(name), new.purposes.get(name)
        changes += [Change(name, what, direction) for what, direction in _purpose(before, after)]
    return changes


def needs_new_grant(changes: Iterable[Change]) -> list[str]:
    """
    Return the names of the purposes that are wider or different in any way, in order.
    """
    return sorted({change.purpose for change in changes if change.direction is not Direction.NARROWER})


def _purpose(old: Purpose | None, new: Purpose | None) -> Iterator[_Found]:
    if old is None or new is None:
        yield from _presence("purpose", old)
        return
    yield from _other("basis", old.basis, new.basis)
    yield from _other("recipient", old.recipient, new.recipient)
    yield from _set("regions", frozenset(old.regions), frozenset(new.regions))
    if old.keep_at_most_ms != new.keep_at_most_ms:
        yield from _amount("keep_at_most", old.keep_at_most_ms, new.keep_at_most_ms, show=format_duration)
    yield from _reach(old.reach, new.reach)
    before, after = ({view.kind.name: view for view in purpose.views} for purpose in (old, new))
    for name in sorted({*before, *after}):
        yield from _view(f"view {name}", before.get(name), after.get(name))


def _reach(old: Reach | None, new: Reach | None) -> Iterator[_Found]:
    if old == new:
        return
    if old is None or new is None:
        said = "terms added" if old is None else "terms removed"
        yield said, Direction.NARROWER if old is None else Direction.WIDER
        return
    yield from _set("terms: home", frozenset(old.home), frozenset(new.home))
    if old.retention_ms != new.retention_ms:
        yield from _amount("terms: retention", old.retention_ms, new.retention_ms, show=format_duration)
    if old.transfer != new.transfer:
        yield "terms: transfer", _needs_direction(frozenset(old.transfer), frozenset(new.transfer))


def _needs_direction(old: frozenset[Any], new: frozenset[Any]) -> Direction:
    """
    Return which way it goes when a transfer needs *new* instead of *old*: needing nothing means that none takes place.
    """
    if not new or (old and new > old):
        return Direction.NARROWER
    return Direction.WIDER if not old or new < old else Direction.DIFFERENT


def _view(where: str, old: View | None, new: View | None) -> Iterator[_Found]:
    if old is None or new is None:
        yield from _presence(where, old)
        return
    yield from _other(f"{where}: source", old.kind.source, new.kind.source)
    yield from _amount(f"{where}: max_sources", old.kind.max_sources, new.kind.max_sources)
    yield from _every(f"{where}: every", old.every_ms, new.every_ms)
    if old.now != new.now:
        said = "is sent at once" if new.now else "is no longer sent at once"
        yield f"{where}: {said}", Direction.WIDER if new.now else Direction.NARROWER
    before, after = ({vf.field.name: vf for vf in view.fields} for view in (old, new))
    for name in sorted({*before, *after}):
        yield from _view_field(f"{where}, field {name}", before.get(name), after.get(name))


def _every(where: str, old: int | None, new: int | None) -> Iterator[_Found]:
    if old == new:
        return
    said = f"{where}: {_length(old)}, now {_length(new)}"
    if old is None or (new is not None and new % old == 0):
        yield said, Direction.NARROWER
    elif new is None or old % new == 0:
        yield said, Direction.WIDER
    else:
        yield said, Direction.DIFFERENT


def _length(every_ms: int | None) -> str:
    return "each reading" if every_ms is None else format_duration(every_ms)


def _view_field(where: str, old: ViewField | None, new: ViewField | None) -> Iterator[_Found]:
    if old is None or new is None:
        yield from _presence(where, old)
        return
    yield from _declared(where, old.field, new.field)
    yield from _window(f"{where}: window", old.window, new.window)
    yield from _clip(f"{where}: clip", _interval(old, old.clip), _interval(new, new.clip))
    yield from _shape(where, old, new)
    yield from _text(where, old, new)


def _declared(where: str, old: Field, new: Field) -> Iterator[_Found]:
    yield from _other(f"{where}: class", old.cls, new.cls)
    yield from _other(f"{where}: type", old.type, new.type)
    yield from _other(f"{where}: unit", old.unit, new.unit)
    yield from _grain(f"{where}: resolution", old.step, new.step)
    before, after = ((f.step.decimal(f.low), f.step.decimal(f.high)) for f in (old, new))
    yield from _clip(f"{where}: min and max", before, after)
    yield from _amount(f"{where}: max_length", old.max_length, new.max_length)
    if old.values != new.values:
        yield f"{where}: values", _list_direction(old.values, new.values)
    if old.step.decimal(old.modulus) != new.step.decimal(new.modulus):
        yield f"{where}: wraps_at", Direction.DIFFERENT


def _list_direction(old: tuple[Any, ...], new: tuple[Any, ...]) -> Direction:
    if old == new[: len(old)]:
        return Direction.WIDER
    return Direction.NARROWER if new == old[: len(new)] else Direction.DIFFERENT


def _window(where: str, old: Window | None, new: Window | None) -> Iterator[_Found]:
    if old is new:
        return
    said = f"{where}: {old or 'none'}, now {new or 'none'}"
    if old is None or new is Window.COUNT:
        yield said, Direction.NARROWER
    elif new is None or old is Window.COUNT:
        yield said, Direction.WIDER
    else:
        yield said, Direction.DIFFERENT


def _interval(view_field: ViewField, scaled: tuple[int, int] | None) -> tuple[Any, Any] | None:
    if scaled is None:
        return None
    return view_field.field.step.decimal(scaled[0]), view_field.field.step.decimal(scaled[1])


def _clip(where: str, old: tuple[Any, Any] | None, new: tuple[Any, Any] | None) -> Iterator[_Found]:
    if old == new:
        return
    if old is None or (new is not None and old[0] <= new[0] and new[1] <= old[1]):
        yield where, Direction.NARROWER
    elif new is None or (new[0] <= old[0] and old[1] <= new[1]):
        yield where, Direction.WIDER
    else:
        yield where, Direction.DIFFERENT


def _shape(where: str, old: ViewField, new: ViewField) -> Iterator[_Found]:
    before, after = ([vf.field.step.decimal(edge) for edge in vf.band] for vf in (old, new))
    if before and after:
        yield from _set(f"{where}: band", frozenset(before), frozenset(after))
    elif after:
        yield f"{where}: band", Direction.NARROWER if old.factor == 1 else Direction.DIFFERENT
    elif before:
        yield f"{where}: band", Direction.WIDER if new.factor == 1 else Direction.DIFFERENT
    else:
        yield from _grain(
            f"{where}: round", old.field.step.times(old.factor), new.field.step.times(new.factor)
        )


def _grain(where: str, old: Step, new: Step) -> Iterator[_Found]:
    ratio = Fraction(new.decimal(1)) / Fraction(old.decimal(1))
    if ratio == 1:
        return
    said = f"{where}: {old.text(1)}, now {new.text(1)}"
    if ratio.denominator == 1:
        yield said, Direction.NARROWER
    elif ratio.numerator == 1:
        yield said, Direction.WIDER
    else:
        yield said, Direction.DIFFERENT


def _text(where: str, old: ViewField, new: ViewField) -> Iterator[_Found]:
    if old.text is None or new.text is None:  # a window or the type changed too, and was told there
        return
    if old.text is new.text:
        yield from _amount(f"{where}: {new.text}", old.amount, new.amount, show=_SHOW.get(new.text, str))
        return
    said = f"{where}: {old.text}, now {new.text}"
    if old.text is TextRule.KEEP:
        yield said, Direction.NARROWER
    else:
        yield said, Direction.WIDER if new.text is TextRule.KEEP else Direction.DIFFERENT


_SHOW: Final[Mapping[TextRule, Any]] = {TextRule.PSEUDONYM: format_duration}


def _presence(where: str, old: object) -> Iterator[_Found]:
    if old is None:
        yield f"{where} added", Direction.WIDER
    else:
        yield f"{where} removed", Direction.NARROWER


def _other(where: str, old: object, new: object) -> Iterator[_Found]:
    if old != new:
        yield f"{where}: {old or 'none'}, now {new or 'none'}", Direction.DIFFERENT


def _amount(where: str, old: int, new: int, *, show: Any = str) -> Iterator[_Found]:
    if old != new:
        yield f"{where}: {show(old)}, now {show(new)}", Direction.WIDER if new > old else Direction.NARROWER


def _set(where: str, old: frozenset[Any], new: frozenset[Any]) -> Iterator[_Found]:
    if new < old:
        yield f"{where}: {_without(old - new)} left out", Direction.NARROWER
    elif new > old:
        yield f"{where}: {_without(new - old)} added", Direction.WIDER
    elif new != old:
        yield f"{where}: {_without(new - old)} instead of {_without(old - new)}", Direction.DIFFERENT


def _without(members: frozenset[Any]) -> str:
    return ", ".join(str(member) for member in sorted(members))
