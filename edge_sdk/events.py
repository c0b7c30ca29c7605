"""
What the log may say: a closed list of events, with numbers and nothing else.

The package logs to the standard logger ``edge_sdk``, whose only handler is a NullHandler: a program that sets up no
logging reads nothing of it. An event carries counts,
sizes and row numbers; there is no way to hand it text, so no reading, identifier or name can end up in a log.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Final

_LEVELS: Final = {
    **dict.fromkeys(("started", "stopped", "collecting"), logging.INFO),
    **dict.fromkeys(("transport_fault", "sending_ended"), logging.ERROR),
    **dict.fromkeys(("acked", "policy_read", "policy_passed_over"), logging.DEBUG),
}


class Event(StrEnum):
    """
    Everything the package ever logs.
    """

    STARTED = "started"
    STOPPED = "stopped"
    COLLECTING = "collecting"
    DESTROYED = "destroyed"
    ACKED = "acked"
    REFUSED = "refused"
    LATER = "later"
    UNREACHED = "unreached"
    DOCUMENT_REFUSED = "document_refused"
    STORAGE_ERROR = "storage_error"
    DAMAGED_STREAM = "damaged_stream"
    QUEUE_LOST = "queue_lost"
    POLICY_KEPT = "policy_kept"
    WIPED = "wiped"
    POLICY_DROPPED = "policy_dropped"
    POLICY_READ = "policy_read"
    POLICY_PASSED_OVER = "policy_passed_over"
    TRANSPORT_FAULT = "transport_fault"
    SENDING_ENDED = "sending_ended"
    INCIDENT = "incident"
    SITE_CLOSED = "site_closed"
    PEER_REFUSED = "peer_refused"
    SHIM_REFUSED = "shim_refused"


logging.getLogger("edge_sdk").addHandler(logging.NullHandler())


def tell(event: Event, **numbers: int) -> None:
    """
    Log *event* with its numbers.
    """
    level = _LEVELS.get(event, logging.WARNING)
    logger = logging.getLogger("edge_sdk")
    if logger.isEnabledFor(level):
        logger.log(level, "%s", " ".join([event, *(f"{name}={number}" for name, number in numbers.items())]))
