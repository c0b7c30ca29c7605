"""
A transport of your own: here http.client in a thread, as it could be a modem's library or a message bus.

The address is yours to know; each request has a method, a path below it, headers and a sealed body.
"""

import asyncio
import tomllib
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from edge_sdk import Gateway, Request, Response, UplinkError

LARGEST_ANSWER = 1 << 20


class PlainTransport:
    """
    Carries requests to *address*: TLS verified, no cookies, no redirects, nothing that tells devices apart.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._place = parts.netloc

    async def send(self, request: Request) -> Response:
        """
        Return the answer, whatever its status; UplinkError when there was none.
        """
        return await asyncio.to_thread(self._send, request)

    async def close(self) -> None:
        """
        Do nothing: each request has a connection of its own.
        """

    def _send(self, request: Request) -> Response:
        connection = self._connect(self._place, timeout=10)
        try:
            connection.request(request.method, request.path, request.body or None, dict(request.headers))
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, headers, answer.read(LARGEST_ANSWER))
        except (OSError, HTTPException) as error:
            raise UplinkError(f"no answer: {type(error).__name__}") from error
        finally:
            connection.close()


if __name__ == "__main__":
    address = tomllib.loads(Path("site.toml").read_text())["collector"]["address"]
    with Gateway.open("site.toml", transport=PlainTransport(address)) as gateway:
        gateway.record("inverter", {"serial": "408000123456", "ac_power": 231.5, "energy": 4211})
        print(f"{gateway.drain(timeout_s=2, cut=True)} batches wait for the collector")
