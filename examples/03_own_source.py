"""
A source of your own: asks first what anyone may have, reads only that, and brings its own monotonic times.
"""

import time
from collections.abc import Iterator

from edge_sdk import Gateway, Mono

REGISTERS = {"ac_power": 40084, "frequency": 40086, "temperature": 40103, "dc_current_1": 40097}


def read_register(address: int) -> float:
    """
    Stand in for one Modbus request, which takes a while on a slow bus.
    """
    return {40084: 231.5, 40086: 50.01, 40103: 41.0, 40097: 6.2}[address]


def measured(fields: list[str], polls: int) -> Iterator[tuple[Mono, dict[str, object]]]:
    """
    Yield readings with the instant they were measured at, on a clock that no NTP answer moves.
    """
    for _ in range(polls):
        at = Mono(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000)
        yield at, {"serial": "408000123456", **{field: read_register(REGISTERS[field]) for field in fields}}


def main() -> None:
    """
    Read what some purpose may have, and nothing else.
    """
    with Gateway.open("site.toml") as gateway:
        wanted = [field for field in REGISTERS if gateway.allowed("inverter", field)]
        print(f"registers to read: {', '.join(wanted)}; left alone: {', '.join(sorted(REGISTERS.keys() - wanted))}")
        taken = sum(bool(gateway.record("inverter", fields, at=at)) for at, fields in measured(wanted, polls=3))
        gateway.flush()
        print(f"{taken} of 3 readings taken")


if __name__ == "__main__":
    main()
