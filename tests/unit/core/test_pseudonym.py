from __future__ import annotations

import hashlib
import hmac

import pytest

from edge_sdk.core.keys import PseudonymKey, next_pseudonym_key
from edge_sdk.core.pseudonym import PSEUDONYM_BYTES, Pseudonyms, period_of
from tests.minimising import KEY


def test_a_pseudonym_is_a_keyed_hash_of_field_and_text() -> None:
    wanted = hmac.new(KEY.reveal(), b"serial\x00" + "Zähler 7".encode(), hashlib.sha256).digest()[:16]
    assert Pseudonyms(KEY, "serial")("Zähler 7") == wanted
    assert len(wanted) == PSEUDONYM_BYTES


def test_a_text_keeps_its_pseudonym_within_a_period() -> None:
    names = Pseudonyms(KEY, "serial")
    assert names("A") == names("A") == Pseudonyms(KEY, "serial")("A")


def test_two_fields_give_one_text_two_pseudonyms() -> None:
    assert Pseudonyms(KEY, "serial")("A") != Pseudonyms(KEY, "mac")("A")


def test_field_and_text_do_not_run_into_each_other() -> None:
    assert Pseudonyms(KEY, "ab")("c") != Pseudonyms(KEY, "a")("bc")


def test_the_next_period_gives_another_pseudonym() -> None:
    assert Pseudonyms(KEY, "serial")("A") != Pseudonyms(next_pseudonym_key(KEY), "serial")("A")


def test_what_is_remembered_is_bounded_and_forgetting_changes_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_sdk.core.pseudonym._REMEMBERED", 3)
    names = Pseudonyms(KEY, "serial")
    first = [names(text) for text in "abcdefg"]
    assert len(names._made) <= 3
    assert [names(text) for text in "abcdefg"] == first


def test_a_destroyed_key_makes_no_more_pseudonyms() -> None:
    key = PseudonymKey(bytes(range(32)))
    names = Pseudonyms(key, "serial")
    key.destroy()
    with pytest.raises(RuntimeError):
        names("A")


def test_a_purpose_without_pseudonyms_has_one_period_only() -> None:
    assert period_of(1_760_000_000_000, None) == 0


def test_periods_are_counted_on_the_floor() -> None:
    assert [period_of(at_ms, 1000) for at_ms in (0, 999, 1000, 2500)] == [0, 0, 1, 2]
