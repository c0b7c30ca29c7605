"""
The numbers of a policy on the shim socket.
"""

from __future__ import annotations

import pytest

from edge_sdk.core.policy import Policy
from edge_sdk.core.shim_ids import ALL_PURPOSES, MAX_PURPOSES, Schema, header
from edge_sdk.errors import ConfigError
from edge_sdk.policy_file import load_policy

HEAD = '[policy]\nname = "p"\nversion = "1 */ x"\n'
INVERTER = """
[kinds.inverter]
source = "serial"
max_sources = 4
[kinds.inverter.fields]
serial = { class = "device_identifier", type = "text" }
power = { class = "telemetry", type = "number", unit = "W", min = 0, max = 10, resolution = 1 }
state = { class = "telemetry", type = "enum", values = ["off", "on grid", "on-grid"] }
events = { class = "telemetry", type = "flags", values = ["fan", "arc fault"] }
unused = { class = "telemetry", type = "bool" }
"""
METER = """
[kinds.meter]
source = "id"
max_sources = 4
[kinds.meter.fields]
id = { class = "device_identifier", type = "text" }
ip = { class = "network_identifier", type = "ip" }
energy = { class = "telemetry", type = "counter", unit = "Wh" }
"""


def purpose(name: str, **views: str) -> str:
    text = f"""
[purposes.{name}]
basis = "contract"
dpv = "dpv:ServiceMonitoring"
recipient = "operator-eu"
regions = ["EU"]
importance = 1
keep_at_most = "1d"
clauses = ["a.1"]
"""
    return text + "".join(
        f"[purposes.{name}.views.{kind}.fields]\n" + "".join(f"{field}\n" for field in fields.split(";"))
        for kind, fields in views.items()
    )


def policy(*parts: str) -> Policy:
    return load_policy("".join([HEAD, *parts]), where="test")


FIRST = purpose("first", inverter='serial = "keep";power = "keep"')
SECOND = purpose("second", meter='energy = "keep";ip = "keep"', inverter='power = "keep";state = "keep"')
WHOLE = policy(INVERTER, METER, FIRST, SECOND)


def test_fields_are_numbered_over_all_kinds_in_the_order_of_the_file() -> None:
    numbers = [(one.number, one.kind.name, one.field.name) for one in Schema(WHOLE).fields]
    assert numbers[0] == (1, "inverter", "serial")
    assert numbers[5:] == [(6, "meter", "id"), (7, "meter", "ip"), (8, "meter", "energy")]


def test_a_field_carries_the_purposes_with_a_view_that_names_it() -> None:
    masks = {(one.kind.name, one.field.name): one.mask for one in Schema(WHOLE).fields}
    assert masks["inverter", "serial"] == 0b01
    assert masks["inverter", "power"] == 0b11
    assert masks["inverter", "unused"] == 0
    assert masks["meter", "energy"] == 0b10


def test_the_mask_of_purposes_passes_over_what_the_policy_does_not_have() -> None:
    schema = Schema(WHOLE)
    assert schema.mask_of(["second", "elsewhere"]) == 0b10
    assert ALL_PURPOSES == (1 << MAX_PURPOSES) - 1


@pytest.mark.parametrize(
    "other",
    [
        policy(METER, INVERTER, FIRST, SECOND),
        policy(INVERTER, METER, SECOND, FIRST),
        policy(INVERTER.replace('unit = "W"', 'unit = "VA"'), METER, FIRST, SECOND),
        policy(INVERTER.replace('"on grid"', '"island"'), METER, FIRST, SECOND),
        policy(INVERTER, METER, FIRST, purpose("second", meter='energy = "keep"', inverter='power = "keep"')),
    ],
    ids=["kinds turned round", "purposes turned round", "another unit", "another label", "another view"],
)
def test_the_hash_tells_policies_apart_whose_numbers_or_meanings_differ(other: Policy) -> None:
    assert Schema(other).hash != Schema(WHOLE).hash


def test_the_hash_stays_when_only_bounds_and_words_change() -> None:
    other = policy(INVERTER.replace("max = 10", "max = 20"), METER, FIRST.replace("a.1", "a.2"), SECOND)
    assert Schema(other).hash == Schema(WHOLE).hash


def test_the_header_has_every_number_once() -> None:
    text = header(Schema(WHOLE))
    assert "#define EDGE_FIELD_INVERTER_POWER 0x00003002u /* number W */" in text
    assert "#define EDGE_FIELD_INVERTER_SERIAL 0x00001001u /* text by edge_source() */" in text
    assert "#define EDGE_FIELD_METER_IP 0x00002007u /* ip by edge_text() */" in text
    assert "no purpose uses it" in text
    assert "#define EDGE_PURPOSE_SECOND 0x00002u" in text
    assert "#define EDGE_KIND_METER 2u" in text
    assert "#define EDGE_VALUE_INVERTER_STATE_1_ON_GRID 1" in text
    assert "#define EDGE_BIT_INVERTER_EVENTS_1_ARC_FAULT 1" in text


def test_text_of_the_policy_does_not_end_a_comment_of_the_header() -> None:
    assert "1 ? x. Do not edit. */" in header(Schema(WHOLE))


def test_two_fields_of_one_name_in_c_are_refused() -> None:
    inverter = INVERTER.replace("kinds.inverter", "kinds.a")
    meter = METER.replace("kinds.meter", "kinds.a_power").replace("energy", "x").replace("ip =", "ip_ =")
    clash = inverter.replace("unused =", "power_x =")
    with pytest.raises(ConfigError, match="EDGE_FIELD_A_POWER_X"):
        header(Schema(policy(clash, meter, purpose("first", a='power = "keep"'))))


def test_more_purposes_than_bits_are_refused() -> None:
    many = [purpose(f"p{n}", inverter='power = "keep"') for n in range(21)]
    with pytest.raises(ConfigError, match="21 purposes"):
        Schema(policy(INVERTER, *many))


def test_more_fields_than_numbers_are_refused() -> None:
    line = 'f{} = {{ class = "telemetry", type = "bool" }}\n'
    kinds = [
        f'[kinds.k{k}]\nsource = "serial"\nmax_sources = 1\n[kinds.k{k}.fields]\n'
        'serial = { class = "device_identifier", type = "text" }\n'
        + "".join(line.format(n) for n in range(255))
        for k in range(16)
    ]
    with pytest.raises(ConfigError, match="4096 fields"):
        Schema(policy(*kinds, purpose("first", k0='f1 = "keep"')))
