"""
What an integrator writes in an hour: SQLite, JSON, gzip, POST, delete. No minimising, no encryption.

This is the unit x that ratios are given in. Durable as the line is: synchronous=FULL, one commit a batch.
"""

from __future__ import annotations

import gzip
import http.client
import json
import sqlite3
from typing import Any


def run_script(path: str, port: int, readings: list[tuple[int, dict[str, Any]]], per_batch: int) -> int:
    """
    Keep, send and forget *readings*; return the bytes of the bodies sent.
    """
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE queue(id INTEGER PRIMARY KEY, body TEXT)")
    connection = http.client.HTTPConnection("127.0.0.1", port)
    sent = 0
    for start in range(0, len(readings), per_batch):
        part = readings[start : start + per_batch]
        db.execute("BEGIN")
        db.executemany("INSERT INTO queue(body) VALUES(?)", ((json.dumps({"at": at, **f}),) for at, f in part))
        db.execute("COMMIT")
        rows = db.execute("SELECT id, body FROM queue ORDER BY id LIMIT ?", (per_batch,)).fetchall()
        body = gzip.compress(("[" + ",".join(row[1] for row in rows) + "]").encode(), 6)
        connection.request("POST", "/", body, {"Content-Encoding": "gzip", "Content-Type": "application/json"})
        if connection.getresponse().read() == b"ok":
            db.execute("DELETE FROM queue WHERE id <= ?", (rows[-1][0],))
            sent += len(body)
    db.close()
    return sent
