"""
Readings out of what an OpenDTU publishes by MQTT: a message for each value, the inverter's serial number in its topic.

Owns: which topics to subscribe to, and the gathering of single values into readings.
Rules: pure: the time is handed in. Only topics of fields that somebody may have are subscribed to, so the names that
owners gave to inverters and panels, addresses of the DTU and the like do not even come. A retained message is not a
measurement of now, and is passed over: the DTU publishes every few seconds. Whoever may publish to the broker can
write these, so everything is taken for hostile: what is not a short decimal under a serial number is counted and
forgotten, and the number of inverters is bounded.
Does not: speak MQTT (examples/opendtu_mqtt.py does); judge ranges, which are the policy's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

MAX_INVERTERS: Final = 64
GATHER_S: Final = 1.0  # the values of one inverter come within milliseconds of each other

_FIELDS: Final = {  # by the last part of the topic: the field, and how many of its units one of OpenDTU's is
    "power": ("ac_power", 1),
    "voltage": ("grid_voltage", 1),
    "frequency": ("frequency", 1),
    "temperature": ("temperature", 1),
    "yieldtotal": ("energy", 1000),
}
_TOPIC: Final = re.compile(r"([0-9A-Fa-f]{12})/0/([a-z]{1,16})")
_NUMBER: Final = re.compile(rb"-?[0-9]{1,9}(?:\.[0-9]{1,6})?")


def filters(prefix: str, allowed: Callable[[str, str], bool]) -> list[str]:
    """
    Return what to subscribe to: the values of the inverters' AC side that somebody may have.
    """
    return [f"{prefix}/+/0/{topic}" for topic, (name, _) in _FIELDS.items() if allowed("inverter", name)]


@dataclass(slots=True)
class Gathering:
    """
    Values on their way to become readings; ``counts`` has what was passed over: ``retained`` and ``rejected``.
    """

    prefix: str
    counts: Counter[str] = field(default_factory=Counter)
    _open: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    _whole: list[dict[str, Any]] = field(default_factory=list)

    def add(self, topic: str, payload: object, *, retained: bool, now_s: float) -> None:
        """
        Take one message.
        """
        found = _TOPIC.fullmatch(topic.removeprefix(f"{self.prefix}/"))
        told = _NUMBER.fullmatch(payload) if isinstance(payload, bytes) else None
        if retained:
            self.counts["retained"] += 1
        elif found is None or told is None or found[2] not in _FIELDS:
            self.counts["rejected"] += 1
        else:
            self._put(found[1], *_FIELDS[found[2]], Decimal(told[0].decode("ascii")), now_s)

    def readings(self, now_s: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """
        Yield kind and fields of each reading that is whole by now.
        """
        for serial in [serial for serial, (since_s, _) in self._open.items() if now_s - since_s >= GATHER_S]:
            self._close(serial)
        whole, self._whole = self._whole, []
        yield from (("inverter", fields) for fields in whole)

    def _put(self, serial: str, name: str, factor: int, told: Decimal, now_s: float) -> None:
        if serial in self._open and name in self._open[serial][1]:
            self._close(serial)
        if serial not in self._open and len(self._open) + len(self._whole) >= MAX_INVERTERS:
            self.counts["rejected"] += 1
            return
        _, fields = self._open.setdefault(serial, (now_s, {"serial": serial}))
        if name != "energy" or told:  # an inverter tells 0 before it knows its total: no counter to go on from
            fields[name] = float(told * factor)

    def _close(self, serial: str) -> None:
        _, fields = self._open.pop(serial)
        if len(fields) > 1:
            self._whole.append(fields)
