"""
``make test-mutation``, first half: write every mutant of some rooms as JSON, with the operators of mutmut.

mutmut itself changes functions only, and much of what these rooms promise stands in tables at their top; so its
operators are applied here to whole modules, and three of our own: a cell becomes another cell of its table, a member of
an enum another one, and a set or mapping lacks an entry. Left as they are: docstrings, annotations, imports,
``__all__``, names of types, and the wording of errors (all within a ``raise``, every ``hint=`` or table of hints, and
the name of a field in a message): what a message says is no promise, that something is raised is, and a condition
before a raise is changed like any other. Of what mutmut does to a text, two crosses around it are enough: nobody who
overlooks them sees upper case.

Runs in an environment of its own and imports nothing of edge_sdk; ``running`` tries what it writes.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import libcst as cst
import libcst.matchers as m
from mutmut.mutation.mutators import mutation_operators

UNTOUCHED: Final = m.OneOf(m.Annotation(), m.Import(), m.ImportFrom(), m.Raise())
ALL: Final = m.Assign(targets=[m.AssignTarget(m.Name("__all__"))])
TYPE: Final = m.AnnAssign(annotation=m.Annotation(m.Name("TypeAlias")))
HINT: Final = m.Arg(keyword=m.Name("hint")) | m.AnnAssign(target=m.Name("_HINTS"))
LABELLED: Final = {"take": 1, "decode": 2, "parse1": 2, "Fields": 1, "shape": 1, "Unsupported": 0}
"""Calls that take, at this place, what a message calls the thing that was wrong; a shape that is asked where it is made
takes it second."""
WORDED: Final = frozenset({"what", "hint"})


class Sites(cst.CSTVisitor):
    """
    Find the nodes that may be changed, and the place of each: the class and function around it, or the table.
    """

    def __init__(self) -> None:
        self.nodes: list[tuple[str, cst.CSTNode]] = []
        self._around: list[tuple[cst.CSTNode, str]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Take *node*; return whether to look inside."""
        if name := _name(node, within=bool(self._around)):
            self._around.append((node, name))
        if m.matches(node, UNTOUCHED | ALL | TYPE | HINT) or _is_docstring(node):
            return False
        self.nodes.append((".".join(name for _, name in self._around), node))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        """Leave its place too."""
        if self._around and self._around[-1][0] is original_node:
            self._around.pop()


class Words(cst.CSTVisitor):
    """
    Find what may stand in the place of a word: the next cell of its table, the next member of its enum.
    """

    def __init__(self) -> None:
        self._alike: dict[str, list[tuple[cst.CSTNode, str]]] = {}
        self._around: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Take *node*; look inside."""
        match node:
            case cst.Attribute(value=cst.Name(value=kind), attr=cst.Name(value=word)) if word.isupper():
                self._alike.setdefault(kind, []).append((node, word))
            case cst.Element(value=cst.Name() as cell) | cst.DictElement(value=cst.Name() as cell) if self._table():
                self._alike.setdefault(self._table(), []).append((cell, cell.value))
        self._around.append(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        """Leave *original_node*."""
        self._around.pop()

    def _table(self) -> str:
        """Return one name for all within a table at the top of the module, none for what is elsewhere."""
        if any(isinstance(node, cst.FunctionDef | cst.ClassDef) for node in self._around):
            return ""
        return " ".join(f"table {id(node)}" for node in self._around if isinstance(node, cst.AnnAssign | cst.Assign))

    def others(self) -> dict[cst.CSTNode, cst.CSTNode]:
        """Return what each word becomes."""
        found: dict[cst.CSTNode, cst.CSTNode] = {}
        for places in self._alike.values():
            words = list(dict.fromkeys(word for _, word in places))
            for node, word in places if len(words) > 1 else ():
                other = words[(words.index(word) + 1) % len(words)]
                found[node] = cst.Name(other) if isinstance(node, cst.Name) else node.with_changes(attr=cst.Name(other))
        return found


def _shortened(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """
    Yield the set or mapping *node* without each of its entries.
    """
    if isinstance(node, cst.Set | cst.Dict) and len(node.elements) > 1:
        for index in range(len(node.elements)):
            yield node.with_changes(elements=[*node.elements[:index], *node.elements[index + 1 :]])


def _name(node: cst.CSTNode, *, within: bool) -> str:
    match node:
        case cst.ClassDef(name=name) | cst.FunctionDef(name=name):
            return name.value
        case cst.Assign(targets=[cst.AssignTarget(target=target)]) | cst.AnnAssign(target=target) if not within:
            return cst.Module([]).code_for_node(target)
        case _:
            return ""


def _is_docstring(node: cst.CSTNode) -> bool:
    return m.matches(node, m.SimpleStatementLine(body=[m.Expr(m.SimpleString())]))


def _is_worded(call: cst.Call, at: int) -> bool:
    """
    Tell whether the argument at place *at* only says in a message what was wrong.
    """
    keyword = call.args[at].keyword
    if keyword is not None:
        return keyword.value in WORDED
    name = getattr(call.func, "attr", call.func)
    return at == (1 if isinstance(name, cst.Call) else LABELLED.get(getattr(name, "value", "")))


def _wording(module: cst.Module) -> set[cst.CSTNode]:
    calls = [call for call in m.findall(module, m.Call()) if isinstance(call, cst.Call)]
    return {
        arg.value
        for call in calls
        for at, arg in enumerate(call.args)
        if _is_worded(call, at) and (arg.keyword or isinstance(arg.value, cst.BaseString))
    }


def _is_reworded(before: cst.CSTNode, after: object) -> bool:
    """
    Tell whether two calls differ in their wording only.
    """
    return isinstance(before, cst.Call) and isinstance(after, cst.Call) and _unworded(before) == _unworded(after)


def _unworded(call: cst.Call) -> list[str]:
    parts = [call.func, *(arg for at, arg in enumerate(call.args) if not _is_worded(call, at))]
    return [cst.Module([]).code_for_node(part).rstrip(", \n") for part in parts]


def mutants(source: str) -> Iterator[tuple[str, int, str, str, str]]:
    """
    Yield place, line, the text that was, the text that is now, and the whole source of each mutant of *source*.
    """
    module = cst.parse_module(source)
    sites, words, wording, seen = Sites(), Words(), _wording(module), {source}
    module.visit(sites)
    module.visit(words)
    others = words.others()
    for place, node in sites.nodes:
        for changed in () if node in wording else _changes(node, others.get(node)):
            if _is_reworded(node, changed):
                continue
            replaced = module.deep_replace(node, changed)
            assert isinstance(replaced, cst.Module)
            code = replaced.code
            if code not in seen and _compiles(code):
                seen.add(code)
                yield (place, *_difference(source, code), code)


def _changes(node: cst.CSTNode, other: cst.CSTNode | None) -> Iterator[cst.CSTNode]:
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            changes = operator(node)
            yield from islice(changes, 1) if isinstance(node, cst.BaseString) else changes
    yield from _shortened(node)
    if other is not None:
        yield other


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _difference(source: str, code: str) -> tuple[int, str, str]:
    before, after = source.splitlines(), code.splitlines()
    spans = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    changed = [span for span in spans if span[0] != "equal"]
    first, last = changed[0], changed[-1]
    was, now = before[first[1] : last[2]], after[first[3] : last[4]]
    return first[1] + 1, " ".join(map(str.strip, was)), " ".join(map(str.strip, now))


def main() -> None:
    """Write the mutants of each room named: its name, then the file it is in."""
    made = []
    for room, path in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        for place, line, was, now, code in mutants(Path(path).read_text(encoding="utf-8")):
            made.append({"room": room, "place": place, "line": line, "was": was, "now": now, "code": code})
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
