"""
The sealed and signed messages that are no batch: downlink, enrolment, control, time.

Owns: nothing of its own; each message lives in the room called after it.
Rules: see SPEC 9; every message has its own ``typ``, a version as its first field, and no field unknown.
Neighbours: seal and documents below; consent state, uplink, authority and intake above.
"""

from __future__ import annotations

from edge_sdk.core.messages.control import (
    Control,
    EndedStream,
    LedgerHead,
    Withdrawal,
    open_control,
    peek_generation,
    seal_control,
)
from edge_sdk.core.messages.downlink import Downlink, open_downlink, seal_downlink
from edge_sdk.core.messages.enrol import EnrolRequest, open_enrol, seal_enrol
from edge_sdk.core.messages.signed_time import (
    accept_time,
    encode_time_request,
    parse_time_request,
    sign_time,
)

__all__ = [
    "Control",
    "Downlink",
    "EndedStream",
    "EnrolRequest",
    "LedgerHead",
    "Withdrawal",
    "accept_time",
    "encode_time_request",
    "open_control",
    "open_downlink",
    "open_enrol",
    "parse_time_request",
    "peek_generation",
    "seal_control",
    "seal_downlink",
    "seal_enrol",
    "sign_time",
]
