"""
One connection of a firmware process: read in turn with the others, answered, never waited for.

Reads at most 64 messages at a time; then others have their turn. While messages come, it looks once a second, or more
or less often, up to three seconds apart, so that each look brings about as many as half fill a socket: the kernel keeps
what comes meanwhile, and a wake-up costs more than what a message does. Who sends more points than allowed
is not read until its time has come, so that the socket fills and the sender keeps or counts what it cannot send.
Anything that is not as docs/shim_wire.md has it ends the connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final, Protocol

from edge_sdk.clock import mono_ms
from edge_sdk.core.shim_wire import (
    MESSAGE_LIMIT,
    Batch,
    Beat,
    Bye,
    Decoder,
    Hello,
    Source,
    Text,
    Up,
    Wiped,
    encode_bye,
)
from edge_sdk.errors import Malformed

MESSAGES_AT_ONCE: Final = 64
LOOK_EVERY_S: Final = 1.0
LOOK_SOON_S: Final = 0.05  # at least, however many come
LOOK_LATE_S: Final = 3.0  # at most, however few come: what a killed agent had not read is lost
FEW: Final = 8  # messages of one look; who sends so few waits a second for the last reading to be complete
WANTED: Final = 40  # messages of one look; a socket with the kernel's usual buffer holds over 70 of 64 points
HELLO_WITHIN_S: Final = 5.0
TURNS_AT_END: Final = 16  # more than a socket holds; who goes on sending is not read for ever
MESSAGE_COSTS: Final = 8  # points: so that messages without any have their limit too


class Guest(Protocol):
    """
    What a site makes of a connection that it accepted.
    """

    def points(self, said: Sequence[Batch], now_ms: int) -> None:
        """
        Take the points of messages that came together.
        """

    def beat(self, said: Beat) -> None:
        """
        Take counters.
        """

    def declare(self, said: Source | Text) -> None:
        """
        Take what a slot is, or carries.
        """

    def wiped(self, said: Wiped) -> None:
        """
        Take the firmware's answer to a wipe.
        """

    def unknown(self) -> None:
        """
        Count a message of a later version.
        """

    def record(self) -> None:
        """
        Hand over what is complete.
        """

    def complete(self, now_ms: int) -> int | None:
        """
        Hand over what is complete, or was not added to for a second; return when more will be, None for nothing open.
        """

    def leave(self) -> None:
        """
        Take note that the connection has ended.
        """


Greet = Callable[["Peer", Hello], Guest | None]


class Bucket:
    """
    How many points a connection may still bring.
    """

    def __init__(self, per_s: int, now_ms: int) -> None:
        self._per_s = per_s
        self._most = 2.0 * per_s + 64 * MESSAGE_COSTS
        self._left = self._most
        self._at_ms = now_ms

    def take(self, points: int, now_ms: int) -> float:
        """
        Take *points* and return for how many seconds to stop reading, 0 for not at all.
        """
        self._left = min(self._most, self._left + (now_ms - self._at_ms) * self._per_s / 1000) - points
        self._at_ms = now_ms
        return 0.0 if self._left > 0 else -self._left / self._per_s + LOOK_EVERY_S / 2


def rest_s(rested_s: float, came: int) -> float:
    """
    Return for how many seconds to leave messages in the socket, so that about as many come as are wanted.

    Args:
        rested_s: for how long they were left before; 0 where each was read when it came.
        came: how many were found.
    """
    if not rested_s or came < FEW:
        return LOOK_EVERY_S if came <= WANTED else LOOK_SOON_S
    return min(max(rested_s * WANTED / came, LOOK_SOON_S), LOOK_LATE_S)


class Peer:
    """
    One connection.

    Args:
        greet: answers its HELLO and returns who takes its messages, None when it was refused.
        gone: is told when it has ended, once.
    """

    def __init__(
        self, connection: socket.socket, *, points_per_s: int, greet: Greet, gone: Callable[[Peer], None]
    ) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._greet = greet
        self._gone = gone
        self._guest: Guest | None = None
        self._decoder = Decoder()
        self._bucket = Bucket(points_per_s, mono_ms())
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self.is_eager = False  # an answer is waited for: look at once
        self._is_listening = False
        self._came = 0  # messages since the last rest
        self._rested_s = 0.0  # before what is read now; 0 while every message is read as it comes
        self._listen()
        self._late = self._loop.call_later(HELLO_WITHIN_S, self._check_hello)

    def tell(self, message: bytes) -> None:
        """
        Send a message; a peer that leaves no room for it is left.
        """
        if self._is_closed:
            return
        try:
            self._socket.send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            self.end()

    def look_at_once(self) -> None:
        """
        Read as soon as something comes, also where it came twice a second until now.
        """
        self.is_eager = True
        if self._timer is not None and not self._is_closed:
            self._timer.cancel()
            self._timer = None
            self._listen()

    def close(self, reason: Bye) -> None:
        """
        Read what is there, say good-bye and end.
        """
        if self._guest is not None:
            for _ in range(TURNS_AT_END):
                if self._is_closed or not self._read_some()[0]:
                    break
        self.tell(encode_bye(reason))
        self.end()

    def end(self) -> None:
        """
        End the connection; harmless when it has ended.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._socket)
        for timer in (self._timer, self._late):
            if timer is not None:
                timer.cancel()
        self._socket.close()
        if self._guest is not None:
            self._guest.leave()
        self._gone(self)

    def _look(self) -> None:
        """
        Read a turn's worth, then decide when to look again.
        """
        self._timer = None
        messages, cost = self._read_some()
        if self._is_closed:
            return
        now_ms = mono_ms()
        wait_s = self._bucket.take(cost, now_ms)
        due_ms = None if self._guest is None else self._guest.complete(now_ms)
        if wait_s:
            self._rest(wait_s)
        elif self._guest is None or self.is_eager or messages == MESSAGES_AT_ONCE or (messages < 2 and due_ms is None):
            self._listen()  # also after one that left nothing open, such as a BEAT: a rest would be a wake-up more
        else:
            self._rest(rest_s(self._rested_s, self._came + messages))
        self._came = self._came + messages if self._is_listening else 0

    def _listen(self) -> None:
        if not self._is_listening:
            self._is_listening, self._rested_s = True, 0.0
            self._loop.add_reader(self._socket, self._look)

    def _rest(self, wait_s: float) -> None:
        if self._is_listening:
            self._is_listening = False
            self._loop.remove_reader(self._socket)
        self._rested_s = wait_s
        self._timer = self._loop.call_later(wait_s, self._look)

    def _read_some(self) -> tuple[int, int]:
        """
        Read messages until there are none, or enough, and record what they bring; return how many, and what they cost.
        """
        said, is_over, is_wrong = self._hear()
        cost = 0
        try:
            for _, several in groupby(said if self._guest is not None else self._greeted(said), type):
                if self._is_closed:
                    break
                cost += self._take(list(several))
        except Malformed:
            is_wrong = True
        if said and self._guest is not None and not self._is_closed:
            self._guest.record()
        if is_wrong:
            self.tell(encode_bye(Bye.PROTOCOL))
        if is_wrong or is_over:
            self.end()
        return len(said), cost

    def _hear(self) -> tuple[list[Up | None], bool, bool]:
        """
        Return what the messages say that have come, as many as one turn takes; whether the end is behind them, and
        whether something is that is no message.
        """
        said: list[Up | None] = []
        recv, decode = self._socket.recv, self._decoder.decode
        try:
            while len(said) < MESSAGES_AT_ONCE:
                message = recv(MESSAGE_LIMIT + 1)  # of a longer one the rest is gone: too long already
                if not message:  # the end; a message of no bytes cannot be told from it
                    return said, True, False
                said.append(decode(message))
        except BlockingIOError:
            return said, False, False
        except OSError:
            return said, True, False
        except Malformed:
            return said, True, True
        return said, False, False

    def _take(self, several: Sequence[Up | None]) -> int:
        """
        Take messages of one type that came together; return what they cost.
        """
        guest = self._guest
        assert guest is not None
        if batches := [one for one in several if isinstance(one, Batch)]:
            guest.points(batches, mono_ms())
            return sum([one.count if one.count > MESSAGE_COSTS else MESSAGE_COSTS for one in batches])
        for said in several:
            match said:
                case Beat():
                    guest.beat(said)
                case Source() | Text():
                    guest.declare(said)
                case Wiped():
                    guest.wiped(said)
                case None:
                    guest.unknown()
                case _:
                    raise Malformed("shim message: a second HELLO")
        return len(several) * MESSAGE_COSTS

    def _greeted(self, said: list[Up | None]) -> list[Up | None]:
        """
        Take the HELLO that *said* begins with; return the rest, which is for nobody where it was refused.
        """
        if not said:
            return said
        if not isinstance(said[0], Hello):
            raise Malformed("shim message: the first one is HELLO")
        self._guest = self._greet(self, said[0])
        if self._guest is None:
            self.end()
            return []
        return said[1:]

    def _check_hello(self) -> None:
        if self._guest is None:
            self.end()
