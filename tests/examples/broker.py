"""
An MQTT broker in a process of its own (mosquitto where it is installed, else amqtt), an OpenDTU that publishes to it,
and a wire to it that keeps what it carries and can be cut.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.examples.peers import Listener, talking
from tests.site import environ

SERIAL, DTU_SERIAL = "116499887701", "199980CA9887"
NAMES: Final = {
    f"{SERIAL}/name": "Garage CANARY",
    f"{SERIAL}/1/name": "Balcony left CANARY",
    f"{SERIAL}/device/hwpartnumber": "270581777",
    f"{SERIAL}/radio/rssi": "-62.5",
    "dtu/hostname": f"OpenDTU-{DTU_SERIAL}",
    "dtu/ip": "192.0.2.10",
    "dtu/bssid": "34:ea:e7:0c:5a:79",
}
START_S: Final = 30
_SUBACK: Final = 0x90
_UNAVAILABLE: Final = b"\x20\x02\x00\x03"  # the answer to a connection that a broker cannot take
_AMQTT: Final = """\
listeners:
  default:
    type: tcp
    bind: {host}:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""
_MOSQUITTO: Final = "listener {port} {host}\nallow_anonymous true\npersistence false\n"


@contextmanager
def broker(folder: Path, host: str) -> Iterator[int]:
    """Run a broker on loopback; lend its port."""
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    config, mosquitto = folder / "broker.conf", shutil.which("mosquitto")
    if mosquitto is not None:
        config.write_text(_MOSQUITTO.format(host=host, port=port))
        command = [mosquitto, "-c", str(config)]
    else:
        config.write_text(_AMQTT.format(host=host, port=port))
        command = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ()) as process:
        try:
            deadline = time.monotonic() + START_S
            while process.poll() is None and time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex((host, port)) == 0:
                        break
                time.sleep(0.05)
            assert process.poll() is None
            yield port
        finally:
            process.kill()


@dataclass
class Wire:
    """What connections to a broker carried, and how often a subscription was confirmed on them."""

    port: int = 0
    turned_away: int = 0
    sent: list[bytes] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    confirmed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    open: list[socket.socket] = field(default_factory=list)

    def cut(self) -> None:
        """End every connection."""
        for side in self.open:
            with suppress(OSError):  # it may have ended by itself
                side.shutdown(socket.SHUT_RDWR)
        self.open.clear()


@contextmanager
def wired(behind: int, host: str, *, turned_away: int = 0) -> Iterator[Wire]:
    """Carry connections to the port *behind*; the first *turned_away* of them are told that it is not available."""
    wire = Wire(turned_away=turned_away)

    def talk(near: socket.socket) -> None:
        if wire.turned_away:
            wire.turned_away -= 1
            near.recv(65_536)
            near.sendall(_UNAVAILABLE)
            return
        with socket.create_connection((host, behind)) as far:
            wire.open += [near, far]
            threading.Thread(target=carry, args=(near, far, wire.sent), daemon=True).start()
            carry(far, near, wire.received, wire.confirmed)

    listener: Listener
    with talking(talk, host) as listener:
        wire.port = listener.port
        yield wire
        wire.cut()


def carry(
    source: socket.socket, target: socket.socket, kept: list[bytes], confirmed: threading.Semaphore | None = None
) -> None:
    unread = b""
    try:
        while chunk := source.recv(65_536):
            kept.append(chunk)
            target.sendall(chunk)
            if confirmed is not None:
                kinds, unread = packets(unread + chunk)
                for _ in range(kinds.count(_SUBACK)):
                    confirmed.release()
    except OSError:
        return


def packets(stream: bytes) -> tuple[list[int], bytes]:
    """Return the first bytes of the whole packets in *stream*, and what is left of it (MQTT 3.1.1, 2.2)."""
    kinds: list[int] = []
    while len(stream) > 1:
        length, at, more = 0, 1, True
        while more and at < len(stream):
            length |= (stream[at] & 0x7F) << 7 * (at - 1)
            more = stream[at] > 0x7F
            at += 1
        if more or len(stream) < at + length:
            break
        kinds.append(stream[0])
        stream = stream[at + length :]
    return kinds, stream


@dataclass
class OpenDTU:
    """Publishes as one does: everything retained, a message for each value, names among them."""

    client: Client

    def burst(self, power: str, total: str, temperature: str = "41.3") -> None:
        """Publish what is known of one inverter, as every few seconds; return when the broker has it."""
        values = {"1/power": "201.1", "1/voltage": "33.1", "0/power": power, "0/yieldtotal": total}
        values |= {"0/voltage": "230.1", "0/frequency": "50.01", "0/temperature": temperature, "0/yieldday": "1043"}
        for topic, told in {**NAMES, **{f"{SERIAL}/{name}": told for name, told in values.items()}}.items():
            last = self.client.publish(f"solar/{topic}", told, qos=1, retain=True)
        last.wait_for_publish(START_S)

    def say(self, topic: str, payload: bytes) -> None:
        """Publish anything."""
        self.client.publish(topic, payload, qos=1).wait_for_publish(START_S)


@contextmanager
def publisher(port: int, host: str) -> Iterator[OpenDTU]:
    """Lend an OpenDTU that is connected to the broker."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect(host, port)
    client.loop_start()
    try:
        yield OpenDTU(client)
    finally:
        client.disconnect()
        client.loop_stop()
