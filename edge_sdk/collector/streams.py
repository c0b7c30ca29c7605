"""
Which stream keys are genuine: what an authority tells an opener about devices.

One key for each device, purpose, grant and pseudonym period, from the issue of the grant until one period
ahead. The opener gets public keys with the purpose each may speak for, in an order that says nothing, and so
learns neither which streams belong to one device nor how many devices there are. Pure. Not here: storing
(``registry``, ``opened``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from edge_sdk.collector.registry import Device, GrantRow
from edge_sdk.core.cose import public_key_of
from edge_sdk.core.keys import StreamSecret, stream_seed
from edge_sdk.core.policy import Purpose
from edge_sdk.core.pseudonym import period_of
from edge_sdk.core.terms import CROSS_BORDER


def certified_keys(
    devices: Iterable[Device],
    grants: Iterable[GrantRow],
    purposes: Mapping[bytes, Purpose],
    *,
    since_s: int,
    now_s: int,
) -> list[tuple[bytes, str]]:
    """
    Return (public stream key, purpose), sorted by key, which is as good as shuffled.

    Args:
        devices: every device that *grants* may name.
        grants: ended ones among them, since batches may be under way.
        purposes: by digest; a grant of an unknown one certifies nothing.
        since_s: when this was last asked for (Unix seconds), 0 for everything since each grant's issue.
        now_s: Unix seconds.
    """
    secrets = {device.generation: StreamSecret(device.stream_secret) for device in devices}
    keys = []
    for grant in grants:
        if grant.purpose == CROSS_BORDER:  # a consent to transfers has no streams
            continue
        lengths = {purposes[digest].period_ms for digest in grant.digests if digest in purposes}
        periods = {n for ms in lengths for n in _periods(ms, grant, since_s=since_s, now_s=now_s)}
        for period in periods:
            seed = stream_seed(secrets[grant.generation], grant.purpose, grant.id, period)
            keys.append((public_key_of(seed), grant.purpose))
    return sorted(keys)


def _periods(period_ms: int | None, grant: GrantRow, *, since_s: int, now_s: int) -> Iterator[int]:
    if period_ms is None:
        return iter((0,) if grant.ended_s is None or grant.ended_s >= since_s else ())
    until_s = now_s if grant.ended_s is None else min(now_s, grant.ended_s)
    first = period_of(max(grant.issued_s, since_s) * 1000, period_ms)
    # One ahead: a device whose clock runs early may open the next period before this is asked for again.
    return iter(range(first, period_of(until_s * 1000, period_ms) + 2))
