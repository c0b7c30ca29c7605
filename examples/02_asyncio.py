"""
The same gateway object in an asyncio program: uploads run in its event loop, beside everything else.
"""

import asyncio

from edge_sdk import Gateway


async def poll(gateway: Gateway) -> int:
    """
    Read the meter five times; record() neither waits for the disk nor for the network, so it is called as it is.
    """
    taken = 0
    for tick in range(5):
        reading = {"serial": "408000123456", "ac_power": 180.0 + tick, "energy": 4300 + tick}
        taken += bool(gateway.record("inverter", reading))
        await asyncio.sleep(0.1)
    return taken


async def main() -> None:
    """
    Poll and upload at the same time, then stop uploading; what is not sent yet waits for the next start.
    """
    async with Gateway.open("site.toml") as gateway:
        uploads = asyncio.create_task(gateway.run())
        print(f"{await poll(gateway)} of 5 readings taken")
        await asyncio.to_thread(gateway.flush)  # waits for the disk, so it goes to a thread
        left = await asyncio.to_thread(gateway.drain, 2.0, cut=True)
        print(f"{left} batches wait for the collector")
        uploads.cancel()
        await asyncio.gather(uploads, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
