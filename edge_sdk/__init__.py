"""
Minimise, encrypt and batch gateway telemetry; honour consent; wipe on cancellation.

    source -> reading -> minimise -> batch -> seal -> outbox -> uplink -> receipt

The names below are all that is public. Each is imported when it is first asked for, so that ``import edge_sdk`` stays
cheap on a slow core. ``Transport``, ``Request`` and ``Response`` are for who carries requests by other means than HTTP
from this process, ``FirmwareLink`` and ``Firmware`` for who has firmware clear its caches in a wipe without the agent,
``open_batch`` for who receives without the collector of this package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from edge_sdk.release import __version__

if TYPE_CHECKING:
    from edge_sdk.config import Config
    from edge_sdk.core.policy import Policy
    from edge_sdk.core.reading import Mono
    from edge_sdk.core.receipt import Firmware, WipeReceipt
    from edge_sdk.core.seal import open_batch
    from edge_sdk.errors import (
        BadInput,
        ConfigError,
        EdgeError,
        NotProvisioned,
        Refused,
        StorageError,
        UplinkError,
        WrongHost,
    )
    from edge_sdk.events import Event
    from edge_sdk.firmware import FirmwareLink
    from edge_sdk.gateway import Gateway
    from edge_sdk.status import Status
    from edge_sdk.transport import Lane, Request, Response, Transport

__all__ = [
    "BadInput",
    "Config",
    "ConfigError",
    "EdgeError",
    "Event",
    "Firmware",
    "FirmwareLink",
    "Gateway",
    "Lane",
    "Mono",
    "NotProvisioned",
    "Policy",
    "Refused",
    "Request",
    "Response",
    "Status",
    "StorageError",
    "Transport",
    "UplinkError",
    "WipeReceipt",
    "WrongHost",
    "__version__",
    "open_batch",
]

_HOME: Final = {
    "Config": "config",
    "Event": "events",
    "FirmwareLink": "firmware",
    "Gateway": "gateway",
    "Mono": "core.reading",
    "Policy": "core.policy",
    "Status": "status",
    "open_batch": "core.seal",
    **dict.fromkeys(("Firmware", "WipeReceipt"), "core.receipt"),
    **dict.fromkeys(("BadInput", "ConfigError", "EdgeError", "NotProvisioned", "Refused"), "errors"),
    **dict.fromkeys(("StorageError", "UplinkError", "WrongHost"), "errors"),
    **dict.fromkeys(("Lane", "Request", "Response", "Transport"), "transport"),
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'edge_sdk' has no attribute '{name}'")
    found: object = getattr(import_module(f"edge_sdk.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
