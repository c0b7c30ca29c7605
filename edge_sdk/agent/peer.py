"""
One connection of a firmware process: read in turn with the others, answered, never waited for.

Reads at most 64 messages at a time; then others have their turn. While messages come, it looks only once a second:
the kernel keeps what comes meanwhile, and a wake-up costs more than what it brings. Who sends more points than allowed
is not read until its time has come, so that the socket fills and the sender keeps or counts what it cannot send.
Anything that is not as docs/shim_wire.md has it ends the connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
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
LOOK_SOON_S: Final = 0.05  # where so many came at one go that the socket may have been full
HELLO_WITHIN_S: Final = 5.0
TURNS_AT_END: Final = 16  # more than a socket holds; who goes on sending is not read for ever
MESSAGE_COSTS: Final = 8  # points: so that messages without any have their limit too


class Guest(Protocol):
    """
    What a site makes of a connection that it accepted.
    """

    def points(self, said: Batch, now_ms: int) -> None:
        """
        Take points.
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
            self._rest(LOOK_EVERY_S if self._came + messages <= MESSAGES_AT_ONCE // 2 else LOOK_SOON_S)
        self._came = self._came + messages if self._is_listening else 0

    def _listen(self) -> None:
        if not self._is_listening:
            self._is_listening = True
            self._loop.add_reader(self._socket, self._look)

    def _rest(self, wait_s: float) -> None:
        if self._is_listening:
            self._is_listening = False
            self._loop.remove_reader(self._socket)
        self._timer = self._loop.call_later(wait_s, self._look)

    def _read_some(self) -> tuple[int, int]:
        """
        Read messages until there are none, or enough, and record what they bring; return how many, and what they cost.
        """
        messages = cost = 0
        while messages < MESSAGES_AT_ONCE:
            try:
                message = self._socket.recv(MESSAGE_LIMIT + 1)  # of a longer one the rest is gone: too long already
            except BlockingIOError:
                break
            except OSError:
                message = b""
            if not message:  # the end; a message of no bytes cannot be told from it
                self.end()
                break
            messages += 1
            try:
                cost += self._take(self._decoder.decode(message))
            except Malformed:
                self._refuse()
            if self._is_closed:
                break
        if messages and self._guest is not None:
            self._guest.record()
        return messages, cost

    def _take(self, said: Up | None) -> int:
        guest = self._guest
        if guest is None:
            self._take_hello(said)
            return MESSAGE_COSTS
        match said:
            case Batch():
                guest.points(said, mono_ms())
                return max(said.count, MESSAGE_COSTS)
            case Beat():
                guest.beat(said)
            case Source() | Text():
                guest.declare(said)
            case Wiped():
                guest.wiped(said)
            case None:
                guest.unknown()
            case Hello():
                raise Malformed("shim message: a second HELLO")
        return MESSAGE_COSTS

    def _take_hello(self, said: Up | None) -> None:
        if not isinstance(said, Hello):
            raise Malformed("shim message: the first one is HELLO")
        self._guest = self._greet(self, said)
        if self._guest is None:
            self.end()

    def _refuse(self) -> None:
        self.tell(encode_bye(Bye.PROTOCOL))
        self.end()

    def _check_hello(self) -> None:
        if self._guest is None:
            self.end()
