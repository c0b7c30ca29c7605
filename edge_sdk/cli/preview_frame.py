"""
``edge-sdk preview --frame``: one upload of an ECU, and what this SDK sends in its place.

A site and a collector are made for it in a folder of their own, every purpose granted, on loopback; a relay keeps what
passes between them. The folder is removed at the end. What is sealed there is sealed to keys that end with it.

Owns: taking a frame from a command line, and having the real line send what it says.
Does not: show what each purpose gets (preview) or compare (before_after).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.cli import before_after
from edge_sdk.cli.collector import found
from edge_sdk.cli.demo_folders import fresh
from edge_sdk.cli.demo_relay import Relay
from edge_sdk.cli.demo_stage import Child, finished, hasten, port_of
from edge_sdk.cli.setup import local_places
from edge_sdk.cli.wire import Exchange, exchanges
from edge_sdk.clock import wall_s
from edge_sdk.collector.folder import enrol_code
from edge_sdk.collector.statements import asks_for_transfer
from edge_sdk.core.claims import Mechanism
from edge_sdk.core.policy import Basis, Policy
from edge_sdk.core.terms import CROSS_BORDER
from edge_sdk.errors import BadInput, UplinkError
from edge_sdk.gateway import Gateway
from edge_sdk.sources.apsystems_frame import MAX_FRAME_BYTES
from edge_sdk.sources.apsystems_upload import Upload, parse_upload
from edge_sdk.sources.replay import Recorded

EXIT_FAILED: Final = 1
_DRAIN_S: Final = 30
_SUITE: Final = "hpke-9-ke"


def read_frame(text: str) -> Upload:
    """
    Return the upload in the words of a command line, or on standard input where they are ``-``.

    Raises:
        BadInput: it is no frame of an ECU.
    """
    frame = sys.stdin.buffer.read(MAX_FRAME_BYTES + 1) if text == "-" else text.encode("utf-8", "surrogateescape")
    if not frame.endswith(b"\n"):  # as a shell hands it over
        frame += b"\n"
    try:
        return parse_upload(frame)
    except BadInput as error:
        error.hint = "--frame takes one whole upload of an ECU in quotation marks, APS18...END, or - for standard input"
        raise


def readings_of(upload: Upload) -> list[Recorded]:
    """
    Return what a frame says, as read now.
    """
    at_ms = wall_s() * 1000
    inverters = [Recorded("inverter", at_ms, fields) for fields in upload.inverters]
    return [*inverters, Recorded("gateway", at_ms, upload.gateway)]


def run(policy: Policy, name: str, upload: Upload, folder: Path) -> int:
    """
    Send what a frame says under *policy*, and show both.

    Args:
        name: of the policy, as a command line has it.
        folder: made anew, and removed at the end.

    Raises:
        UplinkError: a process did not start, or not everything arrived.
        ConfigError: the folder is there and not one of these.
    """
    sent = _sent(policy, name, readings_of(upload), folder)
    faults = before_after.show(upload, sent)
    for fault in faults:
        print(f"edge-sdk preview: {fault}", file=sys.stderr)
    return EXIT_FAILED if faults else 0


def _sent(policy: Policy, name: str, readings: Sequence[Recorded], top: Path) -> list[Exchange]:
    folders = fresh(top)
    try:
        granted = [purpose.name for purpose in policy.purposes.values() if purpose.basis is Basis.CONSENT]
        if any(asks_for_transfer(purpose) for purpose in policy.purposes.values()):
            granted.append(CROSS_BORDER)
        found(
            folders.collector, [policy], region="EU", mechanism=Mechanism.NONE, granted=granted, test=True,
            suite=_SUITE, elsewhere=local_places(policy),
        )  # fmt: skip
        with Child(["collector", "serve", str(folders.collector), "--port", "0"]) as collector:
            port = port_of(collector)
            with Relay(port) as relay:
                code = enrol_code(folders.collector, now_s=wall_s())
                root = str(folders.collector / "root.cose")
                address = ["--address", f"http://127.0.0.1:{relay.port}", "--root", root, "--code", code]
                finished(Child(["init", str(folders.site), "--policy", name, *address]))
                hasten(folders.config)
                relay.connections.clear()  # of enrolment, which is once
                with Gateway.open(folders.config) as gateway:
                    for reading in readings:
                        gateway.record(reading.kind, reading.fields, at_ms=reading.at_ms)
                    if gateway.drain(_DRAIN_S, cut=True):
                        raise UplinkError("not everything arrived", hint="run it again; if it stays so, that is a bug")
                return exchanges(relay)
    finally:
        files.remove_tree(folders.top)
