"""
The other side for the peers: says yes to every HTTP POST and every MQTT publish, and keeps what came.

A process of its own, standard library only. ``GET /taken`` answers with all that came since the last such request, as
one JSON text: bytes on the wire, heads included, and the bodies with their encoding.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import Final

_CONNECT, _PUBLISH, _PING, _BYE = 1, 3, 12, 14
_ANSWERS: Final = {_CONNECT: b"\x20\x02\x00\x00", _PING: b"\xd0\x00"}


@dataclass
class Taken:
    """
    What came.
    """

    nbytes: int = 0
    bodies: list[tuple[str, bytes]] = field(default_factory=list)

    def told(self) -> bytes:
        """
        Return it as JSON, and begin anew.
        """
        bodies = [(encoding, base64.b64encode(body).decode()) for encoding, body in self.bodies]
        text = json.dumps({"bytes": self.nbytes, "bodies": bodies}).encode()
        self.nbytes, self.bodies = 0, []
        return text


async def _http(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            break
        names = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        body = await reader.readexactly(int(names.get(b"content-length", b"0")))
        answer = b"ok"
        if head.startswith(b"GET /taken"):
            answer = taken.told()
        else:
            taken.nbytes += len(head) + len(body)
            taken.bodies.append((names.get(b"content-encoding", b"").decode(), body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        await writer.drain()
    writer.close()


async def _mqtt(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while first := await reader.read(1):
        kind, flags = first[0] >> 4, first[0] & 15
        size, head = await _remaining(reader)
        packet = await reader.readexactly(size)
        taken.nbytes += 1 + head + size
        if kind == _BYE:
            break
        if kind == _PUBLISH:
            topic = int.from_bytes(packet[:2], "big")
            start = 2 + topic + (2 if flags & 6 else 0)
            taken.bodies.append(("", packet[start:]))
            if flags & 6:
                writer.write(b"\x40\x02" + packet[2 + topic : start])
        else:
            writer.write(_ANSWERS.get(kind, b""))
        await writer.drain()
    writer.close()


async def _remaining(reader: asyncio.StreamReader) -> tuple[int, int]:
    size = read = 0
    while True:
        octet = (await reader.readexactly(1))[0]
        size |= (octet & 0x7F) << (7 * read)
        read += 1
        if not octet & 0x80:
            return size, read


async def _serve() -> None:
    taken = Taken()
    http = await asyncio.start_server(lambda r, w: _http(taken, r, w), "127.0.0.1", 0, limit=1 << 20)
    mqtt = await asyncio.start_server(lambda r, w: _mqtt(taken, r, w), "127.0.0.1", 0)
    print(*(server.sockets[0].getsockname()[1] for server in (http, mqtt)), flush=True)
    await asyncio.gather(http.serve_forever(), mqtt.serve_forever())


if __name__ == "__main__":
    asyncio.run(_serve())
