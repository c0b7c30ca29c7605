"""
TLS that is not the collector's: nothing is said to it, and everything arrives over the right one afterwards.

The proxy ends TLS with certificates of an authority that the device trusts, and with those of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from edge_sdk.core.messages import encode_time_request
from edge_sdk.http_transport import HttpTransport
from tests.certificates import Certified, Office
from tests.fault.network.place import TIMEOUT_MS, Account, Place
from tests.fault.recorder import missing
from tests.fault.sweep import Report

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.usefixtures("mended")]

Enter = Callable[[str, Report], None]


@dataclass
class Doors:
    """The authority a device trusts, and how the proxy shows itself."""

    place: Place
    office: Office
    folder: Path
    right: Certified

    def show(self, certificate: Certified, *, version: str = "", how: str = "serve") -> None:
        self.place.proxy.certificate(certificate.chain, version)
        self.place.proxy.connections(how)

    def reach(self, *pins: str) -> None:
        """Have the device come over TLS, and with these pins."""
        device, port = self.place.device, self.place.proxy.port
        device._loop.run(device.transport.close())
        device.transport = HttpTransport(f"https://127.0.0.1:{port}", timeout_ms=TIMEOUT_MS, pins=pins)


@pytest.fixture
def doors(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    office = Office(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(office.trust))
    plain = place.device.transport
    doors = Doors(place, office, tmp_path, office.certify("right"))
    doors.reach()
    yield doors
    place.device._loop.run(place.device.transport.close())
    place.device.transport = plain
    place.proxy.certificate("")
    place.proxy.rules()


WRONG: Final[dict[str, Callable[[Doors], None]]] = {
    "another name": lambda doors: doors.show(doors.office.certify("name", host="127.0.0.2")),
    "expired": lambda doors: doors.show(doors.office.certify("expired", days=(-30, -1))),
    "not valid yet": lambda doors: doors.show(doors.office.certify("early", days=(1, 30))),
    "for clients": lambda doors: doors.show(doors.office.certify("client", serves=False)),
    "of a stranger": lambda doors: doors.show(Office(doors.folder, "stranger").certify("right")),
    "TLS 1.0": lambda doors: doors.show(doors.right, version="1.0"),
    "TLS 1.1": lambda doors: doors.show(doors.right, version="1.1"),
    "no TLS at all": lambda doors: doors.show(doors.right, how="plain"),
    "a handshake broken off": lambda doors: doors.show(doors.right, how="cut"),
    "connections refused": lambda doors: doors.show(doors.right, how="refuse"),
    "a handshake never answered": lambda doors: doors.show(doors.right, how="silent"),
    "another key than the pinned": lambda doors: (doors.show(doors.right), doors.reach(OTHER_PIN))[0],
}
OTHER_PIN: Final = "A" * 43 + "="
SHORT: Final = {"another name"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SHORT else pytest.mark.slow) for name in WRONG]
)
def test_nothing_is_said_to_whom_is_not_the_collector(place: Place, doors: Doors, entered: Enter, name: str) -> None:
    account = Account(recorded=place.record(2), tries=3)
    WRONG[name](doors)
    place.proxy.seen()
    before = len(place.proxy.said())
    place.suffer(account.tries)
    assert place.proxy.seen() == []
    greeting = place.proxy.said()[before:]
    assert b"/v1/" not in greeting
    assert b"Authorization" not in greeting
    doors.show(doors.right)
    doors.reach(doors.right.pin)
    place.drain()
    place.check(account)
    entered(f"network, TLS: {name}", account.report)


@pytest.mark.slow
def test_over_an_expired_certificate_goes_a_question_for_the_time_and_nothing_else(
    place: Place, doors: Doors, entered: Enter
) -> None:
    account = Account(recorded=place.record(2), tries=4)
    doors.show(doors.office.certify("expired", days=(-30, -1)))
    place.device.uplink._asks_time = True
    place.proxy.seen()
    before = len(place.proxy.said())
    place.suffer(account.tries)
    assert [request["path"] for request in place.proxy.seen()] == ["/v1/time"]
    assert b"Authorization" not in place.proxy.said()[before:]
    assert len(place.proxy.said()) < before + 40_000
    assert encode_time_request(bytes(16))[:4] in place.proxy.said()[before:]
    doors.show(doors.right)
    place.drain()
    place.check(account)
    entered("network, TLS: the time over an expired one", account.report)
