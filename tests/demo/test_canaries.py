"""
The search sees an identifier in every form it promises, and nothing in what only looks alike.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter

import pytest

from edge_sdk.cli import demo_canary, demo_plant
from edge_sdk.policy_file import find_policy, load_policy, policy_text

SERIAL, MAC, SSID = demo_plant.SERIALS[3], demo_plant.MAC, demo_plant.SSID
NOTHING = Counter({canary.field: 0 for canary in demo_canary.CANARIES})


@pytest.mark.parametrize(
    ("field", "form"),
    [
        ("serial", SERIAL.encode()),
        ("serial", SERIAL.encode("utf-16-le")),
        ("serial", SERIAL.encode().hex().encode()),
        ("serial", base64.b64encode(b"a" + SERIAL.encode() + b"z")),
        ("serial", base64.b64encode(b"ab" + SERIAL.encode() + b"z")),
        ("serial", base64.b64encode(b"abc" + SERIAL.encode() + b"z")),
        ("serial", bytes.fromhex(SERIAL)),
        ("serial", bytes(((octet & 15) << 4) | octet >> 4 for octet in bytes.fromhex(SERIAL))),
        ("serial", SERIAL[::-1].encode()),
        ("serial", hashlib.sha256(SERIAL.encode()).digest()),
        ("serial", hashlib.sha256(SERIAL.encode()).hexdigest().encode()),
        ("serial", hashlib.md5(SERIAL.encode()).digest()),
        ("mac", MAC.upper().encode()),
        ("mac", MAC.replace(":", "-").encode()),
        ("mac", MAC.replace(":", "").encode()),
        ("mac", bytes.fromhex(MAC.replace(":", ""))),
        ("ssid", SSID.replace(" ", "%20").encode()),
    ],
)
def test_a_form_is_found_in_the_middle_of_anything(field: str, form: bytes) -> None:
    found = demo_canary.search([os.urandom(1000), os.urandom(500) + form + os.urandom(500)])
    assert {name for name, hits in found.items() if hits} == {field}


def test_random_bytes_hold_nothing() -> None:
    assert demo_canary.search([os.urandom(1 << 16)]) == NOTHING


def test_no_form_is_so_short_that_chance_would_show_it() -> None:
    values = [value for canary in demo_canary.CANARIES for value in canary.values]
    assert min(len(form) for value in values for form in demo_canary.forms(value)) >= demo_canary.SHORTEST


def test_what_a_purpose_keeps_is_allowed_in_opened_rows_only() -> None:
    policy = find_policy("apsystems_ema")
    opened = NOTHING | Counter({"serial": 5, "ecu_id": 1})
    assert demo_canary.leaks(policy, {"wire": NOTHING}, opened) == []
    assert demo_canary.leaks(policy, {"wire": Counter({"serial": 1})}, opened) == ["serial: 1 hits in wire"]


def test_what_no_purpose_keeps_is_not_allowed_in_opened_rows() -> None:
    text = policy_text("apsystems_ema").replace('serial      = "keep"', 'serial = { pseudonym = "30d" }')
    text = text.replace('serial   = "keep"', 'serial = { pseudonym = "30d" }')
    policy = load_policy(text, where="test")
    (fault,) = demo_canary.leaks(policy, {}, Counter({"serial": 3, "ecu_id": 1}))
    assert fault == "serial: 3 hits in opened rows, and no purpose keeps it"


def test_a_search_that_does_not_see_what_is_kept_is_told() -> None:
    faults = demo_canary.leaks(find_policy("apsystems_ema"), {}, NOTHING)
    assert [fault.partition(":")[0] for fault in faults] == ["serial", "ecu_id"]
