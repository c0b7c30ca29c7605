"""
The program whose clock is taken from it: a gateway that does what it is told on its standard input.

``record N COUNT`` records readings N to N+COUNT-1 and flushes; ``drain S`` sends for up to S seconds; ``end`` stops
cleanly, the end of the input does not. Each answer is a line of JSON: what waits, and what was counted.
"""

from __future__ import annotations

import json
import os
import sys

from edge_sdk import Gateway
from tests.site import reading


def main(toml: str) -> None:
    """
    Obey until told to end.
    """
    with Gateway.open(toml) as gateway:
        answer(gateway)
        for line in sys.stdin:
            taken = 0
            match line.split():
                case ["record", first, count]:
                    numbers = range(int(first), int(first) + int(count))
                    taken = sum(gateway.record("inverter", reading(number)) > 0 for number in numbers)
                    gateway.flush()
                case ["drain", seconds]:
                    gateway.drain(float(seconds))
                case _:
                    return
            answer(gateway, taken)
        os._exit(0)  # as the power going: what is flushed is there, and nothing is said


def answer(gateway: Gateway, taken: int = 0) -> None:
    outbox = gateway._running.site.line.rooms.outbox
    keys = gateway._running.site.line.rooms.vault.ring.purposes

    def told(_: object) -> dict[str, int]:
        rows = sum(held.last - held.first + 1 for queue in outbox.queues.values() for held in queue.values())
        waiting = sum(pending.rows for row in outbox.streams() for pending in outbox.pending(row.id))
        return {"rows": rows + waiting, "keys": len(keys), "taken": taken}

    print(json.dumps(gateway._running.on_writer(told)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
