"""
Every exception that leaves the package, in one tree.

    EdgeError                      never raised itself; carries an exit code and a hint
    ├─ ConfigError            2    a human must edit something
    ├─ Refused                3    a gate is closed; normal; the caller stops and does not retry
    │   ├─ NotProvisioned          never enrolled here, or wiped: nothing is held and nothing is collected
    │   ├─ ConsentRefused          a statement, grant or order was not accepted, or denies
    │   │   └─ Equivocation        one version of a document exists with two contents
    │   └─ LifecycleRefused        suspended, cancelled, being wiped, wiped, forked, closed
    ├─ BadInput               4    bytes or values from outside are at fault
    │   ├─ Malformed               not what the format says, at this offset
    │   ├─ Unsupported             a version or algorithm this release does not speak
    │   └─ Tampered                authentication failed; one message for every cause
    ├─ StorageError           5    our own disk or key store
    │   ├─ FolderInUse
    │   ├─ DiskFull                the file system has no room, also after the queue made some
    │   └─ VaultUnavailable
    └─ UplinkError            6    a request could not even be tried (TLS, address, proxy)
        ├─ WrongHost               another host than the configured one answered
        └─ TransportFault          the transport that an integrator wrote did what none may do

Rules: messages carry names, sizes and offsets, never values; ``hint`` is one sentence that an operator can
act on. Outcomes of an upload are values, not exceptions. A programmer's mistake is a TypeError, ValueError or
RuntimeError and is not caught anywhere.
"""

from __future__ import annotations


class EdgeError(Exception):
    """
    Base of every error this package raises on purpose.
    """

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(EdgeError):
    """
    Say that a file written by a human must be edited.
    """

    exit_code = 2


class Refused(EdgeError):
    """
    Say that a gate is closed; stopping is right, retrying is not.
    """

    exit_code = 3


class ConsentRefused(Refused):
    """
    Say that a document was not accepted, or that no grant covers what was asked.

    Args:
        check: number of the acceptance check of a document that failed (SPEC 5.1), 0 for anything else.
    """

    def __init__(self, message: str, *, hint: str = "", check: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.check = check


class Equivocation(ConsentRefused):
    """
    Say that a signer issued two contents under one version: an alarm, and the narrower stays in force.
    """


class LifecycleRefused(Refused):
    """
    Say that the site, its folder or this object is in no state to do what was asked.
    """


class NotProvisioned(Refused):
    """
    Say that this device belongs to nobody: it was never enrolled, or it was wiped.
    """

    def __init__(self) -> None:
        super().__init__(
            "this device is not provisioned: it was never enrolled here, or was wiped, and holds nothing",
            hint="ask the operator for a claim code, then enrol it: "
            "edge-sdk init DIR --root FILE --address URL --policy FILE --code CODE",
        )


class BadInput(EdgeError):
    """
    Say that bytes or values from outside are at fault.
    """

    exit_code = 4


class Malformed(BadInput):
    """
    Say what is not as the format demands, and where.

    Args:
        what: the name of the thing that was being read, never its content.
        at_byte: offset of the offence in that thing, where one is known.
    """

    def __init__(self, what: str, at_byte: int | None = None, *, hint: str = "") -> None:
        where = "" if at_byte is None else f" at byte {at_byte}"
        super().__init__(f"{what}{where}", hint=hint)
        self.what = what
        self.at_byte = at_byte


class Unsupported(BadInput):
    """
    Say that a version or algorithm is not spoken by this release.
    """


class Tampered(BadInput):
    """
    Say that authentication failed; the message is the same whatever the cause.
    """

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(f"{what} failed authentication", hint=hint)
        self.what = what


class StorageError(EdgeError):
    """
    Say that our own disk or key store did not do what was asked.
    """

    exit_code = 5


class FolderInUse(StorageError):
    """
    Say that another process holds the state folder.
    """


class DiskFull(StorageError):
    """
    Say that the file system has no room for a write; the line makes some and tries once more before it tells anyone.
    """


class DatabaseDamaged(StorageError):
    """
    Say that a database cannot be read: it is damaged, or none.
    """


class VaultUnavailable(StorageError):
    """
    Say that the keys at rest cannot be read, or are not there.
    """


class UplinkError(EdgeError):
    """
    Say that a request could not be tried at all; what came back of a try is never an exception.
    """

    exit_code = 6


class WrongHost(UplinkError):
    """
    Say that whoever answered is not the configured host: another key than those pinned. A transport may raise it.
    """


class TransportFault(UplinkError):
    """
    Say that a transport raised what it must not, or returned no response: a mistake in it, and the line goes on.
    """
