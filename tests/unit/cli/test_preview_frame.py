"""
``edge-sdk preview --frame``: what an ECU uploads today beside what the real line sends of it, byte by byte.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sdk.cli import before_after, main
from edge_sdk.cli.wire import Exchange
from edge_sdk.sources.apsystems_upload import HOST, compose_upload, parse_upload

ECU_ID, SERIAL = "216000998877", "408000998801"
GATEWAY = {"ecu_id": ECU_ID, "ac_power": 35.0, "energy": 2127.9, "inverters_online": 1}
INVERTER = {
    "serial": SERIAL, "model_code": 7, "ac_voltage": 228, "frequency": 50.0, "temperature": 13,
    "dc_voltage_1": 33.8, "dc_current_1": 0.5, "dc_power_1": 17, "dc_voltage_2": 33.9, "dc_current_2": 0.53,
    "dc_power_2": 18,
}  # fmt: skip
FRAME = compose_upload("20260206112214", GATEWAY, [INVERTER])
MARK = "CANARY\x1b[2J"


@pytest.fixture
def preview(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Run the command in an empty folder and return the lines it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0, stdin: bytes = b"") -> list[str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        assert main(["preview", *words]) == code
        captured = capsys.readouterr()
        return (captured.err if code else captured.out).splitlines()

    return run


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """Preview one frame; return what was printed, and what is left in the folder."""
    folder = tmp_path_factory.mktemp("frame")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        out = io.StringIO()
        patch.setattr("sys.stdout", out)
        assert main(["preview", "--profile", "apsystems_ema", "--frame", FRAME.decode().rstrip("\n")]) == 0
    return out.getvalue().splitlines(), [path.name for path in folder.rglob("*")]


def part(lines: list[str], begin: str) -> list[list[str]]:
    """Return the cells of the table whose title begins so."""
    at = next(number for number, line in enumerate(lines) if line.startswith(begin))
    rows = lines[at + 2 :]
    ends = next((number for number, line in enumerate(rows) if not line.startswith("  ")), len(rows))
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in rows[:ends]]


def covers(rows: list[list[str]]) -> int:
    """Return how many bytes the pieces of a table cover, which have to follow each other without a hole."""
    at = 0
    for row in rows:
        assert int(row[0]) == at
        at += int(row[1])
    return at


def test_every_byte_of_todays_upload_is_told(told: tuple[list[str], list[str]]) -> None:
    assert covers(part(told[0], f"today: {len(FRAME)} bytes to {HOST}")) == len(FRAME) == 175


def test_every_byte_of_a_batch_is_told(told: tuple[list[str], list[str]]) -> None:
    rows = part(told[0], "with this SDK: one batch")
    requests = part(told[0], "with this SDK: 6 requests")
    sizes = [int(row[-2]) for row in requests if "POST /v1/batches" in row[-3]]
    assert covers(rows) == sizes[0]
    assert len(sizes) == 4  # monitoring, diagnostics, improvement, installers: of alarms the frame has none


@pytest.mark.slow
def test_the_sealed_bytes_are_of_this_run(told: tuple[list[str], list[str]], preview: Callable[..., list[str]]) -> None:
    def drawn(lines: list[str]) -> list[str]:
        return [row[-1] for row in part(lines, "with this SDK: one batch") if "drawn" in row[2] or "rows" in row[2]]

    again = drawn(preview("--profile", "apsystems_ema", "--frame", "-", stdin=FRAME))
    assert len(again) == 4
    assert not set(again) & set(drawn(told[0]))


def test_what_an_observer_learns_stands_side_by_side(told: tuple[list[str], list[str]]) -> None:
    rows = {row[0]: row[1:] for row in part(told[0], "what an observer on the wire learns")}
    assert rows["ECU"] == [ECU_ID, "nothing"]
    assert rows["inverters"] == [SERIAL, "nothing"]
    assert rows["power now"] == ["35.00 W", "nothing"]
    assert told[0][-2].endswith(": 0 found")


def test_an_identifier_that_is_sent_is_found_and_fails_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    batch = b"POST /v1/batches HTTP/1.1\r\nX-Serial: " + SERIAL.encode() + b"\r\nContent-Length: 0\r\n\r\n"
    upload = parse_upload(FRAME)
    assert before_after.found_in(upload, [Exchange(0, batch, 0)]) == ["serial: 1 hits on the wire"]
    assert before_after.found_in(upload, [Exchange(0, batch.replace(b"408", b"409"), 0)]) == []


def test_without_a_batch_nothing_is_shown_and_that_is_a_fault() -> None:
    assert before_after.show(parse_upload(FRAME), []) == ["no batch was seen on the wire"]


def test_it_shows_what_each_purpose_gets_too(told: tuple[list[str], list[str]]) -> None:
    assert any(line.split()[:3] == ["serial", SERIAL, SERIAL] for line in told[0])


def test_it_leaves_nothing_behind(told: tuple[list[str], list[str]]) -> None:
    assert told[1] == []


TEXT = FRAME.decode()


@pytest.mark.parametrize(
    "frame", ["", "APS", TEXT[:-5], TEXT.replace("AA174", "AA175"), MARK, TEXT.replace("4080", "4'80")]
)
def test_what_is_no_upload_exits_4_and_is_not_repeated(preview: Callable[..., list[str]], frame: str) -> None:
    told = preview("apsystems_ema", "--frame", frame, code=4)
    assert told[0].startswith("edge-sdk: ECU upload")
    assert "CANARY" not in "".join(told)


def test_a_frame_comes_on_standard_input_too(preview: Callable[..., list[str]]) -> None:
    told = preview("apsystems_ema", "--frame", "-", stdin=FRAME[:100], code=4)
    assert told[0] == "edge-sdk: ECU upload: 101 bytes, and its head says 175 with END at the end at byte 5"


def test_one_policy_is_named(preview: Callable[..., list[str]]) -> None:
    assert "takes one policy" in preview("--frame", FRAME.decode(), code=2)[0]
    assert "takes one policy" in preview("strictest", "--profile", "apsystems_ema", code=2)[0]


def test_a_folder_of_someone_else_is_left_alone(preview: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / ".preview").mkdir()
    (tmp_path / ".preview" / "mine").write_text("x")
    preview("apsystems_ema", "--frame", FRAME.decode(), code=2)
    assert (tmp_path / ".preview" / "mine").exists()
