"""
The acts of ending hold on real input, and each of their claims can fail: what is changed in the facts is told.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from edge_sdk.cli import demo_acts, demo_copies
from edge_sdk.cli.demo_endings import EFFECT_MS, Act, Cancelled, Copied, WithdrawnHere, WithdrawnThere, judge
from edge_sdk.core.keys import SECRET_BYTES
from edge_sdk.core.receipt import Method, StoreErased
from edge_sdk.policy_file import load_policy, policy_text
from tests.demo.conftest import PROFILE, Run

PURPOSE = "improvement"
A = TypeVar("A")


def only(acts: list[Act], kind: type[A]) -> A:
    (found,) = [act for act in acts if isinstance(act, kind)]
    return found


@pytest.fixture
def here(acts: list[Act]) -> WithdrawnHere:
    return only(acts, WithdrawnHere)


@pytest.fixture
def there(acts: list[Act]) -> WithdrawnThere:
    return only(acts, WithdrawnThere)


@pytest.fixture
def cancelled(acts: list[Act]) -> Cancelled:
    return only(acts, Cancelled)


def test_all_of_it_holds(acts: list[Act]) -> None:
    assert [fault for act in acts for fault in judge(act)] == []
    assert len(acts) == 3


def test_the_purpose_that_is_withdrawn_rests_on_consent(run: Run) -> None:
    assert demo_acts.withdrawable(run.policy) == PURPOSE


def test_without_a_purpose_to_withdraw_there_is_none() -> None:
    text = re.sub(r'^basis = "\w+"', 'basis = "contract"', policy_text(PROFILE), flags=re.MULTILINE)
    assert demo_acts.withdrawable(load_policy(text, where="test")) is None


def test_the_acts_and_the_first_half_share_all_readings_and_no_reading_twice(run: Run) -> None:
    parts = run.parts
    acts = [parts.offline, parts.resumed, parts.granted, parts.told, parts.away]
    times = [reading.at_ms for part in (parts.main, *acts) for reading in part]
    assert times == sorted(times)
    assert all(part and part[-1].at_ms - part[0].at_ms < demo_acts.PART_MS for part in acts)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"told_s": None}, "the authority was not told"),
        ({"rows_withdrawn": 2}, "2 rows of improvement arrived afterwards"),
        ({"exits": {"replay": 6}}, "'replay' ended with 6"),
        ({"exits": {"replay, offline": 0}}, "'replay, offline' ended with 0"),
    ],
)
def test_what_a_withdrawal_on_the_device_did_not_do_is_told(
    here: WithdrawnHere, change: dict[str, Any], fault: str
) -> None:
    assert judge(replace(here, **change)) == [f"withdrawn on the device: {fault}"]


def test_batches_that_were_not_destroyed_or_were_lost_besides_are_told(here: WithdrawnHere) -> None:
    after = {**here.after, PURPOSE: here.before[PURPOSE], "monitoring": (0, 0)}
    assert judge(replace(here, after=after)) == [
        "withdrawn on the device: 1 batches of improvement are still queued",
        "withdrawn on the device: monitoring lost 1 batches by it",
    ]


def test_a_queue_that_held_nothing_shows_nothing(here: WithdrawnHere) -> None:
    (fault,) = judge(replace(here, before={**here.before, PURPOSE: (0, 0)}))
    assert fault.endswith("so nothing was shown to be destroyed")


def test_a_key_that_is_left_and_opens_what_was_withdrawn_is_told(here: WithdrawnHere) -> None:
    (fault,) = judge(replace(here, copied=replace(here.copied, left=here.copied.own)))
    assert fault.endswith("improvement: 1 of 1 batches in a copy open with the keys left on the device")


def test_a_row_that_differs_is_told(here: WithdrawnHere) -> None:
    (fault,) = judge(replace(here, rows=[replace(here.rows[0], missing=3), *here.rows[1:]]))
    assert "3 of" in fault


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"effect_ms": 1001}, f"it took effect 1001 ms after it arrived, {EFFECT_MS} ms is the most"),
        ({"rows_after": 1}, "1 rows of improvement arrived afterwards"),
        ({"waiting": 4}, "4 batches of improvement are still queued"),
        ({"granted": []}, "the new grant gave no row of improvement"),
    ],
)
def test_what_a_withdrawal_by_statement_did_not_do_is_told(
    there: WithdrawnThere, change: dict[str, Any], fault: str
) -> None:
    assert judge(replace(there, **change)) == [f"withdrawn by the operator: {fault}"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"waiting": (0, 0)}, "nothing was queued, so nothing was shown to be erased"),
        ({"sent": 1}, "1 batches were sent after the account was cancelled"),
        ({"refusal": ""}, "the erased site still takes readings"),
        ({"left": [("lock", 0), ("vault.bin", 9)]}, "left in the state folder: lock, vault.bin"),
        ({"orders": []}, "the authority has no receipt that confirms its order"),
        ({"erasures": []}, "no receipt says that everything was erased"),
        ({"searched": {"site": Counter({"serial": 1, "mac": 0})}}, "serial: 1 hits in the site"),
    ],
)
def test_what_a_wipe_did_not_do_is_told(cancelled: Cancelled, change: dict[str, Any], fault: str) -> None:
    assert judge(replace(cancelled, **change)) == [f"account cancelled: {fault}"]


def test_an_order_that_nobody_confirmed_is_told(cancelled: Cancelled) -> None:
    (order,) = cancelled.orders
    (fault,) = judge(replace(cancelled, orders=[replace(order, confirmed_s=None)]))
    assert "confirms its order" in fault


def test_a_receipt_of_an_erase_that_failed_is_told(cancelled: Cancelled) -> None:
    (erasure,) = cancelled.erasures
    failed = replace(erasure.receipt, stores=(StoreErased("queue", Method.FAILED, verified=False, items=1),))
    (fault,) = judge(replace(cancelled, erasures=[replace(erasure, receipt=failed)]))
    assert "everything was erased" in fault


def test_a_key_that_is_left_and_opens_the_vault_is_told(cancelled: Cancelled) -> None:
    nothing = cancelled.copied.left
    (fault,) = judge(replace(cancelled, copied=replace(cancelled.copied, left=replace(nothing, vault=True))))
    assert fault == "account cancelled: something in the copy opens with what is left on the device"


# --- what opens a copy


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Path:
    return demo_copies.take(run.folders.state, tmp_path / "copy")


def test_a_copy_opens_with_its_own_root_key_wherever_that_stands(copy: Path, tmp_path: Path) -> None:
    root_key = demo_copies.without_root_key(copy)
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "page").write_bytes(os.urandom(41) + root_key + os.urandom(7))
    opened = demo_copies.opens(copy, demo_copies.everything_in(tmp_path / "found"))
    assert opened.vault
    assert opened.ledger
    assert not opened.nothing


def test_a_copy_does_not_open_with_random_keys(copy: Path) -> None:
    demo_copies.without_root_key(copy)
    assert demo_copies.opens(copy, [os.urandom(SECRET_BYTES) for _ in range(50)]).nothing


def test_a_purpose_key_opens_the_batches_of_its_purpose_alone(run: Run, acts: list[Act], tmp_path: Path) -> None:
    copied = only(acts, WithdrawnHere).copied
    assert isinstance(copied, Copied)
    assert {copied.of(name) for name in copied.purposes.values() if name != PURPOSE} == {(1, 1, 1)}
    assert copied.of(PURPOSE) == (1, 1, 0)


def test_the_keys_of_a_device_are_those_its_vault_holds(run: Run, tmp_path: Path) -> None:
    keys = demo_copies.keys_of(Path(shutil.copytree(run.folders.state, tmp_path / "device")))
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {SECRET_BYTES}
    assert len(keys) == 1 + 5 + len(run.policy.purposes) + 3  # root, generation and files, purposes, pseudonyms
