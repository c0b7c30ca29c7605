"""
Requests over real sockets: TLS verified by name and chain and pins, nothing said to a server that is not the one.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_sdk.errors import ConfigError, UplinkError, WrongHost
from edge_sdk.http_transport import HttpTransport
from edge_sdk.transport import MAX_RESPONSE_BYTES, Request, Response
from tests.certificates import Certified, Office

REQUEST = Request("POST", "/v1/batches", {"Authorization": "Edge a:b", "Content-Type": "application/cose"}, b"sealed")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Name: Value\r\n\r\nhi"


@asynccontextmanager
async def listening(
    heard: list[bytes], *, answer: bytes = OK, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Lend the port of a server that keeps what it hears and answers everything alike."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                heard.append(head)
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
                if lengths:
                    await reader.readexactly(int(lengths[0].split(b":")[1]))
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def server_tls(certificate: Certified) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain)
    return context


def ask(
    heard: list[bytes], *, certificate: Certified | None = None, answer: bytes = OK, times: int = 1,
    pins: Callable[[Certified], tuple[str, ...]] = lambda _: (),
) -> list[Response]:  # fmt: skip
    """Send a request *times* times to a server of its own and return the answers."""

    async def run() -> list[Response]:
        tls = None if certificate is None else server_tls(certificate)
        async with listening(heard, answer=answer, tls=tls) as port:
            scheme = "http" if certificate is None else "https"
            transport = HttpTransport(
                f"{scheme}://127.0.0.1:{port}/prefix/", timeout_ms=3_000,
                pins=() if certificate is None else pins(certificate),
            )  # fmt: skip
            try:
                return [await transport.send(REQUEST) for _ in range(times)]
            finally:
                await transport.close()

    return asyncio.run(run())


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    """An authority that this process trusts, as if it were installed on the board."""
    office = Office(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(office.trust))
    return office


@pytest.fixture
def trusted(office: Office) -> Certified:
    """A certificate of that authority for the host that is asked."""
    return office.certify("right")


def test_a_request_goes_below_the_prefix_of_the_address_and_the_answer_comes_back() -> None:
    heard: list[bytes] = []
    (response,) = ask(heard)
    assert heard[0].startswith(b"POST /prefix/v1/batches HTTP/1.1\r\n")
    assert (response.status, response.body, response.headers["x-name"]) == (200, b"hi", "Value")


def test_a_verified_server_is_spoken_to_over_tls(trusted: Certified) -> None:
    heard: list[bytes] = []
    assert ask(heard, certificate=trusted)[0].status == 200


def test_a_server_nobody_vouches_for_hears_nothing(tmp_path: Path) -> None:
    heard: list[bytes] = []
    with pytest.raises(UplinkError, match="ClientConnectorCertificateError"):
        ask(heard, certificate=Office(tmp_path).certify("stranger"))
    assert heard == []


@pytest.mark.parametrize("fault", ["name", "expired"])
def test_a_certificate_for_another_name_or_of_the_past_is_refused(office: Office, fault: str) -> None:
    wrong = {"name": ("127.0.0.2", (-30, 30)), "expired": ("127.0.0.1", (-30, -1))}
    host, days = wrong[fault]
    certificate = office.certify(fault, host=host, days=days)
    heard: list[bytes] = []
    with pytest.raises(UplinkError, match="ClientConnectorCertificateError"):
        ask(heard, certificate=certificate)
    assert heard == []


def test_the_pinned_key_is_spoken_to_request_after_request(trusted: Certified) -> None:
    heard: list[bytes] = []
    assert len(ask(heard, certificate=trusted, times=3, pins=lambda c: (PIN, c.pin))) == 3
    assert len(heard) == 3


PIN = base64.b64encode(bytes(32)).decode()


def test_a_trusted_server_with_another_key_than_the_pinned_hears_nothing(trusted: Certified) -> None:
    heard: list[bytes] = []
    with pytest.raises(WrongHost, match="none of the pinned keys") as told:
        ask(heard, certificate=trusted, pins=lambda _: (PIN,))
    assert heard == []
    assert "127.0.0.1" not in str(told.value)


def test_a_pin_does_not_take_the_place_of_verification(tmp_path: Path) -> None:
    heard: list[bytes] = []
    with pytest.raises(UplinkError, match="ClientConnectorCertificateError"):
        ask(heard, certificate=Office(tmp_path).certify("stranger"), pins=lambda c: (c.pin,))
    assert heard == []


def test_a_server_of_yesterdays_tls_is_refused(trusted: Certified) -> None:
    async def run() -> None:
        context = server_tls(trusted)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with listening([], tls=context) as port:
            transport = HttpTransport(f"https://127.0.0.1:{port}", timeout_ms=3_000)
            try:
                with pytest.raises(UplinkError):
                    await transport.send(REQUEST)
            finally:
                await transport.close()

    with pytest.warns(DeprecationWarning, match="TLSv1"):
        asyncio.run(run())


def test_plain_http_is_for_loopback_only() -> None:
    with pytest.raises(ConfigError, match="loopback"):
        HttpTransport("http://collector.example")
    for host in ("127.0.0.1", "[::1]", "localhost"):
        HttpTransport(f"http://{host}:1")


@pytest.mark.parametrize("pin", ["", "short", "ä" * 44, base64.b64encode(bytes(31)).decode()])
def test_a_pin_that_is_none_is_told(pin: str) -> None:
    with pytest.raises(ConfigError, match="pin is no base64 of a SHA-256"):
        HttpTransport("https://collector.example", pins=(pin,))


def test_an_answer_beyond_the_limit_is_not_read_to_its_end() -> None:
    size = MAX_RESPONSE_BYTES + 1
    with pytest.raises(UplinkError, match="ValueError"):
        ask([], answer=b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MAX_RESPONSE_BYTES
    assert len(ask([], answer=head + bytes(MAX_RESPONSE_BYTES))[0].body) == MAX_RESPONSE_BYTES


def test_a_closed_transport_opens_anew() -> None:
    async def run() -> list[int]:
        async with listening([]) as port:
            transport = HttpTransport(f"http://127.0.0.1:{port}")
            statuses = []
            for _ in range(2):
                statuses.append((await transport.send(REQUEST)).status)
                await transport.close()
            await transport.close()
            return statuses

    assert asyncio.run(run()) == [200, 200]


def test_no_message_names_the_address() -> None:
    async def run() -> None:
        transport = HttpTransport("http://127.0.0.1:9")
        try:
            await transport.send(REQUEST)
        finally:
            await transport.close()

    with pytest.raises(UplinkError) as told:
        asyncio.run(run())
    assert str(told.value) == "no answer from the collector: ClientConnectorError"
