"""
What comes from outside is in no message, log or representation: marked values through every door.
"""

from __future__ import annotations

import json
import logging
import tomllib
import traceback
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import Gateway
from edge_sdk.core import keys
from edge_sdk.core.batch import Batch, decode_batch, encode_batch
from edge_sdk.core.policy import FieldType, View
from edge_sdk.core.pseudonym import Pseudonyms
from edge_sdk.core.reading import check
from edge_sdk.core.table import encode_tables
from edge_sdk.errors import BadInput, ConfigError, EdgeError
from edge_sdk.opening import Site
from edge_sdk.policy_file import load_policy
from edge_sdk.sources.replay import BadLine, read_csv, read_jsonl
from edge_sdk.transport import Request, Response
from tests import site as sites
from tests.minimising import KEY, NOON_MS, SERIAL, Minimised, field, keep, kind_of, view_of
from tests.policies import toml
from tests.site import LocalSite, later
from tests.vectors import world

MARK = "CANARY-4080001"
SECRETS = (MARK, MARK.encode().hex(), "CANARY", "4711.5")

# Every wrong way to say a marked value, for whichever field it comes.
MARKED: list[Any] = [
    MARK,
    MARK + "\ud800",
    MARK.encode() + b"\xff",
    MARK * 10_000,
    [MARK, MARK],
    {MARK: MARK},
    4711.5e300,
    float(10**300),
    "fe80::1%" + MARK,
]


class Sensor:
    """A value whose text is marked."""

    def __repr__(self) -> str:
        return MARK


def tells(*texts: object) -> list[str]:
    """Return the marks that *texts* tell."""
    told = "\n".join(map(str, texts))
    return [mark for mark in SECRETS if mark in told]


def all_of(error: BaseException) -> str:
    """Return everything a handler could print of *error*: messages, hints, causes, notes, the lines it passed."""
    hints = [str(vars(error))]
    hints += [str(vars(link)) for link in (error.__cause__, error.__context__) if link is not None]
    return "".join(traceback.format_exception(error)) + "".join(hints) + repr(error.args)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Site]:
    with sites.opened(sites.local_site(tmp_path)) as parts:
        yield parts


def marked_readings() -> Iterator[tuple[str, dict[Any, Any]]]:
    for value in (*MARKED, Sensor()):
        for name in ("serial", "power", "energy", "state", "ssid", MARK):
            yield "inverter", {"serial": MARK, name: value}
        yield MARK, {"serial": value}
        yield "meter", {"serial": MARK, "power": value}


def test_no_marked_value_is_in_the_log_or_the_counts(parts: Site, log: pytest.LogCaptureFixture) -> None:
    now = parts.clock.now()
    for kind, fields in marked_readings():
        parts.line.recording.record(kind, fields, now.wall_ms)
        parts.line.recording.record(kind, fields, -1)
    parts.line.step(later(now, 1000), close=True, cut=True)
    parts.line.finish(later(now, 2000))
    assert sum(parts.line.recording.totals().values()) > 50
    assert not tells(log.text, parts.line.recording.totals(), [vars(record) for record in log.records])


def test_recording_strictly_names_reasons_and_never_values(parts: Site, log: pytest.LogCaptureFixture) -> None:
    now = parts.clock.now()
    raised: list[BadInput] = []
    for kind, fields in marked_readings():
        try:
            parts.line.recording.record_strictly(kind, fields, now.wall_ms)
        except BadInput as error:
            raised.append(error)
    assert len(raised) > 20
    assert not tells(log.text, *map(all_of, raised))


@pytest.mark.parametrize(
    "line",
    [
        MARK,
        f'{{"kind": "{MARK}"',
        json.dumps({"kind": "inverter", "at_ms": MARK, "fields": {}}),
        json.dumps({"kind": "inverter", "at_ms": 1, "fields": MARK}),
        json.dumps({"kind": "inverter", "at_ms": 1, "fields": {}, MARK: MARK}),
        json.dumps([MARK]),
        f'"{MARK}\ud800"',
        MARK + "x" * (1 << 20),
        "[" * 100_000 + MARK,
    ],
)
def test_a_line_that_is_no_reading_is_told_by_its_number(line: str) -> None:
    (told,) = read_jsonl([line.encode("utf-8", "surrogatepass")])
    assert isinstance(told, BadLine)
    assert not tells(told, repr(told))


@pytest.mark.parametrize("content", [f"{MARK},b\n1,2\n", f"kind,at_ms\n{MARK},{MARK}\n", f'kind,at_ms\n"{MARK}\x00\n'])
def test_a_csv_that_holds_no_readings_is_told_by_its_lines(content: str) -> None:
    for told in read_csv([line.encode() + b"\n" for line in content.splitlines()], {}):
        assert isinstance(told, BadLine)
        assert not tells(told, repr(told))


FIELD_KEYS = "class type max_length values unit min max resolution wraps_at"
RULE_KEYS = "window round clip band mask truncate_ip truncate_text coarsen_location pseudonym"
POLICY_KEYS = {
    ("policy",): "name version",
    ("kinds", "inverter"): "source max_sources on_invalid fields",
    ("kinds", "inverter", "fields", "serial"): FIELD_KEYS,
    ("kinds", "inverter", "fields", "energy"): FIELD_KEYS,
    ("purposes", "monitoring"): "basis dpv recipient regions importance keep_at_most clauses views",
    ("purposes", "improvement", "views", "inverter"): "every send fields",
    ("purposes", "improvement", "views", "inverter", "fields", "energy"): RULE_KEYS,
    ("purposes", "improvement", "views", "inverter", "fields", "serial"): RULE_KEYS,
}
POLICY_VALUES: list[Any] = [MARK * 10, [MARK, 4711], {"x": MARK}, Decimal("4711.5"), [Decimal("4711.5"), MARK]]


def wrong_policies() -> Iterator[str]:
    for path, names in POLICY_KEYS.items():
        for name in names.split():
            for value in POLICY_VALUES:
                raw: dict[str, Any] = tomllib.loads(sites.POLICY, parse_float=Decimal)
                reduce(lambda table, key: table[key], path, raw)[name] = value
                yield "\n".join(f"{key} = {toml(table)}" for key, table in raw.items())


def test_a_wrong_policy_is_told_by_its_keys_and_never_by_its_values() -> None:
    for text in wrong_policies():
        with pytest.raises(ConfigError) as caught:
            load_policy(text, where="policy.toml")
        # A step of the author's own may be told, as "write a multiple of"; text never.
        assert not tells(all_of(caught.value).replace("a multiple of 4711.5", ""))


def test_a_policy_that_is_no_toml_is_told_by_its_line() -> None:
    for text in (f"[{MARK}", f'x = "{MARK}', f"x = {MARK}", f'x = 1\nx = "{MARK}"', f'a = "{MARK}"\x00'):
        with pytest.raises(ConfigError) as caught:
            load_policy(text, where="policy.toml")
        assert not tells(all_of(caught.value))


@pytest.mark.parametrize("kind", FieldType)
@pytest.mark.parametrize("value", [*MARKED, Sensor()])
def test_checking_a_value_never_raises(kind: FieldType, value: object) -> None:
    check(field("value", kind, values=("a", "b"), max_length=8), value)


def test_a_batch_that_cannot_be_read_is_told_without_its_rows() -> None:
    view = view_of(kind_of(field("power")), keep(SERIAL))
    batch = Batch(world.STREAM_ID, 0, 0, world.DIGEST, world.named("key"), tables={0: [(1, MARK)]})
    payload = encode_batch(batch, [view])
    other = view_of(kind_of(field("power")), keep(SERIAL), keep(SERIAL))
    for views in ([other], [], None):
        answers: Callable[[bytes], Sequence[View] | None] = {world.DIGEST: views}.get
        with pytest.raises(EdgeError) as caught:
            decode_batch(payload, answers)
        assert not tells(all_of(caught.value))
    assert MARK.encode() in encode_tables([view], batch.tables)  # it was there to be told
    assert not tells(repr(batch), str(batch))


# --- representations


def test_what_stands_between_a_reading_and_a_row_has_no_voice() -> None:
    kind = kind_of(field("power", high=10**6))
    view = view_of(kind, keep(SERIAL), every_ms=1000)
    minimised = Minimised(kind, view, view_of(kind, keep(SERIAL)))
    minimised.take({"serial": MARK, "power": 4711.5}, NOON_MS)
    for outlet in minimised.outlets:
        assert not tells(repr(outlet), str(outlet), repr(outlet.windows), repr(minimised.minimise))
    assert [MARK in repr(row) for row in minimised.rows(1)] == [True]  # it was there to be told


def test_a_pseudonym_maker_shows_neither_key_nor_names() -> None:
    name = Pseudonyms(KEY, "serial")
    name(MARK)
    told = repr(name) + str(name) + repr({"serial": name})
    assert not tells(told)
    assert KEY.reveal().hex() not in told
    assert repr(KEY.reveal())[2:-1] not in told


SECRET_TYPES = [kind for kind in keys.SecretBytes.__subclasses__() if kind.__module__ == "edge_sdk.core.keys"]


@pytest.mark.parametrize("kind", SECRET_TYPES)
def test_a_secret_shows_its_role_only(kind: type[keys.SecretBytes]) -> None:
    secret = kind(MARK.ljust(32, "x").encode())
    told = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret]), repr({"key": secret})]
    assert not tells(*told)
    with pytest.raises(TypeError) as caught:
        hash(secret)
    assert not tells(all_of(caught.value))


def test_requests_and_answers_show_neither_body_nor_authorization() -> None:
    request = Request("POST", "/v1/batches", {"Authorization": MARK}, MARK.encode())
    assert not tells(repr(request), str(request))
    assert not tells(repr(Response(200, {}, MARK.encode())))


def test_an_open_gateway_shows_nothing_it_took(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    site: LocalSite = sites.local_site(tmp_path)
    with Gateway.open(site.toml) as gateway:
        for kind, fields in marked_readings():
            gateway.record(kind, fields)
        gateway.flush()
        line = gateway._running.site.line
        status = gateway.status()
        told: list[object] = [gateway, gateway._running, gateway._running.site, line, line.recording, line.binding]
        told += [line.rooms, line.rooms.vault, line.rooms.vault.ring, line.consent, line.queueing, status]
        told += line.binding.streams.values()
        told += [stream.record for stream in line.binding.streams.values()]
        assert not tells(*map(repr, told), *map(str, told))
    assert not tells(log.text)
