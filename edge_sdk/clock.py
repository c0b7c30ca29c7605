"""
The only reader of time.

*Monotonic* time runs while the board is powered, suspend included. The *floor* is the newest signed time the device
has accepted plus monotonic time since; it never comes from RTC, NTP or a receipt. *Wall* time is the system clock,
or the floor where the clock lies below it, or what signed time was heard in this boot where the clock is over an hour
off that. What closes (expiry, freshness, tags, row times) uses the wall; what
destroys (retention, pseudonym periods) uses the floor only, so that no spoofed clock destroys anything (SPEC 8).

Time passes between two looks by the monotonic clock alone: a system clock that is set anew counts from the next look
on, so that all rows between two looks are timed by the same thing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from edge_sdk.core.batch import ClockQuality


@dataclass(frozen=True, slots=True)
class Now:
    """
    One look at all clocks, in milliseconds.

    ``quality`` is what the wall rests on. ``astray_ms`` is what the system clock lacks of the wall, None where it is
    the wall. ``ahead_ms`` is by how much the floor exceeds what a signed answer of this boot says.
    """

    mono_ms: int
    wall_ms: int
    floor_ms: int
    quality: ClockQuality = ClockQuality.WALL
    astray_ms: int | None = None
    ahead_ms: int = 0

    @property
    def origin_ms(self) -> int:
        """
        Return the wall time at the board's power-on: what changes only when a clock is set.
        """
        return self.wall_ms - self.mono_ms

    @property
    def wall_s(self) -> int:
        """
        Return the wall time in whole seconds, as documents and epochs count it.
        """
        return self.wall_ms // 1000


TRUSTED_WITHIN_MS = 3_600_000  # a system clock further off a signed time than this is not used
CUT_MS = 1  # what whole milliseconds leave open about the distance of two clocks
BEHIND_MS = 60_000  # a system clock no further below the floor was set: the signer's runs ahead of it, that is all


class Clock:
    """
    Reads the board's clocks against a floor.

    Args:
        floor_ms: the floor as it was stored; 0 for none.
    """

    def __init__(self, floor_ms: int = 0) -> None:
        self._base_ms = floor_ms
        self._base_mono_ms = mono_ms()
        self._heard: tuple[int, int] | None = None
        self._origin_ms = 0

    def now(self) -> Now:
        """
        Return what time it is now by every clock.
        """
        mono = mono_ms()
        floor = self._base_ms + mono - self._base_mono_ms if self._base_ms else 0
        wall = self._system_ms(mono)
        if self._heard is not None:
            told = self._heard[0] + mono - self._heard[1]
            signed, ahead = max(floor, told), max(0, floor - told)
            if abs(wall - signed) > TRUSTED_WITHIN_MS:
                return Now(mono, signed, floor, astray_ms=signed - wall, ahead_ms=ahead)
            return Now(mono, max(wall, floor), floor, ahead_ms=ahead)
        if wall < floor - BEHIND_MS:
            return Now(mono, floor, floor, ClockQuality.FLOOR, floor - wall)
        return Now(mono, max(wall, floor), floor)

    def _system_ms(self, mono: int) -> int:
        """
        Return the system clock, by the power-on it told before unless that moved.

        Both clocks are cut to whole milliseconds, so their distance comes out a millisecond apart from one look to the
        next; two readings of one source would then lie further apart, or closer, than they were measured.
        """
        origin = time.time_ns() // 1_000_000 - mono
        if abs(origin - self._origin_ms) > CUT_MS:
            self._origin_ms = origin
        return mono + self._origin_ms

    def hear(self, signed_ms: int) -> None:
        """
        Take a signed answer to this boot's own question for the time; it corrects the wall, never the floor.
        """
        self._heard = (signed_ms, mono_ms())

    def raise_floor(self, signed_ms: int) -> None:
        """
        Lift the floor to a time that an accepted signed document states.
        """
        if signed_ms > self.now().floor_ms:
            self._base_ms, self._base_mono_ms = signed_ms, mono_ms()


def wall_s() -> int:
    """
    Return the system clock in Unix seconds, for commands that have no site and so no floor.
    """
    return time.time_ns() // 1_000_000_000


def suspended_ms() -> int:
    """
    Return how long the board slept in this boot: what :func:`mono_ms` counts and CLOCK_MONOTONIC does not.
    """
    return mono_ms() - time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000


def mono_ms() -> int:
    """
    Return the monotonic clock of this boot, suspend included, in milliseconds.
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
