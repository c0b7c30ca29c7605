"""
Each rule of rooms.py is shown a module that breaks it, and one that does not.
"""

from __future__ import annotations

import textwrap

import pytest

from tests.architecture import rooms
from tests.architecture.rooms import CHECKERS, Checker, Module, import_circle

DOC = '"""Owns the planted thing, does nothing else, speaks to nobody at all."""\n'

# (checker, module name, source, a part of the complaint)
FAULTS: list[tuple[Checker, str, str, str]] = [
    (rooms.imports_point_down, "outbox", "from edge_sdk.uplink import Uplink", "uplink"),
    (rooms.imports_point_down, "outbox", "from . import vault", "vault"),
    (rooms.imports_point_down, "outbox", "import edge_sdk.gateway", "gateway"),
    (rooms.imports_point_down, "clock", "from edge_sdk import files", "files"),
    (rooms.imports_point_down, "core.batch", "def f():\n    from ..vault import Vault", "vault"),
    (rooms.imports_point_down, "errors", "from edge_sdk.core import units", "units"),
    (rooms.imports_point_down, "collector.store", "from edge_sdk.outbox import Outbox", "outbox"),
    (rooms.imports_point_down, "line", "from edge_sdk import Gateway", "Gateway"),
    (rooms.imports_point_down, "gateway", "from edge_sdk.collector import intake", "collector"),
    (rooms.imports_point_down, "newroom", "", "MAY_IMPORT"),
    (rooms.core_keeps_its_order, "core.units", "from edge_sdk.core.policy import Policy", "upward"),
    (rooms.core_keeps_its_order, "core.policy", "def f():\n    from .seal import seal", "upward"),
    (rooms.core_keeps_its_order, "core.novel", "", "CORE_LEVELS"),
    (rooms.core_is_pure, "core.batch", "import os.path", "os.path"),
    (rooms.core_is_pure, "core.batch", "def f():\n    from time import monotonic", "time"),
    (rooms.core_is_pure, "core.batch", "from importlib import import_module", "importlib"),
    (rooms.core_is_pure, "core.batch", "def f(path):\n    return open(path)", "open"),
    (rooms.core_is_pure, "errors", "import sys", "sys"),
    (rooms.async_stays_in_its_rooms, "outbox", "async def f(): ...", "async"),
    (rooms.async_stays_in_its_rooms, "core.batch", "async def f(x):\n    await x", "async"),
    (rooms.printing_is_for_the_command_line, "gateway", "print('hello')", "prints"),
    (rooms.code_is_not_made_at_run_time, "config", "eval('1')", "eval"),
    (rooms.code_is_not_made_at_run_time, "core.policy", "exec('x = 1')", "exec"),
    (rooms.code_is_not_made_at_run_time, "core.compile", "__import__('os')", "__import__"),
    (rooms.files_go_through_one_room, "outbox", "def f(p):\n    return open(p)", "open()"),
    (rooms.files_go_through_one_room, "outbox", "import os\nos.replace('a', 'b')", "os.replace"),
    (rooms.files_go_through_one_room, "outbox", "from os import unlink", "os.unlink"),
    (rooms.files_go_through_one_room, "vault", "def f(p):\n    p.write_bytes(b'')", "write_bytes"),
    (
        rooms.files_go_through_one_room,
        "collector.store",
        "import sqlite3\nsqlite3.connect('x')",
        "sqlite3.connect",
    ),
    (rooms.files_go_through_one_room, "vault", "import tempfile", "tempfile"),
    (rooms.only_the_clock_reads_time, "outbox", "import time", "time"),
    (rooms.only_the_clock_reads_time, "cli.status", "def f():\n    from time import monotonic", "time"),
    (rooms.only_the_clock_reads_time, "line", "import datetime\ndatetime.datetime.now()", "datetime.now"),
    (rooms.only_the_clock_reads_time, "uplink", "def f(loop):\n    return loop.time()", "loop.time"),
    (rooms.chance_is_drawn_where_objects_are_built, "uplink", "import random", "random"),
    (rooms.chance_is_drawn_where_objects_are_built, "vault", "import os\nos.urandom(32)", "urandom"),
    (
        rooms.chance_is_drawn_where_objects_are_built,
        "vault",
        "def f(K):\n    return K.generate()",
        "generate",
    ),
    (rooms.sizes_stay_small, "outbox", "x = 1\n" * 401, "401 lines"),
    (rooms.sizes_stay_small, "gateway", "x = 1\n" * 129, "129 lines"),
    (rooms.sizes_stay_small, "outbox", "def f():\n" + "    x = 1\n" * 41, "41 lines"),
    (rooms.names_say_something, "core.utils", "", "utils"),
    (rooms.names_say_something, "outbox", "def handle_row(row): ...", "handle_row"),
    (rooms.names_say_something, "outbox", "def _process_row(row): ...", "_process_row"),
    (rooms.names_say_something, "outbox", "class OutboxManager: ...", "OutboxManager"),
    (rooms.modules_say_what_they_own, "outbox", '"""Outbox."""', "docstring"),
    (rooms.modules_say_what_they_own, "outbox", "x = 1", "docstring"),
    (rooms.modules_keep_no_state, "outbox", "SEEN = {}", "SEEN"),
    (rooms.modules_keep_no_state, "outbox", "seen: list[int] = []", "seen"),
    (rooms.modules_keep_no_state, "outbox", "import threading\nguard = threading.Lock()", "guard"),
    (rooms.modules_keep_no_state, "outbox", "def f():\n    global x\n    x = 1", "global x"),
    (rooms.classes_do_not_inherit_each_other, "outbox", "class A: ...\nclass B(A): ...", "inherits"),
    (
        rooms.classes_do_not_inherit_each_other,
        "uplink",
        "from edge_sdk.vault import V\nclass W(V): ...",
        "inherits",
    ),
]

# Sources near the edge of a rule that keep to it: no checker may complain.
CLEAN: list[tuple[str, str]] = [
    ("outbox", "import sqlite3\nfrom edge_sdk import files\nfrom edge_sdk.core.batch import close\n"),
    ("outbox", "def f(files, path):\n    return files.read_bytes(path)\n"),
    ("files", "import os\n\n\ndef f(path):\n    return open(path, 'rb', opener=os.open)\n"),
    ("clock", "import time\n\n\ndef wall_ms():\n    return time.time_ns() // 1_000_000\n"),
    ("config", "import os\n\n\ndef folder():\n    return os.environ['EDGE_STATE']\n"),
    (
        "cli.status",
        "from edge_sdk import Gateway\nfrom edge_sdk.collector import server\nprint(Gateway, server)\n",
    ),
    ("core.policy", "from typing import Final\n\nfrom .units import parse\n\nUNITS: Final = {'s': parse}\n"),
    ("core.seal", "from edge_sdk.core.envelope import wrap\nfrom edge_sdk.errors import Tampered\n"),
    ("core.compile", "def build(text):\n    exec(text, {})\n"),
    ("uplink", "from typing import Protocol\n\n\nclass T(Protocol): ...\n\n\nclass U(T): ...\n"),
    ("uplink", "async def send(transport, body):\n    return await transport.post(body)\n"),
    ("opening", "import secrets\n\n\ndef draw():\n    return secrets.token_bytes(16)\n"),
    ("outbox", "def f():\n    '''Do.\n" + "    x\n" * 50 + "    '''\n" + "    x = 1\n" * 40),
]


@pytest.mark.parametrize(("checker", "name", "text", "part"), FAULTS)
def test_a_planted_fault_is_found(checker: Checker, name: str, text: str, part: str) -> None:
    complaints = list(checker(Module(name, text)))
    assert any(part in complaint for complaint in complaints), complaints


@pytest.mark.parametrize(("name", "text"), CLEAN)
def test_what_keeps_to_the_rules_passes(name: str, text: str) -> None:
    module = Module(name, DOC + textwrap.dedent(text))
    assert [complaint for checker in CHECKERS for complaint in checker(module)] == []


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
def test_every_checker_has_a_planted_fault(checker: Checker) -> None:
    assert checker in {fault[0] for fault in FAULTS}


def test_a_planted_circle_is_found() -> None:
    modules = [
        Module("core.a", "from edge_sdk.core.b import x"),
        Module("core.b", "def f():\n    from .c import y"),
        Module("core.c", "from edge_sdk.core import a"),
        Module("core", "", is_package=True),
    ]
    assert import_circle(modules) == ["core.a", "core.b", "core.c", "core.a"]
