"""
A proxy between a device and its collector that misbehaves when told to, as a process of its own.

``python -m tests.fault.network.chaos --to 127.0.0.1:8080 --fault reset_in_answer --times 3`` prints its address and
serves until its standard input ends. A line of JSON there changes what it does: ``rules`` (a list, the first that fits
counts: ``fault``, and ``path``, ``times``, ``chance`` and what the fault wants), ``connection`` (what becomes of every
one: ``serve``, ``refuse``, ``silent``, ``plain``, ``cut``), ``certificate`` and ``version`` of TLS, ``tell`` (the
requests since it was last asked). Each line is answered by one. TLS ends here, so with ``--capture`` all that a device
says is in one file, as it would be at a proxy that its owner trusts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import socket
import ssl
import sys
import threading
import time
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from tests.fault.network.misdeeds import HALFWAY, MISDEEDS, PORTAL, STALL_S, Exchange, reset, written

CONNECTIONS: Final = ("serve", "refuse", "silent", "plain", "cut")
_VERSIONS: Final = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2}


class Chaos:
    """
    The proxy.

    Args:
        upstream: where the collector listens, plain HTTP.
        capture: a file for every byte that clients say, empty for none.
        seed: for ``chance``.
    """

    def __init__(self, upstream: tuple[str, int], *, port: int = 0, capture: str = "", seed: int = 1) -> None:
        self._upstream = upstream
        self._rules: list[dict[str, Any]] = []
        self._connection = "serve"
        self._tls: ssl.SSLContext | None = None
        self._requests: list[dict[str, Any]] = []
        self._accepted = self._told = 0
        self._capture = Path(capture) if capture else None
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port: int = self._listener.getsockname()[1]

    def start(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """
        Do what one line says and return the answer to it.
        """
        with self._lock:
            if "rules" in order:
                self._stopping.set()  # whoever stalls for an older rule lets go
                self._stopping = threading.Event()
                self._rules = [dict(rule) for rule in order["rules"]]
            self._connection = order.get("connection", self._connection)
            if "certificate" in order:
                self._tls = _context(order["certificate"], order.get("version", ""))
            if "tell" not in order:
                return {}
            told = {"requests": self._requests, "accepted": self._accepted - self._told}
            self._requests, self._told = [], self._accepted
            return told

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with self._lock:
                self._accepted += 1
                number = self._accepted
            threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with self._lock:
            how, tls, stopping = self._connection, self._tls, self._stopping
        with contextlib.suppress(OSError, ValueError), contextlib.closing(client):
            if how == "refuse":
                reset(client)
            if how == "silent":
                stopping.wait(STALL_S)
            elif how == "cut":
                client.recv(64)
                reset(client)
            else:
                self._note(client.recv(4096, socket.MSG_PEEK))  # the first that is said, before TLS: names, if any
                if how == "plain":
                    client.sendall(written(200, PORTAL))
                    return
                if tls is not None:
                    client = tls.wrap_socket(client, server_side=True)
                with client, client.makefile("rb") as stream:
                    while self._serve_one(client, stream, number):
                        pass

    def _serve_one(self, client: socket.socket, stream: BufferedReader, number: int) -> bool:
        head = _head(stream)
        if not head:
            return False
        if self._connection != "serve":  # one that was kept from better days
            reset(client)
        method, path, _ = head.decode("latin-1").split("\r\n", 1)[0].split(" ", 2)
        pairs = (line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:] if ": " in line)
        headers = {name.lower(): value for name, value in pairs}
        rule = self._rule(path)
        name = rule.get("fault", "honest")
        length = int(headers.get("content-length", "0"))
        body = stream.read(length // 2 if name in HALFWAY else length)
        self._note(head + b"\r\n\r\n" + body)
        with self._lock:
            stopping = self._stopping
            self._requests.append(
                {"path": path, "fault": name, "connection": number, "at": time.monotonic(), "bytes": len(body)}
            )
        MISDEEDS[name](Exchange(method, path, headers, body, client, self._upstream, stopping, rule))
        return True

    def _rule(self, path: str) -> dict[str, Any]:
        with self._lock:
            for rule in self._rules:
                if not path.startswith(rule.get("path", "/")) or rule.get("times") == 0:
                    continue
                if self._chance.random() < rule.get("chance", 1.0):
                    if "times" in rule:
                        rule["times"] -= 1
                    return rule
        return {}

    def _note(self, said: bytes) -> None:
        if self._capture is not None:
            with self._lock, self._capture.open("ab") as file:
                file.write(said)


def _head(stream: BufferedReader) -> bytes:
    lines: list[bytes] = []
    while (line := stream.readline(1 << 16)) not in (b"", b"\r\n"):
        lines.append(line)
    return b"".join(lines).removesuffix(b"\r\n")


def _context(certificate: str, version: str) -> ssl.SSLContext | None:
    if not certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if version:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = _VERSIONS[version]
    context.load_cert_chain(certificate)
    return context


def main() -> None:
    """
    Serve until the standard input ends.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.fault.network.chaos", description=__doc__)
    parser.add_argument("--to", required=True, metavar="HOST:PORT", help="the collector, plain HTTP")
    parser.add_argument("--port", type=int, default=0, help="where to listen on loopback (any free one)")
    parser.add_argument("--fault", choices=sorted(MISDEEDS), default="honest")
    parser.add_argument("--path", default="/", help="of which requests, by the beginning of their path")
    parser.add_argument("--times", type=int, help="how often, and honest afterwards (always)")
    parser.add_argument("--chance", type=float, default=1.0)
    parser.add_argument("--status", type=int, default=503, help="of the faults status and redirect")
    parser.add_argument("--certificate", default="", metavar="PEM", help="key and chain, for TLS")
    parser.add_argument("--capture", default="", metavar="FILE", help="write what clients say")
    asked = parser.parse_args()
    host, _, port = asked.to.rpartition(":")
    chaos = Chaos((host, int(port)), port=asked.port, capture=asked.capture)
    rule = {"fault": asked.fault, "path": asked.path, "chance": asked.chance, "status": asked.status}
    chaos.obey({"rules": [rule | ({} if asked.times is None else {"times": asked.times})]})
    chaos.obey({"certificate": asked.certificate})
    chaos.start()
    print(f"listening on {'https' if asked.certificate else 'http'}://127.0.0.1:{chaos.port}", flush=True)
    for line in sys.stdin:
        print(json.dumps(chaos.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
