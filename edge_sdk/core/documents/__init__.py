"""
The signed documents a device believes: root, recipients, statement, wipe order.

Owns: nothing of its own; it is the one name under which the four documents are used. Each lives in the room
called after it (``documents.root`` and so on), with its numbered checks.
Rules: see SPEC 5. Neighbours: consent, receipt and messages beside it, the shell above.
"""

from __future__ import annotations

from edge_sdk.core.claims import Account, Mechanism, Role, Status
from edge_sdk.core.documents.recipients import (
    RECIPIENTS_LIMIT,
    RecipientKey,
    Recipients,
    accept_recipients,
    encode_recipients,
    recipient_for,
    reread_recipients,
    sign_recipients,
)
from edge_sdk.core.documents.root import (
    CLOCK_SKEW_S,
    MAX_VERSION,
    ROOT_LIMIT,
    Check,
    HpkePublic,
    RoleKeys,
    Root,
    accept_root,
    encode_root,
    keeps_versions,
    pinned_root,
    sign_root,
)
from edge_sdk.core.documents.statement import (
    MAX_GRANTS,
    STATEMENT_LIMIT,
    STATEMENT_VALID_S,
    Grant,
    Statement,
    accept_statement,
    audience_of,
    encode_statement,
    reread_statement,
    sign_statement,
)
from edge_sdk.core.documents.times import Newest
from edge_sdk.core.documents.wipe import WIPE_LIMIT, WipeOrder, accept_wipe, encode_wipe, sign_wipe

__all__ = [
    "CLOCK_SKEW_S",
    "MAX_GRANTS",
    "MAX_VERSION",
    "RECIPIENTS_LIMIT",
    "ROOT_LIMIT",
    "STATEMENT_LIMIT",
    "STATEMENT_VALID_S",
    "WIPE_LIMIT",
    "Account",
    "Check",
    "Grant",
    "HpkePublic",
    "Mechanism",
    "Newest",
    "RecipientKey",
    "Recipients",
    "Role",
    "RoleKeys",
    "Root",
    "Statement",
    "Status",
    "WipeOrder",
    "accept_recipients",
    "accept_root",
    "accept_statement",
    "accept_wipe",
    "audience_of",
    "encode_recipients",
    "encode_root",
    "encode_statement",
    "encode_wipe",
    "keeps_versions",
    "pinned_root",
    "recipient_for",
    "reread_recipients",
    "reread_statement",
    "sign_recipients",
    "sign_root",
    "sign_statement",
    "sign_wipe",
]
