"""
Every string that separates one use of a key or signature from another, in one table.

Owns: derivation labels, the ``typ`` of every signed or sealed message, the profile bound into envelopes.
Rules: a string here is part of the wire format; changing one is a new version, never an edit. A string never
does two jobs, so nothing signed or derived for one purpose is accepted for another.
Does not: derive, sign or parse. Neighbours: keys, cose, documents, envelope, seal, messages.
"""

from __future__ import annotations

from typing import Final

# Derivation (SPEC 3, 6.5).
ROUTE: Final = b"edge-sdk/route/1"
ROUTE_TAG: Final = b"tag"
ROUTE_MAC: Final = b"mac"
ROUTE_PHASE: Final = b"phase"
STREAM: Final = "edge-sdk/stream/1"
SOURCE_TAG: Final = b"edge-sdk/source-tag/1"
POLICY_CACHE: Final = b"edge-sdk/policy-cache/1"
PSEUDONYM_RATCHET: Final = b"edge-sdk/pseudonym-ratchet/1"

# Names of keys (SPEC 2).
KEY_ID: Final = b"edge-sdk/kid/1"
AUDIENCE: Final = b"edge-sdk/aud/1"

# COSE header 16: what a message is.
TYP_ROOT: Final = "application/edge-sdk.root+cose"
TYP_RECIPIENTS: Final = "application/edge-sdk.recipients+cose"
TYP_STATEMENT: Final = "application/edge-sdk.statement+cose"
TYP_WIPE: Final = "application/edge-sdk.wipe+cose"
TYP_RECEIPT: Final = "application/edge-sdk.receipt+cose"
TYP_TIME: Final = "application/edge-sdk.time+cose"
TYP_BATCH: Final = "application/edge-sdk.batch+cose"
TYP_ENROL: Final = "application/edge-sdk.enrol+cose"
TYP_DOWNLINK: Final = "application/edge-sdk.downlink+cose"
TYP_CONTROL: Final = "application/edge-sdk.control+cose"

# What an envelope of each type binds as external data; an envelope of any other type does not exist.
PROFILES: Final = {
    TYP_BATCH: "edge-sdk/batch/1",
    TYP_ENROL: "edge-sdk/enrol/1",
    TYP_DOWNLINK: "edge-sdk/downlink/1",
    TYP_CONTROL: "edge-sdk/control/1",
}
