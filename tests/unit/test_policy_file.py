"""
A policy file is read as it says, or every mistake in it is told: where, what, and what to write instead.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_sdk
from edge_sdk.core.policy import FieldType, Policy, Purpose, TextRule, View, ViewField, Window
from edge_sdk.core.policy_lint import Level, lint
from edge_sdk.core.units import DAY_MS, MINUTE_MS, Step
from edge_sdk.errors import ConfigError
from edge_sdk.policy_file import MAX_CHARACTERS, PROFILES, find_policy, load_policy, profile_text
from tests.unit.policy_texts import TEXT, WHERE, edited, policy, toml

FIELD = "kinds.inverter.fields"


def complaint(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_policy(text, where=WHERE)
    return str(caught.value).splitlines()


def view_field(name: str, *, purpose: str = "monitoring", of: Policy | None = None) -> ViewField:
    view: View = (of or policy()).purposes[purpose].views[0]
    return next(entry for entry in view.fields if entry.field.name == name)


# --------------------------------------------------------------------------------------------- what is read


def test_numbers_become_scaled_integers_at_the_resolution() -> None:
    field = policy().kinds["inverter"].field("power")
    assert (field.low, field.high, field.step) == (-1000, 1000000, Step(1, -1))


def test_a_counter_ends_one_step_below_where_it_wraps() -> None:
    field = policy().kinds["inverter"].field("energy")
    assert (field.low, field.high, field.modulus) == (0, 65535, 65536)


def test_an_integer_counts_in_steps_of_one() -> None:
    assert policy().kinds["inverter"].field("starts").step == Step(1, 0)


def test_a_number_without_bounds_goes_as_far_as_binary64_holds_integers() -> None:
    text = edited("min = -100, max = 100000, resolution = 0.1", "resolution = 0.1")
    field = policy(edited("power = { window", "#", text)).kinds["inverter"].field("power")
    assert (field.low, field.high) == (-(2**53) + 1, 2**53 - 1)


def test_a_coarse_number_without_bounds_stays_within_binary64_by_value() -> None:
    text = edited("min = -100, max = 100000, resolution = 0.1", "resolution = 100")
    for line in ("power = { window", "power = { band"):
        text = edited(line, "#", text)
    assert policy(text).kinds["inverter"].field("power").high == (2**53 - 1) // 100


def test_rounding_becomes_a_factor_of_the_resolution() -> None:
    assert view_field("power").factor == 100


def test_a_clip_becomes_scaled_bounds() -> None:
    assert view_field("power").clip == (0, 50000)


def test_a_band_becomes_scaled_edges() -> None:
    assert view_field("power", purpose="support").band == (1000, 10000)


def test_a_window_is_read() -> None:
    assert view_field("energy").window is Window.DELTA


def test_text_without_a_rule_is_kept() -> None:
    assert view_field("serial").text is TextRule.KEEP


def test_a_number_has_no_rule_for_text() -> None:
    assert view_field("power").text is None


@pytest.mark.parametrize(
    ("name", "purpose", "rule", "amount"),
    [
        ("lan_ip", "monitoring", TextRule.TRUNCATE_IP, 16),
        ("mac", "support", TextRule.MASK, 8),
        ("place", "support", TextRule.COARSEN_LOCATION, 1),
        ("serial", "support", TextRule.PSEUDONYM, 30 * DAY_MS),
    ],
)
def test_a_rule_for_text_keeps_its_amount(name: str, purpose: str, rule: TextRule, amount: int) -> None:
    found = view_field(name, purpose=purpose)
    assert (found.text, found.amount) == (rule, amount)


def test_a_counted_field_shows_nothing_else() -> None:
    found = view_field("lan_ip", of=policy(edited('"last", truncate_ip = 16', '"count"')))
    assert (found.window, found.text, found.is_text) == (Window.COUNT, None, False)


def test_the_purpose_takes_the_period_of_its_pseudonyms() -> None:
    assert policy().purposes["support"].period_ms == 30 * DAY_MS


def test_a_purpose_without_pseudonyms_has_no_period() -> None:
    assert policy().purposes["monitoring"].period_ms is None


def test_every_and_send_are_read() -> None:
    views = [entry.views[0] for entry in policy().purposes.values()]
    assert [(view.every_ms, view.now) for view in views] == [(5 * MINUTE_MS, False), (None, True)]


def test_what_may_be_left_out_has_its_documented_value() -> None:
    text = edited("max_sources = 64\n", "", edited('on_invalid = "field"\n', ""))
    found = policy(text)
    kind, purpose = found.kinds["inverter"], found.purposes["support"]
    assert (kind.max_sources, kind.on_invalid, purpose.importance, purpose.clauses) == (64, "field", 10, ())


def test_fields_of_a_view_are_in_order_of_their_names() -> None:
    assert [entry.field.name for entry in policy().purposes["support"].views[0].fields] == [
        "faults", "mac", "online", "place", "power", "serial", "starts",
    ]  # fmt: skip


def test_a_loaded_policy_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        cast(dict[str, Purpose], policy().purposes)["other"] = policy().purposes["support"]


# ------------------------------------------------------------------------------------------ what is refused


def mistakes() -> dict[str, tuple[str, str, str, str]]:
    text = (Path(__file__).parent / "policy_mistakes.txt").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in text.split("\n\n")[1:]]
    return {
        name[2:]: (old[2:].replace("\\n", "\n"), new[2:].replace("\\n", "\n"), place[2:], advice[2:])
        for name, old, new, place, advice in blocks
    }


ONE_MISTAKE = mistakes()
# A wrong name is wrong where it stands and missing where it was meant.
TWO_LINES = {"a misspelt table", "a field with a dash", "an unknown kind"}


def with_mistake(case: str) -> str:
    old, new, _, _ = ONE_MISTAKE[case]
    text = edited(old, new)
    if case == "an endless window":
        return text.replace('keep_at_most = "30d"', 'keep_at_most = "60d"')
    if case == "a pseudonym shorter than a window":
        return text.replace('every = "5min"', 'every = "1d"')
    return text


@pytest.mark.parametrize("case", ONE_MISTAKE)
def test_a_mistake_is_told_with_its_place_and_what_to_write(case: str) -> None:
    _, _, place, advice = ONE_MISTAKE[case]
    line = next(line for line in complaint(with_mistake(case)) if place in line)
    assert advice in line.partition("; ")[2]


@pytest.mark.parametrize("case", ONE_MISTAKE)
def test_one_mistake_is_not_told_as_several(case: str) -> None:
    assert len(complaint(with_mistake(case))) == (2 if case in TWO_LINES else 1)


@pytest.mark.parametrize("case", ONE_MISTAKE)
def test_every_line_begins_with_the_file(case: str) -> None:
    assert all(line.startswith(f"{WHERE}:") for line in complaint(with_mistake(case)))


def test_all_mistakes_are_told_at_once() -> None:
    text = edited('basis = "consent"', 'basis = "consnt"', edited("max_sources", "max_sorces"))
    text = edited(
        'starts = "keep"', "starts = { mask = 2 }", edited("resolution = 0.1", "resolution = 0", text)
    )
    assert len(complaint(text)) == 4


def test_a_field_that_is_declared_wrong_is_not_told_again_where_it_is_used() -> None:
    assert complaint(edited('type = "bool"', 'type = "bol"')) == [
        f'{WHERE}: [{FIELD}.online] type: is not one of the values known here; did you mean "bool"?'
    ]


def test_a_file_wrong_throughout_is_told_a_hundred_lines_of() -> None:
    rows = "\n".join(f"extra_{number} = 1" for number in range(150))
    assert complaint(edited("[policy]", f"{rows}\n[policy]"))[100:] == [f"{WHERE}: and 50 more"]


def test_what_stands_behind_a_key_is_not_repeated() -> None:
    text = edited('basis = "consent"', 'basis = "hunter2"', edited("max = 100000", 'max = "hunter2"'))
    text = edited(
        'starts = "keep"', 'starts = "hunter2"', edited('name = "example"', 'name = "HUNTER2"', text)
    )
    assert "hunter2" not in "".join(complaint(text)).lower()


def test_a_strange_key_cannot_write_to_the_terminal() -> None:
    lines = complaint(edited('starts = "keep"', '"\\u001b[2J\\n' + "x" * 300 + '" = "keep"'))
    assert all(line.isprintable() and len(line) < 300 for line in lines)


@pytest.mark.parametrize(("table", "most"), [("kinds", 64), ("purposes", 32)])
def test_more_tables_than_possible_are_refused(table: str, most: int) -> None:
    document: dict[str, Any] = tomllib.loads(TEXT)
    entry = next(iter(document[table].values()))
    document[table] = {f"name_{number}": entry for number in range(most + 1)}
    said = f"{WHERE}: [{table}]: names {most + 1} {table}; at most {most} are possible"
    assert said in complaint(toml(document))


def test_more_fields_than_possible_are_refused() -> None:
    fields = "\n".join(f'f{number} = {{ class = "telemetry", type = "bool" }}' for number in range(250))
    lines = complaint(edited("place = { class", f"{fields}\nplace = {{ class"))
    assert f"{WHERE}: [{FIELD}]: names 260 fields; at most 256 are possible" in lines


@pytest.mark.parametrize("table", ["policy", "kinds", "purposes"])
@pytest.mark.parametrize("written", ["3", "[]", "{}", '"x"'])
def test_a_top_level_table_of_another_kind_is_refused(table: str, written: str) -> None:
    document = tomllib.loads(TEXT)
    del document[table]
    assert any(f": [{table}]" in line for line in complaint(f"{table} = {written}\n{toml(document)}"))


def test_an_empty_file_lacks_its_three_tables() -> None:
    keys = [line.removeprefix(f"{WHERE}: ").partition(":")[0] for line in complaint("")]
    assert keys == ["policy", "kinds", "purposes"]


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("[policy]\nname = x", "line 2, column 8: not TOML"),
        ("[policy", "line 1, at the end: not TOML"),
        ("a = 1\na = 2", "line 2, at the end: not TOML"),
        ("a = [1,\n2\n", "line 3, at the end: not TOML"),
    ],
)
def test_what_is_not_toml_is_told_with_its_place(text: str, position: str) -> None:
    assert complaint(text)[0].startswith(f"{WHERE}: {position}: ")


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 5000], ids=["depth", "digits"])
def test_toml_that_exhausts_the_parser_is_refused(text: str) -> None:
    assert "nested too deep or holds an endless number" in complaint(text)[0]


def test_an_endless_file_is_refused_unread() -> None:
    assert f"has {MAX_CHARACTERS + 1} characters" in complaint("#" * (MAX_CHARACTERS + 1))[0]


# ------------------------------------------------------------------------------------- any document at all

KEYS = [
    "policy",
    "kinds",
    "purposes",
    "name",
    "version",
    "source",
    "max_sources",
    "fields",
    "views",
    "class",
    "type",
    "unit",
    "min",
    "max",
    "resolution",
    "wraps_at",
    "max_length",
    "values",
    "basis",
    "dpv",
    "recipient",
    "regions",
    "importance",
    "keep_at_most",
    "clauses",
    "every",
    "send",
    "window",
    "clip",
    "round",
    "band",
    "mask",
    "truncate_ip",
    "truncate_text",
    "coarsen_location",
    "pseudonym",
    "inverter",
    "serial",
    "power",
    "md5",
    "Ä",
]
WORDS = st.sampled_from([*KEYS, "", "a b", "x" * 40])
SCALARS = st.one_of(
    WORDS,
    st.sampled_from(
        [
            "keep",
            "now",
            "5min",
            "30d",
            "consent",
            "contract",
            "text",
            "number",
            "counter",
            "ip",
            "mean",
            "delta",
            "count",
            "telemetry",
        ]
    ),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


def is_a_policy_or_a_config_error(text: str) -> bool:
    try:
        return isinstance(load_policy(text, where=WHERE), Policy)
    except ConfigError as error:
        return "pydantic" not in str(error)


def tables(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, dict):
        return []
    return [value, *(table for entry in value.values() for table in tables(entry))]


@given(st.dictionaries(WORDS, VALUES, max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_document_is_a_policy_or_a_config_error(document: dict[str, Any]) -> None:
    assert is_a_policy_or_a_config_error(toml(document))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_good_policy_with_anything_put_anywhere_is_a_policy_or_a_config_error(data: st.DataObject) -> None:
    document = tomllib.loads(TEXT)
    for _ in range(data.draw(st.integers(1, 3))):
        table = data.draw(st.sampled_from(tables(document)))
        table[data.draw(st.sampled_from([*table, *KEYS]))] = data.draw(VALUES)
    assert is_a_policy_or_a_config_error(toml(document))


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_policy_or_a_config_error(text: str) -> None:
    assert is_a_policy_or_a_config_error(text)


# ------------------------------------------------------------------------------------------ profiles, paths


def test_the_list_of_profiles_is_the_folder() -> None:
    folder = Path(edge_sdk.__file__).parent / "profiles"
    assert sorted(PROFILES) == sorted(path.stem for path in folder.glob("*.toml"))


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_loads_under_its_name(name: str) -> None:
    assert find_policy(name).name == name


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_checked_without_a_warning(name: str) -> None:
    assert {finding.level for finding in lint(find_policy(name))} <= {Level.NOTE}


def test_the_ecu_profile_keeps_a_serial_for_monitoring_and_for_no_other_window() -> None:
    purposes = find_policy("apsystems_ema").purposes
    keeping = {
        name
        for name, purpose in purposes.items()
        for view in purpose.views
        for entry in view.fields
        if view.every_ms and entry.field.name == "serial" and entry.text is TextRule.KEEP
    }
    assert keeping == {"monitoring"}


def test_no_purpose_of_the_ecu_profile_has_what_its_policy_does_not_declare() -> None:
    leaving = {
        entry.field.name
        for purpose in find_policy("apsystems_ema").purposes.values()
        for view in purpose.views
        for entry in view.fields
    }
    assert leaving.isdisjoint({"lan_ip", "mac", "ssid", "signal", "time_zone", "power_a"})


def test_a_policy_file_is_found_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8")
    assert find_policy(str(tmp_path / "mine.toml")).name == "example"


def test_a_bare_name_may_be_a_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert find_policy("mine").name == "example"


def refusal(name_or_path: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        find_policy(name_or_path)
    return caught.value


def test_a_misspelt_profile_is_told_the_right_name() -> None:
    assert refusal("apsystem_ema").hint == 'did you mean "apsystems_ema"?'


def test_an_unknown_profile_is_told_the_known_ones() -> None:
    assert refusal("zzz").hint == "the profiles are " + ", ".join(PROFILES)


def test_an_unknown_profile_has_no_text() -> None:
    with pytest.raises(ConfigError):
        profile_text("zzz")


def test_a_missing_file_is_a_config_error_with_its_name(tmp_path: Path) -> None:
    assert "absent.toml" in str(refusal(str(tmp_path / "absent.toml")))


def test_a_file_that_is_not_utf_8_is_told_the_byte(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    assert str(refusal(str(tmp_path / "latin.toml"))) == "latin.toml: is not UTF-8 at byte 5"


def test_mistakes_in_a_file_are_told_with_its_name_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("", encoding="utf-8")
    assert str(refusal(str(tmp_path / "mine.toml"))).startswith("mine.toml: ")


def test_the_text_under_test_declares_every_type() -> None:
    assert {field.type for field in policy().kinds["inverter"].fields} == set(FieldType)
