"""
The checkers that say where a room does more than the tables allow.

Every checker is a function over a module's name and text, so that planted faults can show that it bites.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.architecture.tables import (
    ASYNC_ROOMS,
    CORE_LEVELS,
    EMPTY_PREFIXES,
    EMPTY_WORDS,
    ENTROPY_CALLS,
    ENTROPY_MODULES,
    ENTROPY_ROOMS,
    EXEC_ROOMS,
    FILE_MODULES,
    FILE_ROOMS,
    GROUND,
    INHERITABLE,
    MAX_BODY_LINES,
    MAX_FILE_LINES,
    MAX_GATEWAY_LINES,
    MAY_IMPORT,
    MUTABLE_CALLS,
    OS_HARMLESS,
    PATH_CALLS,
    PRINT_ROOMS,
    ROOT,
    TIME_ROOMS,
    WORLD,
)


@dataclass(frozen=True)
class Module:
    """A module by its dotted name below the package ("" is the package itself), and its text."""

    name: str
    text: str
    is_package: bool = False

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=self.name)

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    def is_in(self, rooms: frozenset[str]) -> bool:
        return self.room in rooms or self.name in rooms


Checker = Callable[[Module], Iterator[str]]


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute dotted name) of everything imported, lazily or not; names are included."""
    package = [ROOT, *module.name.split(".")] if module.name else [ROOT]
    if not module.is_package:
        package = package[:-1]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)


def target_of(name: str, known: frozenset[str]) -> str | None:
    """Return the module below the package that *name* lies in ("" is the package); None if foreign."""
    parts = name.split(".")
    if parts[0] != ROOT:
        return None
    below = parts[1:]
    while below and ".".join(below) not in known:
        below = below[:-1]
    return ".".join(below)


def imports_point_down(module: Module, known: frozenset[str] = frozenset(MAY_IMPORT)) -> Iterator[str]:
    allowed = MAY_IMPORT.get(module.room)
    if allowed is None:
        yield f"{module.name}: is in no row of MAY_IMPORT"
        return
    for line, name in imports(module):
        target = target_of(name, known)
        if target is None:
            continue
        room = target.partition(".")[0]
        if room not in allowed and room != (module.room if module.is_package or "." in module.name else None):
            yield f"{module.name}:{line}: may not import {name}"


def core_keeps_its_order(module: Module) -> Iterator[str]:
    if module.room != "core" or module.name == "core":
        return
    level = {name: height for height, names in enumerate(CORE_LEVELS) for name in names}
    mine = level.get(module.name.split(".")[1])
    if mine is None:
        yield f"{module.name}: is in no level of CORE_LEVELS"
        return
    for line, name in imports(module):
        parts = name.split(".")
        if parts[:2] == [ROOT, "core"] and len(parts) > 2 and level.get(parts[2], -1) > mine:
            yield f"{module.name}:{line}: imports upward, {name}"


def core_is_pure(module: Module) -> Iterator[str]:
    if module.room not in GROUND:
        return
    for line, name in imports(module):
        if name.partition(".")[0] in WORLD:
            yield f"{module.name}:{line}: core may not import {name}"
    for node in ast.walk(module.tree):
        if _calls_name(node, frozenset({"open", "print", "input"})):
            yield f"{module.name}:{_line(node)}: core may not call open, print or input"


def async_stays_in_its_rooms(module: Module) -> Iterator[str]:
    if module.is_in(ASYNC_ROOMS):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield f"{module.name}:{node.lineno}: async outside its rooms"


def printing_is_for_the_command_line(module: Module) -> Iterator[str]:
    if module.is_in(PRINT_ROOMS):
        return
    for node in ast.walk(module.tree):
        if _calls_name(node, frozenset({"print", "input"})):
            yield f"{module.name}:{_line(node)}: prints"


def code_is_not_made_at_run_time(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if _calls_name(node, frozenset({"eval", "__import__"})):
            yield f"{module.name}:{_line(node)}: eval or __import__"
        if _calls_name(node, frozenset({"exec", "compile"})) and not module.is_in(EXEC_ROOMS):
            yield f"{module.name}:{_line(node)}: exec or compile outside {sorted(EXEC_ROOMS)}"


def files_go_through_one_room(module: Module) -> Iterator[str]:
    if module.is_in(FILE_ROOMS):
        return
    for line, name in imports(module):
        first, _, rest = name.partition(".")
        from_os = first == "os" and rest and rest.partition(".")[0] not in OS_HARMLESS
        if first in FILE_MODULES or from_os or name == "sqlite3.connect":
            yield f"{module.name}:{line}: imports {name}; files.py does that"
    for node in ast.walk(module.tree):
        if what := _touches_files(node):
            yield f"{module.name}:{_line(node)}: uses {what}; files.py does that"


def only_the_clock_reads_time(module: Module) -> Iterator[str]:
    if module.is_in(TIME_ROOMS):
        return
    for line, name in imports(module):
        if name.partition(".")[0] == "time":
            yield f"{module.name}:{line}: imports {name}; clock.py does that"
    for node in ast.walk(module.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        what = ast.unparse(node.func)
        if node.func.attr in {"now", "utcnow", "today"} and "date" in what:
            yield f"{module.name}:{node.lineno}: reads the time with {what}; clock.py does that"
        if node.func.attr == "time" and "loop" in what:
            yield f"{module.name}:{node.lineno}: reads the time with {what}; clock.py does that"


def chance_is_drawn_where_objects_are_built(module: Module) -> Iterator[str]:
    if module.is_in(ENTROPY_ROOMS):
        return
    for line, name in imports(module):
        if name.partition(".")[0] in ENTROPY_MODULES or name == "os.urandom":
            yield f"{module.name}:{line}: imports {name}; chance is handed in"
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ENTROPY_CALLS
        ):
            yield f"{module.name}:{node.lineno}: draws with {ast.unparse(node.func)}; chance is handed in"


def sizes_stay_small(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    limit = MAX_GATEWAY_LINES if module.name == "gateway" else MAX_FILE_LINES
    if lines > limit:
        yield f"{module.name}: {lines} lines, at most {limit}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            if length > MAX_BODY_LINES:
                yield f"{module.name}:{node.lineno}: {node.name} has {length} lines, at most {MAX_BODY_LINES}"


def names_say_something(module: Module) -> Iterator[str]:
    named = [(1, module.name.rpartition(".")[2])]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            named.append((node.lineno, node.name))
    for line, name in named:
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
        if snake.lstrip("_").startswith(EMPTY_PREFIXES) or EMPTY_WORDS & set(snake.split("_")):
            yield f"{module.name}:{line}: the name {name} says nothing"


def modules_say_what_they_own(module: Module) -> Iterator[str]:
    doc = ast.get_docstring(module.tree)
    if doc is None or len(doc) < 40:
        yield f"{module.name}: needs a docstring: what it owns, its rules, what it does not do"


def modules_keep_no_state(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Global):
            yield f"{module.name}:{node.lineno}: global {', '.join(node.names)}"
    for node in module.tree.body:
        if isinstance(node, ast.AnnAssign):
            final = ast.unparse(node.annotation).startswith(("Final", "Mapping", "Sequence"))
            targets: list[ast.expr] = [node.target]
            value = node.value
        elif isinstance(node, ast.Assign):
            final, targets, value = False, node.targets, node.value
        else:
            continue
        named = [target.id for target in targets if isinstance(target, ast.Name)]
        if value is not None and not final and named != ["__all__"] and _is_mutable(value):
            yield f"{module.name}:{node.lineno}: module state: {', '.join(named)} (constant? say Final)"


def classes_do_not_inherit_each_other(module: Module) -> Iterator[str]:
    if module.name == "errors":
        return
    own = {node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)}
    own |= {name.rpartition(".")[2] for _, name in imports(module) if name.startswith(f"{ROOT}.")}
    protocols = {
        node.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                name = ast.unparse(base).rpartition(".")[2]
                if name in own - protocols - INHERITABLE:
                    yield f"{module.name}:{node.lineno}: {node.name} inherits from {name}; hold one instead"


CHECKERS: Final[tuple[Checker, ...]] = (
    imports_point_down,
    core_keeps_its_order,
    core_is_pure,
    async_stays_in_its_rooms,
    printing_is_for_the_command_line,
    code_is_not_made_at_run_time,
    files_go_through_one_room,
    only_the_clock_reads_time,
    chance_is_drawn_where_objects_are_built,
    sizes_stay_small,
    names_say_something,
    modules_say_what_they_own,
    modules_keep_no_state,
    classes_do_not_inherit_each_other,
)


def import_circle(modules: list[Module]) -> list[str]:
    """Return the modules of one import circle in order, or nothing when there is none."""
    known = frozenset(module.name for module in modules)
    edges = {
        module.name: {to for _, name in imports(module) if (to := target_of(name, known)) and to != module.name}
        for module in modules
    }
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(edges[name]):
            if circle := walk(target, [*path, name]):
                return circle
        done.add(name)
        return []

    return next((circle for name in sorted(edges) if (circle := walk(name, []))), [])


def _calls_name(node: ast.AST, names: frozenset[str]) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def _touches_files(node: ast.AST) -> str:
    """Return what in *node* opens or changes a file, or an empty string."""
    if _calls_name(node, frozenset({"open"})):
        return "open()"
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        what = f"{node.value.id}.{node.attr}"
        of_os = node.value.id == "os" and node.attr not in OS_HARMLESS
        if of_os or what in {"sqlite3.connect", "io.open", "gzip.open"}:
            return what
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PATH_CALLS:
        of = node.func.value
        if not (isinstance(of, ast.Name) and of.id == "files"):
            return f".{node.func.attr}()"
    return ""


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        return True
    if not isinstance(value, ast.Call):
        return False
    return ast.unparse(value.func).rpartition(".")[2] in MUTABLE_CALLS
