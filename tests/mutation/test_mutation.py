"""
The short form of `make test-mutation`: what is listed is still there, and the tool tells a noticed change from another.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

from tests.mutation import running

ROOM: Final = "core.lifecycle"  # the quickest


def places_of(source: str) -> set[str]:
    """
    Return the dotted names of all classes and functions, and of what is assigned outside of them.
    """
    found: set[str] = set()

    def look(nodes: list[ast.stmt], around: str) -> None:
        for node in nodes:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found.add(around + node.name)
                look(node.body, f"{around}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                found.add(ast.unparse(target).strip("()"))

    look(ast.parse(source).body, "")
    return found


def test_every_listed_survivor_is_a_change_of_what_still_stands_in_its_room() -> None:
    gone = []
    for one in running.listed():
        source = running.source_of(one.room).read_text(encoding="utf-8")
        lines = " ".join(map(str.strip, source.splitlines()))
        if one.room not in running.ROOMS or one.place not in places_of(source) or one.was not in lines:
            gone.append(one)
    assert not gone


def test_every_listed_survivor_has_a_reason() -> None:
    groups = tomllib.loads(running.SURVIVORS.read_text(encoding="utf-8"))["reason"]
    assert all(len(group["why"].split()) > 4 and group["mutants"] for group in groups)


def test_a_change_that_no_test_notices_is_told_and_one_that_a_test_notices_is_not(tmp_path: Path) -> None:
    source = running.source_of(ROOM).read_text(encoding="utf-8")
    noticed = source.replace("return following", "return state")
    planted = [("noticed", noticed), ("unnoticed", source + "\nSPARE = 1\n")]
    mutants = [
        {"room": ROOM, "place": place, "line": 1, "was": "something", "now": "another", "code": code}
        for place, code in planted
    ]
    (tmp_path / "mutants.json").write_text(json.dumps(mutants), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, running.__file__, tmp_path / "mutants.json", "--rooms", ROOM],
        capture_output=True,
        text=True,
        check=False,
    )
    assert noticed != source
    assert ended.returncode == 1, ended.stderr
    assert f"survived, and no reason is listed: {ROOM}, unnoticed\n" in ended.stdout
    assert f"{ROOM}, noticed\n" not in ended.stdout
    assert f"listed, and did not survive: {ROOM}, Room\n" in ended.stdout
