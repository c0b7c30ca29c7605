"""
The way to the collector: its name, its certificate, and the clock against its signed time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

from edge_sdk import files
from edge_sdk.clock import wall_s
from edge_sdk.config import Config
from edge_sdk.core.claims import ID_BYTES
from edge_sdk.core.documents import pinned_root
from edge_sdk.core.messages import accept_time, encode_time_request
from edge_sdk.core.units import EPOCH_S
from edge_sdk.doctor.finding import Check, Finding, Level
from edge_sdk.errors import EdgeError, UplinkError
from edge_sdk.http_transport import TIME_PATH, transport_to
from edge_sdk.opening import draw
from edge_sdk.transport import Request

SOON_DAYS: Final = 14
OFF_S: Final = 3_600  # from here on the system clock is not used (SPEC 8.1)
DRIFT_S: Final = 60
_HTTPS: Final = 443
_ROOT_LIMIT: Final = 1 << 16
_NTP: Final = "set the clock, and see that NTP runs: 'timedatectl' or 'ntpd -q'"


def dns(config: Config) -> Finding:
    """
    Resolve the name that requests go to: the collector's, or the proxy's.
    """
    host, port = _target(config)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        mend = "see /etc/resolv.conf, and whether the gateway has a route: 'ip route'"
        return Finding(Check.DNS, Level.BAD, f"{host} has no address: {error.strerror}", mend)
    return Finding(Check.DNS, Level.GOOD, f"{host} has {len({entry[4][0] for entry in found})} addresses")


def tls(config: Config) -> Finding:
    """
    Shake hands with the collector, and look how long its certificate holds.
    """
    parts = urlsplit(config.address)
    if config.proxy:
        return Finding(Check.TLS, Level.NOT_CHECKED, "requests go by a proxy; see the check of the clock")
    host, port = _target(config)
    try:
        with socket.create_connection((host, port), timeout=config.timeout_ms / 1000) as link:
            if parts.scheme == "http":
                return Finding(Check.TLS, Level.GOOD, "answers on loopback, without TLS")
            with ssl.create_default_context().wrap_socket(link, server_hostname=host) as secured:
                return _certificate(secured)
    except ssl.SSLCertVerificationError as error:
        mend = "if the clock is right, the board's certificates (ca-certificates) are old, or somebody is in between"
        return Finding(Check.TLS, Level.BAD, f"certificate not accepted: {error.verify_message}", mend)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        mend = "see whether the collector runs, and whether a firewall lets this port through"
        return Finding(Check.TLS, Level.BAD, f"{host}:{port} does not answer: {reason}", mend)


def clock(config: Config) -> Finding:
    """
    Hold the system clock against the time that the collector signs.
    """
    try:
        signed_s = asyncio.run(_signed_time(config))
    except (EdgeError, OSError) as error:
        mend = "compare 'date -u' with a watch; the collector did not sign a time"
        return Finding(Check.CLOCK, Level.NOT_CHECKED, f"no signed time: {error}", mend)
    off_s = wall_s() - signed_s
    said = f"the system clock is {abs(off_s)} s {'ahead' if off_s > 0 else 'behind'}"
    if abs(off_s) > OFF_S:
        return Finding(Check.CLOCK, Level.BAD, f"{said}: it is not used", _NTP)
    if abs(off_s) > DRIFT_S:
        return Finding(Check.CLOCK, Level.WARNING, said, _NTP)
    return Finding(Check.CLOCK, Level.GOOD, said)


async def _signed_time(config: Config) -> int:
    root = pinned_root(files.read(config.root, _ROOT_LIMIT))
    nonce = draw(ID_BYTES)
    transport = transport_to(config, config.address)
    try:
        response = await transport.send(Request("POST", TIME_PATH, {}, encode_time_request(nonce)))
    finally:
        await transport.close()
    if response.status != 200:
        raise UplinkError(f"the collector answered {response.status}")
    return accept_time(response.body, root=root, nonce=nonce)


def _target(config: Config) -> tuple[str, int]:
    parts = urlsplit(config.proxy or config.address)
    return parts.hostname or "", parts.port or (_HTTPS if parts.scheme == "https" else 80)


def _certificate(secured: ssl.SSLSocket) -> Finding:
    found = secured.getpeercert() or {}
    ends = found.get("notAfter")
    days = None
    if isinstance(ends, str):
        with contextlib.suppress(ValueError):
            days = int(ssl.cert_time_to_seconds(ends) - wall_s()) // EPOCH_S
    said = f"{secured.version()}, certificate accepted" + ("" if days is None else f", {days} days left")
    if days is not None and days < SOON_DAYS:
        return Finding(Check.TLS, Level.WARNING, said, "tell the operator to renew the certificate")
    return Finding(Check.TLS, Level.GOOD, said)
