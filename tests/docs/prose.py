"""
Read the documents: their snippets, numbers, links and the tests they name. Tried on planted faults.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parents[2]

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED_TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_LINK: Final = re.compile(r"\[[^\]]+\]\((?!https?:|#)([^)#]+)[^)]*\)")
_DATE: Final = re.compile(r"\b20\d\d-\d\d-\d\d\b")
# What can only be known by measuring: times below a second, shares, ratios, rates, bytes per something.
_MEASURED: Final = re.compile(
    r"\d(?:[\d.,]*)\s?(?:ns|us|µs|ms|%|x\b|readings/s|[KMG]i?B/s|B/reading|bytes per|[KM]i?B (?:per|a) day)"
    r"|\bmeasured\b"
)


def snippets(text: str, language: str) -> list[str]:
    """Return the fenced blocks of *text* marked with *language*."""
    return [body for mark, body in _FENCE.findall(text) if mark == language]


def undated_numbers(text: str) -> list[str]:
    """
    Return the paragraphs of *text* that state something measured without a date and a command in backticks.

    A table belongs to the paragraph before it. Durations of a second and more, sizes and counts are taken
    to be settings or parts of a format.
    """
    prose = _FENCE.sub("", text)
    paragraphs: list[str] = []
    for block in re.split(r"\n\s*\n", prose):
        if block.lstrip().startswith("|") and paragraphs:
            paragraphs[-1] += "\n" + block
        else:
            paragraphs.append(block)
    return [
        block.strip()
        for block in paragraphs
        if _MEASURED.search(block) and not (_DATE.search(block) and "`" in block)
    ]


def named_tests(text: str) -> list[tuple[str, str]]:
    """Return (path, function) of every test that *text* names as `path::function`."""
    return _NAMED_TEST.findall(text)


def missing_tests(text: str, top: Path) -> list[str]:
    """Return the tests named in *text* that do not exist below *top*."""
    missing = []
    for path, name in named_tests(text):
        file = top / path
        tree = ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])
        functions = {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        if name not in functions | classes | _assigned(tree):
            missing.append(f"{path}::{name}")
    return missing


def broken_links(text: str, folder: Path) -> list[str]:
    """Return the relative links of *text* that lead nowhere from *folder*."""
    return [target for target in _LINK.findall(_FENCE.sub("", text)) if not (folder / target).exists()]


def _assigned(tree: ast.Module) -> set[str]:
    """Return module-level names; Hypothesis state machines are tests by assignment."""
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}
