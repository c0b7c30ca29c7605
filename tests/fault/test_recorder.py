"""
The recorder: what it counts, where it kills, and that its log is the whole story.
"""

from __future__ import annotations

import errno
import sys
import time
from pathlib import Path

import pytest

from tests.fault import scripts
from tests.fault.calllog import Kind
from tests.fault.folder import FolderState, materialise, snapshot
from tests.fault.powercut import Blind, check_end, replay
from tests.fault.recorder import Fault, Recording, missing, parse, record, run

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "recorded"
    made.mkdir()
    (made / "before").write_bytes(b"was there before the run")
    return made


def argv(script: str, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-c", script, str(folder), *more]


def sound(recording: Recording) -> Recording:
    assert recording.run.returncode == 0, recording.run.stderr.decode()
    return recording


@pytest.mark.parametrize("mode", ["WAL", "DELETE", "TRUNCATE", "PERSIST"])
def test_every_byte_that_sqlite_writes_is_replayed(folder: Path, mode: str) -> None:
    recording = sound(record(argv(scripts.SQLITE, folder, mode, "FULL", "20"), folder))
    assert replay(recording.calls, recording.initial).digest == snapshot(folder).digest


def test_every_watched_call_is_replayed(folder: Path) -> None:
    recording = sound(record(argv(scripts.EVERY_CALL, folder), folder))
    assert {call.kind for call in recording.calls} == set(Kind) - {Kind.MARK, Kind.BLIND}


def test_a_replay_is_written_out_as_the_real_folder_is(folder: Path, tmp_path: Path) -> None:
    recording = sound(record(argv(scripts.EVERY_CALL, folder), folder))
    materialise(replay(recording.calls, recording.initial), tmp_path / "copy")
    assert snapshot(tmp_path / "copy").digest == snapshot(folder).digest


def test_threads_and_child_processes_share_one_count(folder: Path) -> None:
    recording = sound(record(argv(scripts.EVERY_CALL, folder), folder))
    assert recording.run.calls == sum(call.counted for call in recording.calls)
    assert len({call.thread for call in recording.calls}) == 3


def test_a_call_that_changes_nothing_is_not_counted(folder: Path) -> None:
    script = (
        "import os, sys; os.chdir(sys.argv[1]);"
        "os.open('before', os.O_RDWR | os.O_CREAT); os.open('before', 0);"
        "os.write(1, b'out'); os.pipe(); os.path.exists('none')\n"
        "try: os.unlink('none')\nexcept FileNotFoundError: pass\n"
        "try: os.mkdir('before')\nexcept FileExistsError: pass\n"
        "os.open('/dev/null', os.O_WRONLY | os.O_TRUNC | os.O_CREAT); os.open('x-shm', os.O_CREAT)"
    )
    done = run(argv(script, folder), folder)
    assert (done.returncode, done.calls) == (0, 0)


def test_the_same_script_makes_the_same_calls(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "second"
    materialise(snapshot(folder), other)
    one = sound(record(argv(scripts.SQLITE, folder, "WAL", "FULL", "20"), folder))
    two = sound(record(argv(scripts.SQLITE, other, "WAL", "FULL", "20"), other))
    assert [call.text for call in one.calls] == [call.text for call in two.calls]


def test_a_kill_leaves_just_the_calls_before_it(folder: Path, tmp_path: Path) -> None:
    steps = argv(scripts.REPLACE, folder, "file folder")
    whole = sound(record(steps, folder))
    for kill_at in range(1, whole.run.calls + 1):
        materialise(whole.initial, folder)
        done = run(steps, folder, fault=Fault(kill_at=kill_at))
        counted = [number for number, call in enumerate(whole.calls) if call.counted]
        before = replay(whole.calls[: counted[kill_at - 1]], whole.initial)
        assert (done.killed, done.calls, done.marks) == (True, kill_at, before.marks)
        assert snapshot(folder).digest == before.digest, kill_at


@pytest.mark.parametrize("kill_at", [2, 51, 200, 401])
def test_a_kill_is_exact_over_two_threads(folder: Path, tmp_path: Path, kill_at: int) -> None:
    initial, log = snapshot(folder), tmp_path / "log"
    done = run(argv(scripts.TWO_THREADS, folder), folder, fault=Fault(kill_at=kill_at), log=log)
    calls = parse(log, folder)
    assert (done.killed, done.calls, len(calls)) == (True, kill_at, kill_at - 1)
    check_end(calls, initial, snapshot(folder))


def test_the_order_in_the_log_is_the_order_on_disk_over_threads(folder: Path) -> None:
    script = (
        "import os, sys, threading\n"
        "number = os.open(sys.argv[1] + '/a', os.O_WRONLY | os.O_CREAT, 0o600)\n"
        "def work(octet):\n"
        "    for n in range(300): os.pwrite(number, octet * (n % 7 + 1), n % 5)\n"
        "threads = [threading.Thread(target=work, args=(bytes([n]),)) for n in range(4)]\n"
        "for one in threads: one.start()\n"
        "for one in threads: one.join()\n"
    )
    assert sound(record(argv(script, folder), folder)).run.calls == 1201


def test_the_nth_call_fails_as_asked(folder: Path) -> None:
    fault = Fault(fail_at=3, fail_errno=errno.EIO)
    recording = record(argv(scripts.LINE_OF_STEPS, folder, "new a,write a 0 x 9,sync a"), folder, fault=fault)
    assert f"[Errno {errno.EIO}]" in recording.run.stderr.decode()
    assert [call.error for call in recording.calls] == [0, 0, errno.EIO]


def test_a_full_disk_refuses_writes_and_still_syncs(folder: Path) -> None:
    fault = Fault(fail_at=4, fail_count=4, fail_errno=errno.ENOSPC)
    recording = sound(record(argv(scripts.FULL_DISK, folder), folder, fault=fault))
    assert recording.run.stdout == b"28\n28\n"
    assert (folder / "a").read_bytes() == b"row0row3"


def test_a_slow_sync_takes_longer_and_holds_up_nobody_else(folder: Path) -> None:
    started = time.monotonic()
    recording = sound(record(argv(scripts.SLOW_SYNC, folder), folder, fault=Fault(fsync_ms=300)))
    assert time.monotonic() - started > 0.3
    assert [call.kind for call in recording.calls[2:]] == [Kind.WRITE, Kind.FSYNC]


@pytest.mark.parametrize("way", scripts.PAST_THE_RECORDER)
def test_a_change_past_the_recorder_is_refused(folder: Path, way: str) -> None:
    with pytest.raises(Blind):
        record(argv(scripts.PAST_THE_RECORDER[way], folder), folder)


def test_a_log_inside_the_recorded_folder_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError):
        run(["true"], folder, log=folder / "log")


def test_a_log_cut_off_in_a_record_gives_the_records_before(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(argv(scripts.LINE_OF_STEPS, folder, "new a,write a 0 x 99"), folder, log=log)
    log.write_bytes(log.read_bytes()[:-1])
    assert [call.kind for call in parse(log, folder)] == [Kind.CREATE]


def test_marks_stand_between_the_calls_they_were_made_between(folder: Path) -> None:
    recording = sound(record(argv(scripts.LINE_OF_STEPS, folder, "mark x,new a,mark y,mark z,new b"), folder))
    words = [call.octets.decode() or call.path for call in recording.calls]
    assert (words, recording.run.calls) == (["x", "a", "y", "z", "b"], 2)


def test_a_snapshot_survives_being_written_out(folder: Path, tmp_path: Path) -> None:
    (folder / "sub").mkdir(mode=0o500)
    (folder / "sub" / "big").write_bytes(bytes(range(256)) * 40)
    (folder / "link").symlink_to("before")
    taken: FolderState = snapshot(folder)
    materialise(taken, tmp_path / "copy")
    assert snapshot(tmp_path / "copy").digest == taken.digest
