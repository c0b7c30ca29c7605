"""
One peer through the same readings: ``python peer_run.py PEER READINGS.json HTTP_PORT MQTT_PORT FOLDER PER_BATCH``.

Runs in the environment of the peers, which has nothing of this package, and prints one line of JSON: processor and
wall seconds of the timed part (children included), how many readings it took, how many arrived whole, and bytes on
the wire. Timed is what a program would do: hand over every reading, and have all of it sent. Imports are not.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import importlib
import json
import logging
import resource
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Reading = tuple[int, dict[str, Any]]
FIELDS: Final = 17  # a reading that arrives with fewer has not arrived

_METRICS: Final = """
$schema: moz://mozilla.org/schemas/glean/metrics/2-0-0
inverter:
  reading:
    type: event
    description: one reading
    bugs: [https://example.org/1]
    data_reviews: [https://example.org/1]
    notification_emails: [nobody@example.org]
    expires: never
    send_in_pings: [events]
    extra_keys:
"""


@dataclass(frozen=True)
class Work:
    """
    What every peer is given.
    """

    readings: list[Reading]
    http: int
    mqtt: int
    folder: Path
    per_batch: int


class Quiet(logging.Logger):
    """
    A logger with the level that one of the peers expects.
    """

    def trace(self, *_: Any, **__: Any) -> None:
        """
        Say nothing.
        """


def main(arguments: list[str]) -> None:
    """
    Run one peer.
    """
    peer, source, http_port, mqtt_port, folder, per_batch = arguments
    readings = [(at, fields) for at, fields in json.loads(Path(source).read_text())]
    work = Work(readings, int(http_port), int(mqtt_port), Path(folder), int(per_batch))
    prepare, count = PEERS[peer]
    run = prepare(work)
    cpu, wall = _cpu_s(), time.perf_counter()
    accepted = run()
    wall, cpu = time.perf_counter() - wall, _cpu_s() - cpu
    taken = _taken(work.http)
    plain = (gzip.decompress(body) if encoding == "gzip" else body for encoding, body in taken["bodies"])
    arrived = sum(map(count, plain))
    print(json.dumps({"cpu": cpu, "wall": wall, "accepted": accepted, "arrived": arrived, "wire": taken["bytes"]}))


def _cpu_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def _taken(port: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/taken")
    taken: dict[str, Any] = json.loads(connection.getresponse().read())
    taken["bodies"] = [(encoding, base64.b64decode(body)) for encoding, body in taken["bodies"]]
    return taken


def _opentelemetry(work: Work) -> Callable[[], int]:
    sdk = importlib.import_module("opentelemetry.sdk._logs")
    export = importlib.import_module("opentelemetry.sdk._logs.export")
    otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http._log_exporter")
    gzipped = importlib.import_module("opentelemetry.exporter.otlp.proto.http").Compression.Gzip
    api = importlib.import_module("opentelemetry._logs")
    exporter = otlp.OTLPLogExporter(f"http://127.0.0.1:{work.http}/v1/logs", compression=gzipped)
    processor = export.BatchLogRecordProcessor(
        exporter, max_export_batch_size=work.per_batch, max_queue_size=max(2048, 2 * work.per_batch)
    )
    provider = sdk.LoggerProvider()
    provider.add_log_record_processor(processor)
    logger = provider.get_logger("bench")

    def run() -> int:
        for number, (at_ms, fields) in enumerate(work.readings, 1):
            logger.emit(
                api.LogRecord(
                    timestamp=at_ms * 1_000_000,
                    severity_number=api.SeverityNumber.INFO,
                    body="inverter",
                    attributes=fields,
                )
            )
            if number % work.per_batch == 0:
                provider.force_flush()  # paced: left to itself it drops what its queue has no room for
        provider.shutdown()
        return len(work.readings)

    return run


def _count_opentelemetry(body: bytes) -> int:
    messages = importlib.import_module("opentelemetry.proto.collector.logs.v1.logs_service_pb2")
    request = messages.ExportLogsServiceRequest.FromString(body)
    records = (one for each in request.resource_logs for scope in each.scope_logs for one in scope.log_records)
    return sum(1 for record in records if len(record.attributes) >= FIELDS)


def _glean(work: Work) -> Callable[[], int]:
    glean = importlib.import_module("glean")
    lines = [f"      {name}:\n        type: {_glean_type(value)}\n        description: a field\n"
             for name, value in work.readings[0][1].items()]  # fmt: skip
    metrics = work.folder / "metrics.yaml"
    metrics.write_text(_METRICS + "".join(lines))
    config = glean.Configuration(server_endpoint=f"http://127.0.0.1:{work.http}", max_events=work.per_batch)
    glean.Glean.initialize(
        application_id="bench", application_version="1", upload_enabled=True, configuration=config,
        data_dir=work.folder / "glean", log_level=logging.CRITICAL,
    )  # fmt: skip
    inverter, rest = glean.load_metrics(str(metrics)).inverter, importlib.import_module("glean._builtins").pings.events
    turned = [{name: _glean_value(value) for name, value in fields.items()} for _, fields in work.readings]

    def run() -> int:
        for fields in turned:
            inverter.reading.record(inverter.ReadingExtra(**fields))
        if len(turned) % work.per_batch:
            rest.submit()
        glean.Glean.shutdown()
        _upload_what_waits(work.folder / "glean" / "pending_pings")
        return len(turned)

    return run


def _upload_what_waits(pending: Path) -> None:
    """
    Wait until Glean has sent every ping it made, which otherwise it does when the program is started again.

    One uploader runs at a time: a ping that is made while one is about to end starts none, and stays. Every turn waits
    for the end of an uploader, and takes at least one ping off the folder.
    """
    worker = importlib.import_module("glean.net.ping_upload_worker").PingUploadWorker
    while waiting := set(pending.iterdir()):
        worker._process().wait()
        if waiting <= set(pending.iterdir()):
            raise RuntimeError(f"Glean keeps {len(waiting)} pings: its uploader ran and sent none")


def _glean_type(value: object) -> str:
    return "string" if isinstance(value, str | float) else "quantity"


def _glean_value(value: Any) -> Any:
    return str(value) if isinstance(value, float) else value  # its events know no fractions


def _count_glean(body: bytes) -> int:
    events = json.loads(body).get("events", [])
    return sum(1 for event in events if len(event.get("extra", ())) >= FIELDS)


def _thingsboard_sqlite(work: Work) -> Callable[[], int]:
    module = importlib.import_module("thingsboard_gateway.storage.sqlite.sqlite_event_storage")
    config = {"data_file_path": f"{work.folder}/tb/", "max_read_records_count": work.per_batch}
    storage = module.SQLiteEventStorage(config, Quiet("tb", logging.CRITICAL), threading.Event())
    return _thingsboard(storage, work)


def _thingsboard_file(work: Work) -> Callable[[], int]:
    module = importlib.import_module("thingsboard_gateway.storage.file.file_event_storage")
    config = {
        "data_folder_path": f"{work.folder}/tb/", "max_read_records_count": work.per_batch, "max_file_count": 100,
        "max_records_per_file": 10_000, "max_records_between_fsync": work.per_batch,
    }  # fmt: skip
    storage = module.FileEventStorage(config, Quiet("tb", logging.CRITICAL), threading.Event())
    return _thingsboard(storage, work)


def _thingsboard(storage: Any, work: Work) -> Callable[[], int]:
    connection = http.client.HTTPConnection("127.0.0.1", work.http)

    def run() -> int:
        accepted = 0
        for at_ms, fields in work.readings:
            shape = {"deviceName": fields["serial"], "deviceType": "default",
                     "telemetry": [{"ts": at_ms, "values": fields}]}  # fmt: skip
            accepted += bool(storage.put(json.dumps(shape)))
        sent, idle_since = 0, time.monotonic()
        while sent < accepted and time.monotonic() - idle_since < 15:
            pack = storage.get_event_pack()
            if not pack:
                time.sleep(0.01)
                continue
            body = gzip.compress(("[" + ",".join(pack) + "]").encode(), 6)
            connection.request("POST", "/", body, {"Content-Encoding": "gzip", "Content-Type": "application/json"})
            connection.getresponse().read()
            storage.event_pack_processing_done()
            sent, idle_since = sent + len(pack), time.monotonic()
        return accepted

    return run


def _paho(work: Work) -> Callable[[], int]:
    mqtt = importlib.import_module("paho.mqtt.client")
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="bench")
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", work.mqtt)
    client.loop_start()

    def run() -> int:
        last = []
        for number, (at_ms, fields) in enumerate(work.readings, 1):
            last.append(client.publish("v1/inverter", json.dumps({"at": at_ms, **fields}), qos=1))
            if number % work.per_batch == 0 or number == len(work.readings):
                for sent in last:
                    sent.wait_for_publish(20)
                last.clear()
        client.disconnect()
        client.loop_stop()
        return len(work.readings)

    return run


def _count_paho(body: bytes) -> int:
    return int(len(json.loads(body)) > FIELDS)


def _count_thingsboard(body: bytes) -> int:
    return sum(1 for one in json.loads(body) if len(one["telemetry"][0]["values"]) == FIELDS)


PEERS: Final[dict[str, tuple[Callable[[Work], Callable[[], int]], Callable[[bytes], int]]]] = {
    "opentelemetry": (_opentelemetry, _count_opentelemetry),
    "glean": (_glean, _count_glean),
    "thingsboard sqlite": (_thingsboard_sqlite, _count_thingsboard),
    "thingsboard file": (_thingsboard_file, _count_thingsboard),
    "paho-mqtt": (_paho, _count_paho),
}

if __name__ == "__main__":
    main(sys.argv[1:])
