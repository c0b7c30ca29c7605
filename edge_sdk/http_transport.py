"""
Requests over HTTP/1.1 with aiohttp: TLS verified, one fixed User-Agent, no cookies, no redirects.

Plain HTTP is refused except to loopback. Answers are read up to a limit. With pins, the server's certificate must
also have one of the listed public keys. aiohttp is imported when the first request is sent.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edge_sdk.config import LOOPBACK, Config
from edge_sdk.errors import ConfigError, UplinkError, WrongHost
from edge_sdk.transport import MAX_RESPONSE_BYTES, Request, Response

if TYPE_CHECKING:
    import aiohttp

USER_AGENT = "edge-sdk/1"  # the protocol's version, not the release: releases differ between devices
TIME_PATH = "/v1/time"
_PIN_BYTES = 32
_KEPT_S = 30.0  # a connection that nothing goes over, within an epoch: servers keep one for a minute as a rule
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which the ssl module does not name


class HttpTransport:
    """
    A transport to one address.

    Args:
        address: https://host[:port][/prefix], or http:// to loopback.
        timeout_ms: for a whole request, connect and answer included.
        proxy: address of an HTTP proxy, empty for none.
        pins: base64 SHA-256 of allowed SubjectPublicKeyInfo, empty for none.

    Raises:
        ConfigError: for plain HTTP to another host, or a pin that is none.
    """

    def __init__(self, address: str, *, timeout_ms: int = 30_000, proxy: str = "", pins: tuple[str, ...] = ()) -> None:
        parts = urlsplit(address)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise ConfigError("plain http is for loopback only", hint="write https:// in [collector] address")
        self._address = address.rstrip("/")
        self._is_tls = parts.scheme == "https"
        self._timeout_s = timeout_ms / 1000
        self._proxy = proxy or None
        self._pins = frozenset(_pin(pin) for pin in pins)
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | bool = True

    async def send(self, request: Request) -> Response:
        """
        Send *request* and return the answer.

        Raises:
            WrongHost: the server is not the one pinned.
            UplinkError: there was no answer in time.
        """
        import aiohttp  # the HTTP stack is loaded when there is something to send

        try:
            if request.path == TIME_PATH:
                return await self._ask_time(request)
            return await self._exchange(self._open(), request, self._tls)
        except aiohttp.ServerFingerprintMismatch as error:
            raise WrongHost("the host that answers has none of the pinned keys") from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise UplinkError(f"no answer from the collector: {type(error).__name__}") from error

    async def close(self) -> None:
        """
        Close every connection.
        """
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _exchange(
        self, session: aiohttp.ClientSession, request: Request, tls: ssl.SSLContext | bool
    ) -> Response:
        async with session.request(
            request.method,
            self._address + request.path,
            data=request.body or None,
            headers=dict(request.headers),
            allow_redirects=False,
            proxy=self._proxy,
            ssl=tls,
        ) as answer:
            body = await _read(answer)
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Response(answer.status, headers, body)

    async def _ask_time(self, request: Request) -> Response:
        """
        Ask for signed time on a connection of its own, where the dates of certificates are not held against the clock.

        Chain and name are still verified, and the answer is signed by the time role: nothing else goes over it.
        """
        tls = self._new_tls()
        if isinstance(tls, ssl.SSLContext):
            tls.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
        session = self._new_session()
        try:
            return await self._exchange(session, request, tls)
        finally:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._tls = self._new_tls()  # a new one each time: no TLS session is resumed across a close
            self._session = self._new_session()
        return self._session

    def _new_tls(self) -> ssl.SSLContext | bool:
        return _tls() if self._is_tls else True  # reading the CA bundle takes 50 ms, for nothing on loopback

    def _new_session(self) -> aiohttp.ClientSession:
        import aiohttp

        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            connector=aiohttp.TCPConnector(
                ssl=_pinned(self._pins) if self._pins else True, limit=2, keepalive_timeout=_KEPT_S
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
            skip_auto_headers=("Accept", "Accept-Encoding"),
            auto_decompress=False,
        )


def transport_to(config: Config, address: str) -> HttpTransport:
    """
    Return a transport to *address* by the time limit, proxy and pins of a site.

    Raises:
        ConfigError: as :class:`HttpTransport`.
    """
    return HttpTransport(address, timeout_ms=config.timeout_ms, proxy=config.proxy, pins=config.pins)


def _pinned(pins: frozenset[bytes]) -> aiohttp.Fingerprint:
    """
    Return a check of the server's key that is made on each new connection, before a request goes over it.
    """
    import aiohttp

    class Pins(aiohttp.Fingerprint):
        def check(self, transport: asyncio.Transport) -> None:
            tls = transport.get_extra_info("ssl_object")
            certificate = tls.getpeercert(binary_form=True) if tls else None
            if certificate is None or _spki_sha256(certificate) not in pins:
                raise aiohttp.ServerFingerprintMismatch(b"", b"", "", 0)  # names neither key nor address

    return Pins(bytes(_PIN_BYTES))


def _spki_sha256(certificate: bytes) -> bytes:
    from cryptography import x509  # a sixth of a start, and only pins need it
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(certificate).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _pin(pin: str) -> bytes:
    try:
        decoded = base64.b64decode(pin, validate=True)
    except ValueError:  # not base64, or not even ASCII
        decoded = b""
    if len(decoded) != _PIN_BYTES:
        raise ConfigError(
            "a pin is no base64 of a SHA-256", hint="write what 'openssl dgst -sha256 -binary | base64' says"
        )
    return decoded


async def _read(answer: Any) -> bytes:
    body = await answer.content.read(MAX_RESPONSE_BYTES + 1)
    while not answer.content.at_eof() and len(body) <= MAX_RESPONSE_BYTES:
        body += await answer.content.read(MAX_RESPONSE_BYTES + 1 - len(body))
    if len(body) > MAX_RESPONSE_BYTES:
        raise ValueError("answer beyond the limit")
    return bytes(body)
