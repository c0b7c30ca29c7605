"""
The architecture as tables: which room may import, reach and be called what.

Changing a line here is changing the design, so say why in DESIGN.md. rooms.py reads these tables;
import-linter (pyproject.toml) is the second opinion on imports, and sees neither `async` nor limits.
"""

from __future__ import annotations

from typing import Final

ROOT: Final = "edge_sdk"

MAX_FILE_LINES: Final = 400
MAX_BODY_LINES: Final = 40
MAX_GATEWAY_LINES: Final = 128  # the public object: the whole line on one screen

# --- who may import whom. A room is the first name below the package; `core`, `collector`, `cli` hold more.
GROUND: Final = frozenset({"core", "errors"})
FLOOR: Final = (
    GROUND
    | {"files", "clock", "events", "transport", "marks", "release", "disk_errors"}
    | {"keystore", "carrying", "floorpage", "toml_file", "order", "bell"}
)
SIBLINGS: Final = frozenset(
    {"recording", "vault", "keypage", "outbox", "ledger", "requests", "config", "policy_file"}
    | {"sources", "profiles", "firmware", "hearing"}
)
# What needs several of them: a stream with its rows and keys, what was accepted, requests to a configured address.
MIDDLE: Final = frozenset(
    {"stream_record", "sealing", "streams", "consent_record", "consent_state", "http_transport", "wipe"}
    | {"policies", "suites"}
)
# What sequences those: the order of the queue, which stream a purpose writes to, what to ask the collector.
UPPER: Final = frozenset(
    {
        *("resuming", "retention", "lost_queue", "deciding", "queueing", "binding", "telling"),
        *("bookkeeping", "incidents", "uplink", "disk_room", "courier", "lanes"),
    }
)
SHELL: Final = FLOOR | SIBLINGS | MIDDLE | UPPER
BUILT: Final = SHELL | {"obeying", "line", "writer", "opening"}
PUBLIC: Final = BUILT | {"status", "enrol", "erasing", "beside", "rights", "queued", "running", "gateway"}
MAY_IMPORT: Final[dict[str, frozenset[str]]] = {
    "errors": frozenset(),
    "core": GROUND,
    "disk_errors": GROUND,
    "files": GROUND | {"disk_errors"},
    "clock": GROUND,
    "events": GROUND,
    "transport": GROUND,
    "release": frozenset(),
    "marks": GROUND,
    "order": GROUND,
    "bell": GROUND | {"files"},
    "keystore": GROUND | {"files"},
    "floorpage": GROUND | {"files"},
    "toml_file": GROUND | {"files"},
    "carrying": GROUND | {"events", "transport"},
    **dict.fromkeys(SIBLINGS, FLOOR),
    **dict.fromkeys(MIDDLE, FLOOR | SIBLINGS),
    "sealing": FLOOR | SIBLINGS | {"stream_record"},
    "streams": FLOOR | SIBLINGS | {"stream_record", "sealing"},
    "consent_state": FLOOR | SIBLINGS | {"consent_record"},
    "queueing": FLOOR | SIBLINGS | {"sealing", "streams"},
    "resuming": FLOOR | SIBLINGS | {"stream_record", "sealing", "streams"},
    "retention": FLOOR | SIBLINGS | {"sealing", "streams", "consent_state"},
    "lost_queue": FLOOR | SIBLINGS | {"sealing", "streams"},
    "deciding": FLOOR | SIBLINGS | {"consent_state"},
    "binding": FLOOR | SIBLINGS | {"sealing", "streams", "consent_state", "resuming", "retention", "deciding"},
    "telling": FLOOR | SIBLINGS | {"consent_record", "consent_state"},
    "bookkeeping": FLOOR | SIBLINGS | {"consent_state"},
    "incidents": FLOOR | SIBLINGS | {"consent_state", "bookkeeping"},
    "uplink": FLOOR | SIBLINGS | {"streams", "consent_state", "queueing", "telling", "incidents"},
    "disk_room": FLOOR | SIBLINGS | {"queueing"},
    "courier": FLOOR | {"uplink"},
    "lanes": FLOOR | SIBLINGS,
    "obeying": SHELL,
    "line": SHELL | {"obeying"},
    "writer": SHELL | {"line"},
    "opening": SHELL | {"obeying", "line", "writer"},
    "status": BUILT,
    "enrol": BUILT,
    "erasing": BUILT,
    "beside": BUILT | {"status"},
    "rights": BUILT,
    "queued": BUILT | {"status", "beside", "rights"},
    "running": BUILT,
    "gateway": BUILT | {"running", "status"},
    "collector": GROUND | {"files", "collector"},
    "agent": PUBLIC,
    "doctor": BUILT | {"status", "beside"},
    "bench": PUBLIC,
    "": PUBLIC,  # edge_sdk/__init__.py
    "cli": PUBLIC | {"", "agent", "doctor", "bench", "collector", "cli"},
    "__main__": frozenset({"cli"}),
}

# --- inside core, bottom up; modules of one level may know each other, but never in a circle.
CORE_LEVELS: Final = (
    {"units", "cbor", "shape", "labels", "claims", "terms"} | {"shim_bytes", "shim_points", "shim_wire"},
    {"keys", "cose"},
    {"policy", "reading"},
    {"policy_lint", "deidentify", "policy_diff", "policy_cbor", "transforms", "pseudonym"}
    | {"gathering", "table", "spoken", "promised", "shim_ids", "incidents"},
    {"snapshots", "blocks", "pending"},
    {"windows"},
    {"joining"},
    {"written"},
    {"columns"},
    {"documents", "consent", "transfer", "receipt", "lifecycle", "retry"},
    {"compile", "batch", "describe"},  # above consent: what lets a reading move takes its grant
    {"envelope", "padding"},
    {"seal"},
    {"messages"},
)

# --- what only some rooms may reach.
WORLD: Final = frozenset(
    {
        "aiohttp",
        "asyncio",
        "builtins",
        "datetime",
        "importlib",
        "logging",
        "os",
        "pathlib",
        "pydantic",
        "random",
        "rich",
        "secrets",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "uuid",
    }
)
# A socket is made by bind() and is no file of a state folder; the doctor looks at modes, and changes none; what is
# measured is the medium under a folder.
FILE_ROOMS: Final = frozenset({"files", "agent.place", "doctor.disk", "bench.meter"})
TIME_ROOMS: Final = frozenset({"clock", "bench.meter"})
# Entropy is drawn where objects are built and handed in from there. (HPKE draws its own inside cryptography.)
# The readings that a benchmark is fed are drawn from a seed, and are no secret.
ENTROPY_ROOMS: Final = frozenset({"opening", "cli", "collector", "bench.workload"})
ASYNC_ROOMS: Final = frozenset(
    {
        *("bell", "transport", "carrying", "http_transport", "uplink", "courier", "lanes", "hearing", "enrol"),
        *("running", "gateway", "agent", "doctor", "bench", "sources", "cli", "collector"),
    }
)
PRINT_ROOMS: Final = frozenset({"cli"})
EXEC_ROOMS: Final = frozenset({"core.compile"})

# What a shell room may take from `os` without touching a file.
OS_HARMLESS: Final = frozenset(
    {"PathLike", "environ", "fspath", "getpid", "getuid", "register_at_fork", "urandom"}
)
FILE_MODULES: Final = frozenset({"fcntl", "glob", "mmap", "shutil", "tempfile"})
PATH_CALLS: Final = frozenset(
    {
        "chmod",
        "exists",
        "glob",
        "hardlink_to",
        "is_dir",
        "is_file",
        "iterdir",
        "lchmod",
        "lstat",
        "mkdir",
        "read_bytes",
        "read_text",
        "rglob",
        "rmdir",
        "stat",
        "symlink_to",
        "touch",
        "unlink",
        "write_bytes",
        "write_text",
    }
)
ENTROPY_MODULES: Final = frozenset({"random", "secrets", "uuid"})
ENTROPY_CALLS: Final = frozenset({"generate", "generate_key", "generate_private_key", "urandom"})

# --- words. The right names are in the glossary of DESIGN.md; these say nothing.
EMPTY_WORDS: Final = frozenset(
    {"common", "data", "helper", "helpers", "info", "manager", "misc", "util", "utils"}
)
EMPTY_PREFIXES: Final = ("handle_", "process_")

# --- classes of the package that others may inherit from.
INHERITABLE: Final = frozenset(
    {
        *("BadInput", "ConfigError", "Refused", "StorageError", "UplinkError"),  # a room may refine an error
        "SecretBytes",  # one secret type per role
        "_Table",  # the strict table of the policy file
    }
)

MUTABLE_CALLS: Final = frozenset(
    {
        "Condition",
        "Counter",
        "Event",
        "Lock",
        "OrderedDict",
        "Queue",
        "RLock",
        "bytearray",
        "defaultdict",
        "deque",
        "dict",
        "list",
        "local",
        "set",
    }
)
