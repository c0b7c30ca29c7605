"""
``python -m benchmarks.floor``: how far the line is above its floor, stage by stage.

The floor is the policy of the benchmark written out by hand, with the same libraries, key sizes and durability, but
for nothing else: no grants, no other fields, no gaps, no quota. Both minimise the same readings, encode tables that
must be equal byte by byte, seal to one X-Wing key and keep the batch in SQLite. Rounds are interleaved; a ratio is
taken inside a round. Nothing is sent.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from operator import ge, le
from pathlib import Path
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.line import make_site
from edge_sdk.bench.workload import make_policy, make_readings
from edge_sdk.core.batch import Batch, encode_batch
from edge_sdk.core.cose import Signer
from edge_sdk.core.keys import NONCE_BYTES, SECRET_BYTES, wrap
from edge_sdk.core.seal import seal_batch
from edge_sdk.core.table import encode_tables
from edge_sdk.opening import Site, open_site
from edge_sdk.streams import Stream

Reading = tuple[int, dict[str, Any]]

# The numbers in the order of the view, each with its bounds in steps.
BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "ac_current": (0, 100_000), "ac_power": (-1000, 1_000_000), "ac_voltage": (0, 10_000),
    "dc_current_1": (0, 100_000), "dc_current_2": (0, 100_000), "dc_power_1": (0, 1_000_000),
    "dc_power_2": (0, 1_000_000), "dc_voltage_1": (0, 15_000), "dc_voltage_2": (0, 15_000),
    "energy": (0, 1 << 53), "energy_today": (0, 1 << 53), "frequency": (4000, 7000),
    "reactive_power": (-1_000_000, 1_000_000), "signal": (0, 100), "temperature": (-600, 1500),
}  # fmt: skip
STATES: Final = {"off": 0, "starting": 1, "running": 2, "fault": 3}
STAGES: Final = ("minimise", "encode", "seal", "store")
_MLKEM_BYTES: Final = 1184


class Floor:
    """
    The policy by hand.
    """

    def __init__(self, folder: Path, recipient: bytes) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self._names = sorted([*BOUNDS, "serial", "state"])
        self._lows = [BOUNDS[name][0] for name in BOUNDS]
        self._highs = [BOUNDS[name][1] for name in BOUNDS]
        self._signer = Ed25519PrivateKey.generate()
        self._key = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(recipient[:_MLKEM_BYTES]),
            X25519PublicKey.from_public_bytes(recipient[_MLKEM_BYTES:]),
        )
        self._suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.SHAKE256, hpke.AEAD.AES_256_GCM)
        self._at_rest = AESGCM(os.urandom(32))
        self._db = sqlite3.connect(folder / "floor.db", isolation_level=None)
        for pragma in ("page_size=1024", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE sealed(id INTEGER PRIMARY KEY, body BLOB NOT NULL)")

    def minimise(self, fields: dict[str, Any], at_ms: int) -> None:
        """
        Check and quantise one reading.
        """
        serial, state = fields["serial"], STATES[fields["state"]]
        if len(fields) != len(self._names) or type(serial) is not str or len(serial) > 32:
            raise ValueError("a reading of another shape")
        if not set(map(type, fields.values())) <= {int, float, str}:
            raise ValueError("no number")
        scaled = (
            round(fields["ac_current"] * 100.0),
            round(fields["ac_power"] * 10.0),
            round(fields["ac_voltage"] * 10.0),
            round(fields["dc_current_1"] * 100.0),
            round(fields["dc_current_2"] * 100.0),
            round(fields["dc_power_1"] * 10.0),
            round(fields["dc_power_2"] * 10.0),
            round(fields["dc_voltage_1"] * 10.0),
            round(fields["dc_voltage_2"] * 10.0),
            round(fields["energy"]),
            round(fields["energy_today"]),
            round(fields["frequency"] * 100.0),
            round(fields["reactive_power"] * 10.0),
            round(fields["signal"]),
            round(fields["temperature"] * 10.0),
        )
        if not all(map(le, self._lows, scaled)) or not all(map(ge, self._highs, scaled)):
            raise ValueError("out of range")
        *others, signal, temperature = scaled
        self.rows.append((at_ms, *others, serial, signal, state, temperature))

    def tables(self, rows: list[tuple[Any, ...]]) -> bytes:
        """
        Return the rows as one encoded table.
        """
        times, *columns = zip(*rows, strict=True)
        index: dict[str, int] = {}
        place = self._names.index("serial")
        groups = [index.setdefault(serial, len(index)) for serial in columns[place]]
        fields = [
            [list(index), _pack(groups, [0] * len(rows))] if at == place else _pack(column, groups)
            for at, column in enumerate(columns)
        ]
        encoded: bytes = cbor2.dumps([[0, len(rows), [_pack(times, groups)], fields]])
        return encoded

    def encode(self, rows: list[tuple[Any, ...]]) -> bytes:
        """
        Return the payload of a batch.
        """
        squeeze = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        tables = squeeze.compress(self.tables(rows)) + squeeze.flush()
        payload: bytes = cbor2.dumps({0: 1, 1: bytes(16), 2: 0, 3: len(rows) - 1, 4: bytes(32), 7: tables})
        return payload

    def seal(self, payload: bytes) -> bytes:
        """
        Sign, pad, encrypt.
        """
        inner = payload + self._signer.sign(payload) + b"\x80"
        loose = len(inner).bit_length() - 1
        mask = (1 << (loose - loose.bit_length())) - 1
        padded = inner.ljust((len(inner) + mask) & ~mask, b"\x00")
        key, nonce = os.urandom(32), os.urandom(12)
        sealed: bytes = nonce + AESGCM(key).encrypt(nonce, padded, b"") + self._suite.encrypt(key, self._key, info=b"")
        return sealed

    def store(self, sealed: bytes) -> None:
        """
        Keep one batch, durably, under the key of its purpose.
        """
        nonce = os.urandom(12)
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO sealed(body) VALUES(?)", (nonce + self._at_rest.encrypt(nonce, sealed, b""),))
        self._db.execute("COMMIT")


def _pack(values: tuple[int, ...] | list[int], groups: list[int]) -> bytes:
    last = [0] * (max(groups) + 1)
    packed = bytearray()
    for group, value in zip(groups, values, strict=True):
        delta = value - last[group]
        last[group] = value
        zigzag = delta + delta if delta >= 0 else -delta - delta - 1
        while zigzag > 127:
            packed.append(zigzag & 127 | 128)
            zigzag >>= 7
        packed.append(zigzag)
    return bytes(packed)


class Actual:
    """
    The same stages of an open site, one by one, without what sequences them.
    """

    def __init__(self, site: Site) -> None:
        line, now = site.line, site.clock.now()
        self._rooms = line.rooms
        self._stream: Stream = next(iter(line.binding.streams.values()))
        grant = line.binding.grant_of(self._stream, now)
        assert grant is not None
        recipient = line.binding.recipient_of(self._stream, grant, now)
        assert recipient is not None
        self._grant, self.recipient = grant, recipient
        assert self._stream.purpose is not None
        self._views = self._stream.purpose.views
        self.record = line.recording.record
        self._recording = line.recording
        self.rows = self._stream.outlets[0].rows
        self._at_ms = now.wall_ms

    def minimise(self, fields: dict[str, Any], at_ms: int) -> None:
        """
        Record one reading.
        """
        self.record("inverter", fields, at_ms)

    def make_room(self) -> None:
        """
        Take note of what was recorded, as the writer does each second.
        """
        self._recording.harvest(self._at_ms, held_rows=0)

    def tables(self, rows: list[tuple[Any, ...]]) -> bytes:
        """
        Return the rows as encoded tables.
        """
        return encode_tables(self._views, {0: rows})

    def encode(self, rows: list[tuple[Any, ...]]) -> bytes:
        """
        Return the payload of a batch.
        """
        stream = self._stream
        batch = Batch(stream.record.stream_id, 0, len(rows) - 1, stream.record.digest, bytes(32), tables={0: rows})
        return encode_batch(batch, self._views)

    def seal(self, payload: bytes) -> bytes:
        """
        Sign, pad, encrypt.
        """
        draw = self._rooms.draw
        return seal_batch(
            payload, grant=self._grant, recipient=self.recipient, stream_id=bytes(16),
            signer=Signer(draw(SECRET_BYTES)), batch_id=draw(16), content_alg=self._rooms.content_alg,
            cek=draw(SECRET_BYTES), iv=draw(NONCE_BYTES),
        )  # fmt: skip

    def store(self, sealed: bytes) -> None:
        """
        Queue one batch, durably.
        """
        body = wrap(self._stream.entry.key, self._rooms.draw(NONCE_BYTES), sealed, bytes(16))
        with self._rooms.outbox.transaction():
            self._rooms.outbox.put_sealed(
                stream=self._stream.row, span=(0, 0), told=0, kept_ms=0, batch_id=bytes(16), body=body
            )


def main() -> None:
    """
    Run the rounds and print actual, floor and their ratio for each stage.
    """
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.floor")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--readings", type=int, default=10_000)
    arguments.add_argument("--per-batch", type=int, default=500)
    chosen = arguments.parse_args()
    readings = make_readings(chosen.readings)
    with tempfile.TemporaryDirectory() as folder:
        site, _ = open_site(make_site(Path(folder) / "site", make_policy(1), per_batch=chosen.per_batch))
        actual = Actual(site)
        floor = Floor(Path(folder), actual.recipient.key)
        _check_equal(actual, floor, readings[: chosen.per_batch])
        rounds = [
            (_run(actual, readings, chosen.per_batch), _run(floor, readings, chosen.per_batch))
            for _ in range(chosen.rounds)
        ]
        site.close()
    print(f"{'us of CPU a reading':20} {'actual':>8} {'floor':>8} {'ratio':>8}   medians of {chosen.rounds} rounds")
    for stage in (*STAGES, "all"):
        medians = [statistics.median(one[who][stage] for one in rounds) for who in (0, 1)]
        ratio = statistics.median(one[0][stage] / one[1][stage] for one in rounds)
        print(f"{stage:20} {medians[0]:8.2f} {medians[1]:8.2f} {ratio:8.2f}")


def _check_equal(actual: Actual, floor: Floor, readings: list[Reading]) -> None:
    encoded = []
    for line in (actual, floor):
        for at_ms, fields in readings:
            line.minimise(fields, at_ms)
        encoded.append(line.tables(list(line.rows)))
        line.rows.clear()
    if encoded[0] != encoded[1]:
        raise RuntimeError("the floor does not do what the line does")


def _run(line: Actual | Floor, readings: list[Reading], per_batch: int) -> dict[str, float]:
    spent = dict.fromkeys(STAGES, 0.0)
    for start in range(0, len(readings), per_batch):
        part = readings[start : start + per_batch]
        if isinstance(line, Actual):
            line.make_room()
        begun = time.process_time()
        minimise = line.minimise
        for at_ms, fields in part:
            minimise(fields, at_ms)
        spent["minimise"] += time.process_time() - begun
        rows = list(line.rows)
        line.rows.clear()
        payload = _timed(spent, "encode", line.encode, rows)
        sealed = _timed(spent, "seal", line.seal, payload)
        _timed(spent, "store", line.store, sealed)
    each = {stage: seconds / len(readings) * 1e6 for stage, seconds in spent.items()}
    return {**each, "all": sum(each.values())}


def _timed(spent: dict[str, float], stage: str, work: Callable[[Any], Any], given: Any) -> Any:
    begun = time.process_time()
    made = work(given)
    spent[stage] += time.process_time() - begun
    return made


if __name__ == "__main__":
    main()
