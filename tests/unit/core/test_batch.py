from __future__ import annotations

import zlib
from typing import Any

import pytest

from edge_sdk.core import cbor
from edge_sdk.core.batch import (
    MAX_GAPS,
    MAX_OFFSET_MS,
    MAX_TABLES_BYTES,
    Batch,
    ClockQuality,
    Gap,
    Reason,
    decode_batch,
    encode_batch,
    merge_gaps,
    rows_of,
)
from edge_sdk.core.policy import ViewField
from edge_sdk.errors import Malformed, Unsupported
from tests.minimising import field, kind_of, view_of
from tests.vectors import world

VIEW = view_of(kind_of(field("power")), ViewField(field("power")))
ROWS = [(1, 5), (2, None)]
BATCH = Batch(world.STREAM_ID, 7, 8, world.DIGEST, world.named("stream key"), tables={0: ROWS})
EMPTY = Batch(world.STREAM_ID, 0, -1, world.DIGEST, world.named("stream key"))


def decoded(payload: bytes) -> Batch:
    return decode_batch(payload, {world.DIGEST: [VIEW]}.get)


def changed(**keys: Any) -> bytes:
    """Return the payload with some of its keys (k1, k2 ...) set, or taken away where the value is ``...``."""
    payload = cbor.decode(encode_batch(BATCH, [VIEW]), 1 << 20)
    assert isinstance(payload, dict)
    payload |= {int(name[1:]): value for name, value in keys.items()}
    return cbor.encode({key: value for key, value in payload.items() if value is not ...})


def deflated(content: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeeze.compress(content) + squeeze.flush()


@pytest.mark.parametrize(
    "batch",
    [
        BATCH,
        EMPTY,
        Batch(
            world.STREAM_ID, 7, 8, world.DIGEST, world.named("stream key"), ClockQuality.FLOOR,
            (Gap(0, 4, None, Reason.QUOTA), Gap(5, None, 3, Reason.LATE), Gap(7, None, None, Reason.POWER)),
            {0: ROWS}, world.named("boot", 16), -MAX_OFFSET_MS, (world.named("before", 16), 12),
        ),
    ],
)  # fmt: skip
def test_a_batch_comes_back_as_it_was(batch: Batch) -> None:
    assert decoded(encode_batch(batch, [VIEW])) == batch


@pytest.mark.parametrize(
    "keys",
    [
        {"k0": 2},
        {"k0": True},
        {"k1": b"short"},
        {"k2": -1},
        {"k2": 6},
        {"k3": 7},
        {"k3": -2},
        {"k4": world.DIGEST[:31]},
        {"k5": 2},
        {"k6": [[0, 1, None, 9]]},
        {"k6": [[0, 1, None]]},
        {"k6": [[5, 4, None, 0]]},
        {"k6": [[5, 6, 2, 0]]},
        {"k6": [[0, None, None, 7]] * (MAX_GAPS + 1)},
        {"k7": b"not deflated"},
        {"k7": b""},
        {"k7": deflated(b"\x80")[:-1]},
        {"k7": deflated(b"\x80") + b"more"},
        {"k7": deflated(b"\x80")},
        {"k9": b"key"},
        {"k10": b"boot"},
        {"k11": MAX_OFFSET_MS + 1},
        {"k12": b"before"},
        {"k12": [bytes(16), -1]},
        {"k12": [bytes(15), 0]},
        {"k8": 1},
        {"k7": ...},
    ],
)
def test_a_payload_no_device_wrote_is_malformed(keys: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        decoded(changed(**keys))


def test_a_bomb_stops_at_the_limit() -> None:
    bomb = deflated(bytes(MAX_TABLES_BYTES + 1))
    assert len(bomb) < 10_000
    with pytest.raises(Malformed, match="inflate"):
        decoded(changed(k7=bomb))


def test_a_payload_beyond_its_limit_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(Malformed, match="longer than"):
        decoded(bytes((1 << 20) + 1))


def test_a_digest_of_no_known_policy_is_told_apart_from_damage() -> None:
    with pytest.raises(Unsupported, match="digest"):
        decode_batch(encode_batch(BATCH, [VIEW]), lambda _: None)


def test_a_batch_says_nothing_of_its_rows() -> None:
    assert "tables" not in repr(BATCH)


# --- gaps


def test_gaps_at_one_place_add_up() -> None:
    late, quota = Gap(5, None, 3, Reason.LATE), Gap(5, 9, None, Reason.QUOTA)
    assert merge_gaps([late, quota, Gap(5, None, 4, Reason.LATE)]) == (quota, Gap(5, None, 7, Reason.LATE))


def test_neighbouring_ranges_become_one() -> None:
    parts = [Gap(10, 12, None, Reason.QUOTA), Gap(11, None, 2, Reason.QUOTA), Gap(13, 20, None, Reason.QUOTA)]
    assert merge_gaps(parts) == (Gap(10, 20, None, Reason.QUOTA), Gap(11, None, 2, Reason.QUOTA))


@pytest.mark.parametrize(
    "pair",
    [
        (Gap(1, 2, None, Reason.QUOTA), Gap(3, 4, None, Reason.TOO_OLD)),
        (Gap(1, 2, None, Reason.QUOTA), Gap(4, 5, None, Reason.QUOTA)),
        (Gap(1, None, 2, Reason.LATE), Gap(2, None, 2, Reason.LATE)),
        (Gap(1, None, 2, Reason.LATE), Gap(1, None, None, Reason.LATE)),
    ],
)
def test_gaps_that_would_lose_something_by_it_are_not_merged(pair: tuple[Gap, Gap]) -> None:
    assert merge_gaps(pair) == pair


def test_unknown_losses_at_one_place_are_told_once() -> None:
    power = Gap(4, None, None, Reason.POWER)
    assert merge_gaps([power, power, power]) == (power,)


def test_a_full_list_merges_the_closest_and_loses_no_count() -> None:
    apart = [Gap(at * at, at * at + 1, None, Reason.QUOTA) for at in range(2, 100)]
    power = [Gap(at, None, None, Reason.POWER) for at in range(50)]
    merged = merge_gaps([*apart, *power])
    assert len(merged) == MAX_GAPS
    assert sum(rows_of(gap) or 0 for gap in merged) == 2 * len(apart)
    assert any(gap.reason is Reason.POWER and rows_of(gap) is None for gap in merged)


def test_the_order_gaps_are_told_in_does_not_matter() -> None:
    gaps = [Gap(at % 7, None, at, Reason(at % 3)) for at in range(1, 60)]
    assert merge_gaps(gaps) == merge_gaps(gaps[::-1])
