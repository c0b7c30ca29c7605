"""
The keys of signed documents and the words they may say.

Owns: claim and header numbers, roles, statuses, account states, transfer mechanisms, algorithm numbers.
Rules: one table, append only. Words a release does not know stay words: the decoder lets them through so that
a newer, narrower statement is never thrown away for an older, wider one, and ``decide`` denies on them.
Does not: parse or judge. Neighbours: documents, consent, receipt, envelope, seal, messages.
"""

from __future__ import annotations

import enum
from typing import Final

# CWT claims (RFC 8392).
AUD: Final = 3
EXP: Final = 4
NBF: Final = 5
IAT: Final = 6
CTI: Final = 7
# Ours, from the range for private use (below -65536).
GENERATION: Final = -70001
VERSION: Final = -70002
ACCOUNT: Final = -70003
GRANTS: Final = -70004
ROLES: Final = -70005
RECIPIENTS: Final = -70006
SCOPE: Final = -70007
ENROLMENT: Final = -70008
TEST: Final = -70009
BATCH_ID: Final = -70010  # a header of batch envelopes, kept here so that no number is used twice

# COSE header parameters.
HEADER_ALG: Final = 1
HEADER_KID: Final = 4
HEADER_IV: Final = 5
HEADER_TYP: Final = 16
HEADER_EK: Final = -4

# Algorithms. The HPKE numbers are those the drafts ask for; the RFC's will be a new edition of this table.
ALG_ED25519: Final = -19
ALG_A256GCM: Final = 3
ALG_CHACHA20_POLY1305: Final = 24
ALG_HPKE_X_WING: Final = 57
ALG_HPKE_X25519: Final = 50

CONTENT_ALGS: Final = (ALG_A256GCM, ALG_CHACHA20_POLY1305)
HPKE_KEY_BYTES: Final = {ALG_HPKE_X_WING: 1216, ALG_HPKE_X25519: 32}

KID_BYTES: Final = 8
ID_BYTES: Final = 16  # generations, grants, streams, batches, nonces, audiences
DIGEST_BYTES: Final = 32
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
PURPOSE_CHARS: Final = 64
WORD_CHARS: Final = 24


class Role(enum.IntEnum):
    """
    Name who may sign what; the numbers are the keys of the root's role table.
    """

    ROOT = 0
    STATEMENT = 1
    RECIPIENTS = 2
    WIPE = 3
    RECEIPT = 4
    TIME = 5


class Status(enum.StrEnum):
    """
    Name the state of one grant, after the event states of ISO/IEC TS 27560 and DPV.
    """

    UNKNOWN = "unknown"
    REQUESTED = "requested"
    GIVEN = "given"
    RENEWED = "renewed"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    OBJECTED = "objected"
    REVOKED = "revoked"
    INVALIDATED = "invalidated"
    EXPIRED = "expired"
    RESTRICTED = "restricted"


class Account(enum.StrEnum):
    """
    Name the state of the household's account.
    """

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"


class Mechanism(enum.StrEnum):
    """
    Name what makes a transfer out of the household's region lawful.
    """

    NONE = "none"
    ADEQUACY = "adequacy"
    SCC = "scc"
    CONSENT = "consent"
    DEIDENTIFIED = "deidentified"
