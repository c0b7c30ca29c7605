"""
A collector folder served by a process of its own, and what is sent to it.
"""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.collector import Founded, enrol_code
from edge_sdk.collector.intake import Request
from tests.collector.household import Household, policy

PROGRAM = """
import logging, sys, time
from pathlib import Path
from edge_sdk.collector import serve
logging.basicConfig(filename=sys.argv[2], level=logging.DEBUG)
serve(
    Path(sys.argv[1]), "127.0.0.1", 0, now_s=lambda: int(time.time()), log=logging.getLogger("edge_sdk"),
    ready=lambda port: print(port, flush=True),
)
print("stopped", flush=True)
"""
MONITORING = policy().purposes["monitoring"]


@dataclass
class Running:
    """A served collector folder."""

    folder: Path
    founded: Founded
    log: Path
    process: subprocess.Popen[str]
    port: int

    def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    def ask(self, request: Request) -> tuple[int, bytes]:
        headers = {} if request.authorization is None else {"Authorization": request.authorization}
        response, body = self.send(request.method, request.path, request.body, headers)
        return response.status, body

    def household(self) -> Household:
        home = Household(self.founded.root, self.founded.recipients)
        status, downlink = self.ask(
            Request("POST", "/v1/enrol", None, home.enrol_body(enrol_code(self.folder, now_s=now_s())))
        )
        assert status == 200
        home.hear(downlink, now_s())
        return home


def now_s() -> int:
    return int(time.time())


def start(folder: Path, founded: Founded) -> Running:
    log = folder.parent / "log"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(log)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    port = process.stdout.readline()
    assert port, "the server did not start"
    return Running(folder, founded, log, process, int(port))


def stop(running: Running, number: int = signal.SIGTERM) -> None:
    running.process.send_signal(number)
    running.process.wait(20)
    assert running.process.stdout is not None
    running.process.stdout.close()


def sealed(home: Household, power: int = 1) -> tuple[bytes, bytes]:
    batch_id = secrets.token_bytes(16)
    by_name = {"ac_power": power, "energy": 1, "serial": "408000123456"}
    row = (now_s() * 1000, *(by_name[item.field.name] for item in MONITORING.views[0].fields))
    stream = home.stream(MONITORING, now_s())
    return home.batch(MONITORING, stream, [row], now_s=now_s(), batch_id=batch_id), batch_id
