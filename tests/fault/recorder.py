"""
Run a program under the recorder.

Owns the building of the preloaded library (once for each text of it) and the environment that switches it
on. ``run`` runs with whatever fault is asked for; ``record`` runs without one and vouches for the log: it
is replayed and must lead to the very folder that the run left. What states follow from a log is
powercut.py's matter.

Wants 64-bit Linux with glibc and a C compiler (``CC``, else ``cc``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .calllog import Call, Kind, read_calls, read_count, write_head
from .folder import FolderState, snapshot
from .powercut import check_end

_HERE: Final = Path(__file__).resolve().parent
INSIDE: Final = _HERE / "inside"  # what the program under test may import
_SOURCES: Final = ("recorder.c", "recorder_calls.c")
_FLAGS: Final = ("-std=gnu99", "-O2", "-Wall", "-Wextra", "-U_FORTIFY_SOURCE", "-shared", "-fPIC")


@dataclass(frozen=True, slots=True)
class Run:
    """
    Hold what a run came to.

    Attributes:
        returncode: of the program; -9 where it was killed.
        calls: how many calls were counted; with ``kill_at`` the one that did not happen is among them.
        marks: the promises made, in order.
        log: the recorder's log, or None where none was asked for.
    """

    returncode: int
    calls: int
    marks: tuple[str, ...]
    log: Path | None
    stdout: bytes
    stderr: bytes

    @property
    def killed(self) -> bool:
        """
        Say whether the program died of SIGKILL, which is how the recorder ends it.
        """
        return self.returncode == -signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Say what is to go wrong; the fields left out do not happen.

    Attributes:
        kill_at: kill the process before its n-th counted call, from 1.
        fail_at: let the n-th call fail instead of carrying it out.
        fail_count: how many calls in a row fail; beyond one, a full disk (ENOSPC, EDQUOT) refuses only
            what takes space.
        fail_errno: the errno they fail with; where it is EROFS and more than one fails, a file that is there cannot be
            opened for writing either.
        fail_names: only calls that make a new name fail, as where no inode is left.
        fsync_ms: how long each fsync and fdatasync takes longer.
    """

    kill_at: int | None = None
    fail_at: int | None = None
    fail_count: int = 1
    fail_errno: int | None = None
    fail_names: bool = False
    fsync_ms: int | None = None


NO_FAULT: Final = Fault()


@dataclass(frozen=True, slots=True)
class Recording:
    """
    Hold a whole recorded run: where it began, each call, and where it ended.
    """

    initial: FolderState
    calls: list[Call]
    final: FolderState
    run: Run


def missing() -> str:
    """
    Return why the recorder cannot run here, for a test's skip; empty where it can.
    """
    if not sys.platform.startswith("linux") or sys.maxsize < 1 << 32:
        return "the recorder wants 64-bit Linux"
    if shutil.which(os.environ.get("CC", "cc")) is None:
        return "the recorder wants a C compiler"
    return ""


def library() -> Path:
    """
    Return the preloaded library, built if this text of it was not built before.

    Raises:
        RuntimeError: the compiler refused, or the place of the built library belongs to somebody else.
    """
    compiler = os.environ.get("CC", "cc")
    texts = b"".join((_HERE / name).read_bytes() for name in (*_SOURCES, "recorder.h"))
    place = Path(tempfile.gettempdir()) / f"edge-fault-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid() or place.is_symlink():
        raise RuntimeError(f"{place} belongs to another user; set TMPDIR to a folder of your own")
    built = place / (hashlib.sha256(texts + repr((compiler, _FLAGS)).encode()).hexdigest()[:24] + ".so")
    if not built.exists():
        with tempfile.TemporaryDirectory(dir=place) as scratch:
            fresh = Path(scratch) / "recorder.so"
            command = [compiler, *_FLAGS, *(str(_HERE / name) for name in _SOURCES), "-o", str(fresh)]
            done = subprocess.run(
                [*command, "-ldl", "-lpthread"], capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise RuntimeError(f"the recorder does not build:\n{done.stderr}")
            fresh.rename(built)
    return built


def run(
    argv: Sequence[str],
    folder: Path,
    *,
    fault: Fault = NO_FAULT,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 60.0,
) -> Run:
    """
    Run *argv* and count its disk-changing calls in *folder*, over all its threads and child processes.

    Args:
        log: where the log is to be kept, outside of *folder*; without it the log is thrown away.
        env: the program's environment; this process's own where left out.

    Raises:
        ValueError: the log would lie in the recorded folder.
        subprocess.TimeoutExpired: the program did not end in time; it was killed.
    """
    root = folder.resolve()
    with tempfile.TemporaryDirectory(prefix="edge-fault-") as scratch:
        written = (log or Path(scratch) / "calls.log").resolve()
        if written.is_relative_to(root):
            raise ValueError("the log must lie outside of the recorded folder")
        write_head(written)
        done = subprocess.run(
            list(argv),
            env=_environment(os.environ if env is None else env, root, written, fault),
            cwd=cwd,
            timeout=timeout_s,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        marks = tuple(c.octets.decode() for c in read_calls(written, root) if c.kind is Kind.MARK)
        return Run(done.returncode, read_count(written), marks, log, done.stdout, done.stderr)


def parse(log: Path, folder: Path) -> list[Call]:
    """
    Return the calls and marks of *log*, which was written about *folder*, in the order on disk.
    """
    return read_calls(log, folder.resolve())


def record(
    argv: Sequence[str],
    folder: Path,
    *,
    fault: Fault = NO_FAULT,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 60.0,
) -> Recording:
    """
    Run *argv* as ``run`` does and return all of it, after checking that the log tells the whole story.

    Raises:
        Blind: the folder was changed past the recorder (mapped memory, stdio, another program).
    """
    initial = snapshot(folder)
    with tempfile.TemporaryDirectory(prefix="edge-fault-") as scratch:
        log = Path(scratch) / "calls.log"
        done = run(argv, folder, fault=fault, log=log, env=env, cwd=cwd, timeout_s=timeout_s)
        calls = parse(log, folder)
    final = snapshot(folder)
    check_end(calls, initial, final)
    ended = Run(done.returncode, done.calls, done.marks, None, done.stdout, done.stderr)
    return Recording(initial, calls, final, ended)


def switches(root: Path, log: Path, fault: Fault) -> dict[str, str]:
    """
    Return what switches the recorder on in a program that has it loaded.

    Args:
        root: the folder to record, as realpath gives it.
        log: begun with ``calllog.write_head``, outside of that folder.
    """
    wanted = {
        "EDGE_FAULT_KILL_AT": fault.kill_at,
        "EDGE_FAULT_FAIL_AT": fault.fail_at,
        "EDGE_FAULT_FAIL_COUNT": fault.fail_count,
        "EDGE_FAULT_ERRNO": fault.fail_errno,
        "EDGE_FAULT_FAIL_NAMES": int(fault.fail_names),
        "EDGE_FAULT_FSYNC_MS": fault.fsync_ms,
    }
    made = {name: str(number) for name, number in wanted.items() if number is not None}
    return made | {"EDGE_FAULT_DIR": str(root), "EDGE_FAULT_LOG": str(log)}


def _environment(env: Mapping[str, str], root: Path, log: Path, fault: Fault) -> dict[str, str]:
    made = {name: text for name, text in env.items() if not name.startswith("EDGE_FAULT_")}
    made |= switches(root, log, fault)
    made["LD_PRELOAD"] = " ".join(filter(None, (str(library()), env.get("LD_PRELOAD", ""))))
    made["PYTHONPATH"] = os.pathsep.join(filter(None, (str(INSIDE), env.get("PYTHONPATH", ""))))
    return made
