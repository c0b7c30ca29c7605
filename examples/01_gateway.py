"""
A gateway's main loop: read, record, flush now and then.

Run it in a folder that `edge-sdk init --local .` made. With the collector running, the rows arrive; without it they
wait on disk, sealed.
"""

from edge_sdk import EdgeError, Gateway

SERIALS = ["408000123456", "408000123457"]


def read_inverter(serial: str, tick: int) -> dict[str, object]:
    """
    Stand in for the radio or the bus that the inverters are on.
    """
    return {"serial": serial, "online": True, "ac_power": 231.5 + tick, "temperature": 41.2, "energy": 4211 + tick}


def main() -> int:
    """
    Record ten polls of two inverters, then send.
    """
    try:
        with Gateway.open("site.toml") as gateway:  # uploads run in the background
            taken = 0
            for tick in range(10):
                for serial in SERIALS:
                    taken += bool(gateway.record("inverter", read_inverter(serial, tick)))
            gateway.flush()  # from here on a power cut costs nothing of this
            print(f"{taken} of 20 readings taken")
            if not taken:
                print(gateway.status().why)
            print(f"{gateway.drain(timeout_s=2, cut=True)} batches wait for the collector")
    except EdgeError as error:
        print(f"{error}\n{error.hint}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
