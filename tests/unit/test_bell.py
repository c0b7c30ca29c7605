"""
The bell of a state folder: heard at once, as often as is good, and missed by nobody where it cannot be hung.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edge_sdk import bell, requests
from edge_sdk.gateway import Gateway
from edge_sdk.requests import Asked, Wish
from tests.site import LocalSite

SOON_S = 10
NEVER_MS = 600_000  # how often a gateway looks by itself, where nothing but the bell is to be heard


def rings(folder: Path, during: Callable[[], Awaitable[None]]) -> int:
    """Return how often the bell of a folder is heard meanwhile."""
    count = 0

    def heard() -> None:
        nonlocal count
        count += 1

    async def listen() -> None:
        with bell.hung(folder, heard):
            await during()

    asyncio.run(listen())
    return count


def test_a_ring_is_heard(tmp_path: Path) -> None:
    async def once() -> None:
        bell.ring(tmp_path)
        await asyncio.sleep(0.1)

    assert rings(tmp_path, once) == 1


def test_a_folder_is_rung_for_by_any_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "other").symlink_to("state")

    async def once() -> None:
        bell.ring(tmp_path / "other")
        await asyncio.sleep(0.1)

    assert rings(tmp_path / "state", once) == 1


def test_another_folder_is_not_rung_for(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()

    async def once() -> None:
        bell.ring(tmp_path)
        await asyncio.sleep(0.1)

    assert rings(tmp_path / "state", once) == 0


def test_who_rings_without_end_is_heard_four_times_a_second(tmp_path: Path) -> None:
    async def storm() -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + 1
        while loop.time() < ends:
            for _ in range(50):
                bell.ring(tmp_path)
            await asyncio.sleep(0)

    assert 2 <= rings(tmp_path, storm) <= 5


def test_who_rings_while_nobody_listens_is_heard_right_after(tmp_path: Path) -> None:
    async def twice() -> None:
        bell.ring(tmp_path)
        await asyncio.sleep(0.1)
        bell.ring(tmp_path)
        await asyncio.sleep(0.4)

    assert rings(tmp_path, twice) == 2


def test_to_ring_where_no_bell_hangs_is_harmless(tmp_path: Path) -> None:
    bell.ring(tmp_path)
    bell.ring(tmp_path / "no folder")


def test_for_a_folder_that_nobody_can_look_at_no_bell_is_hung_and_nothing_fails(tmp_path: Path) -> None:
    async def nothing() -> None:
        await asyncio.sleep(0)

    assert rings(tmp_path / "no folder", nothing) == 0


def test_no_descriptor_is_kept_whatever_came_of_the_bell(tmp_path: Path) -> None:
    async def once() -> None:
        bell.ring(tmp_path)

    before = len(os.listdir("/proc/self/fd"))
    for folder in (tmp_path, tmp_path / "no folder") * 3:
        rings(folder, once)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_bell_that_was_taken_down_can_be_hung_again(tmp_path: Path) -> None:
    async def once() -> None:
        bell.ring(tmp_path)
        await asyncio.sleep(0.1)

    assert [rings(tmp_path, once) for _ in range(3)] == [1, 1, 1]


def test_where_the_name_is_taken_no_bell_is_heard_and_nothing_fails(tmp_path: Path) -> None:
    async def inside() -> None:
        assert rings_inside == []
        with bell.hung(tmp_path, lambda: rings_inside.append(1)):
            bell.ring(tmp_path)
            await asyncio.sleep(0.1)

    rings_inside: list[int] = []
    assert rings(tmp_path, inside) == 1
    assert rings_inside == []


def test_a_bell_leaves_no_file(tmp_path: Path) -> None:
    async def look() -> None:
        assert os.listdir(tmp_path) == []

    assert rings(tmp_path, look) == 0


@pytest.mark.parametrize("is_deaf", [False, True])
def test_what_is_asked_of_a_running_gateway_is_done_at_once_where_it_hears(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch, is_deaf: bool
) -> None:
    monkeypatch.setattr("edge_sdk.line.TICK_MS", NEVER_MS)
    site.edit(('jitter = "1ms"', 'jitter = "1d"'))  # what the uplink does would have it look as well
    if is_deaf:
        monkeypatch.setattr(bell, "ring", lambda _: None)

    async def asked() -> bool:
        async with Gateway.open(site.config) as gateway:
            sending = asyncio.create_task(gateway.run())
            await asyncio.sleep(1)  # the first steps of a start are over
            requests.ask(site.state, Asked(Wish.STOP))
            try:
                async with asyncio.timeout(2 if is_deaf else SOON_S):
                    while requests.take_answer(site.state) is None:
                        await asyncio.sleep(0.02)
            except TimeoutError:
                return False
            finally:
                sending.cancel()
        return True

    assert asyncio.run(asked()) is not is_deaf
