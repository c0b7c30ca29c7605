"""
A device that was wiped and enrolled again, on the same folder with the same readings: does anything link the two?

A real gateway, a real collector process, real sockets, and a relay that keeps every byte either way. Both lives fall on
one day, so that tags do not differ by their epoch; the receipt of the wipe is delivered late, during the second life.
A string of 8 bytes is what can be searched for; what may recur is listed here, byte for byte. Of a string that runs
over the edge of something listed, up to 3 bytes recur by chance: it counts when 4 of its bytes or more are not listed.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest

from edge_sdk import Gateway
from edge_sdk.cli.demo_relay import Carried, Piece, Relay
from edge_sdk.clock import wall_s
from edge_sdk.collector import folder as collecting
from edge_sdk.collector import operating
from edge_sdk.core import cbor, labels
from edge_sdk.core.envelope import outer
from edge_sdk.core.keys import parse_authorization
from edge_sdk.enrol import enrol
from edge_sdk.http_transport import HttpTransport
from edge_sdk.vault import read_lane
from tests import site as sites
from tests.privacy.test_unlinkable import header, strings_in, taken_apart
from tests.site import LocalSite, reading

READINGS = 300
WAIT_S = 20
MOST = 5  # of 8 bytes
AT_MS = 1_000 * 60
TYPES = {"/v1/batches": labels.TYP_BATCH, "/v1/control": labels.TYP_CONTROL, "/v1/enrol": labels.TYP_ENROL}
KEPT_FROM_DEATH = "lane.0.bin"


@dataclass(frozen=True)
class Sent:
    """One request as it was on the wire, taken apart."""

    head: bytes
    body: bytes

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def parts(self) -> list[bytes]:
        """Return every byte, tag and MAC as the bytes that they write in hexadecimal."""
        return [self.constant_head + self.body, *parse_authorization(self.authorization)]

    @property
    def authorization(self) -> str:
        found = re.search(rb"Authorization: ([^\r]+)", self.head)
        return found[1].decode() if found else f"Edge {secrets.token_hex(16)}:{secrets.token_hex(32)}"

    @property
    def constant_head(self) -> bytes:
        """Return the head without what tells devices apart: the tag and its MAC."""
        return re.sub(rb"Edge [0-9a-f:]+", b"Edge ", self.head)


@dataclass(frozen=True)
class Life:
    """Everything one generation of a site sent and was answered, answers as (head, body)."""

    sent: tuple[Sent, ...]
    received: tuple[tuple[bytes, bytes], ...]

    @property
    def paths(self) -> set[str]:
        return {each.path for each in self.sent}


@dataclass(frozen=True)
class Lives:
    """Two lives of one site, the receipt in between, another site, and the seconds all of it took."""

    first: Life
    second: Life
    receipt: Life
    other: Life
    seconds: range
    confirmed: int


def messages(pieces: Iterable[Piece]) -> Iterator[tuple[bytes, bytes]]:
    """Yield head and body of each request, or answer, of one connection."""
    stream = b"".join(piece.content for piece in pieces)
    while stream:
        head, end, rest = stream.partition(b"\r\n\r\n")
        assert end
        found = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        length = int(found[1]) if found else 0
        yield head + end, rest[:length]
        stream = rest[length:]


def requests(connection: Carried) -> list[Sent]:
    return [Sent(head, body) for head, body in messages(connection.sent)]


def life_of(connections: Iterable[Carried]) -> Life:
    held = list(connections)
    sent = tuple(request for connection in held for request in requests(connection))
    return Life(sent, tuple(answer for connection in held for answer in messages(connection.received)))


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.02)


def begin(site: LocalSite, relay: Relay, code: str) -> None:
    """Enrol the site over the wire."""
    text = re.sub(r'address = ".*"', f'address = "http://127.0.0.1:{relay.port}"', site.toml.read_text())
    site.toml.write_text(text)

    async def introduce() -> None:
        transport = HttpTransport(site.config.address)
        await enrol(site.config, code, transport)
        await transport.close()

    asyncio.run(introduce())


def live(site: LocalSite, serial: str, at_ms: int, *, die: Callable[[], None] | None = None) -> None:
    """Record, send, withdraw a purpose, tell of it, and, where *die* says that the network is away, wipe."""
    with Gateway.open(site.toml) as gateway:
        for number in range(READINGS):
            gateway.record("inverter", reading(number, serial), at_ms=at_ms + number * AT_MS)
        assert gateway.drain(WAIT_S, cut=True) == 0
        gateway.withdraw("improvement")
        gateway.record("inverter", reading(READINGS, serial), at_ms=at_ms + READINGS * AT_MS)
        assert gateway.drain(WAIT_S) == 0
        line = gateway._running.site.line
        until(lambda: not line.consent.held.to_tell and line.rooms.outbox.first_control() is None)
        if die is not None:
            die()
            gateway.wipe()


def other_site(site: LocalSite) -> LocalSite:
    """Return another site at the same collector, not enrolled yet."""
    folder = site.folder / "other"
    folder.mkdir()
    text = site.toml.read_text().replace("collector/root.cose", "../collector/root.cose")
    (folder / "site.toml").write_text(text)
    shutil.copy(site.folder / "policy.toml", folder / "policy.toml")
    return LocalSite(folder)


def live_twice(site: LocalSite, relay: Relay) -> Lives:
    port, began_s, at_ms = relay.target, wall_s(), (wall_s() - 86_400) * 1000
    shutil.rmtree(site.state)  # of the template: this household enrols over the wire

    def cut_off() -> None:
        relay.target = None

    begin(site, relay, collecting.enrol_code(site.collector, now_s=wall_s()))
    live(site, "S1", at_ms, die=cut_off)
    first = len(relay.connections)
    late = read_lane(site.state, KEPT_FROM_DEATH).receipt
    relay.target = port
    begin(site, relay, collecting.enrol_code(site.collector, now_s=wall_s()))
    live(site, "S1", at_ms)
    until(lambda: not (site.state / KEPT_FROM_DEATH).exists())
    second = len(relay.connections)
    other = other_site(site)
    begin(other, relay, collecting.enrol_code(site.collector, now_s=wall_s()))
    live(other, "T7", at_ms + 7 * AT_MS)
    of_receipt = [each for each in relay.connections[first:second] if any(s.body == late for s in requests(each))]
    return Lives(
        life_of(relay.connections[:first]),
        life_of(each for each in relay.connections[first:second] if each not in of_receipt),
        life_of(of_receipt),
        life_of(relay.connections[second:]),
        range(began_s - 1, wall_s() + 2),
        len(operating.endings(site.collector, now_s=wall_s()).erasures),
    )


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Lives:
    site = sites.local_site(tmp_path_factory.mktemp("lives"))
    with sites.serving(site) as port, Relay(port) as relay:
        return live_twice(site, relay)


# --- what may recur


def constants_sent(life: Life) -> set[bytes]:
    """
    Return what a request holds for every device alike.

    Its head without tag and MAC: method, path, host, user agent, type and length of the body, which is a size class.
    Of its envelope: tag number, algorithms, type, and the kid of the recipient or of the authority's enrolment key.
    """
    found = set()
    for sent in life.sent:
        begin, *pieces = header(outer(sent.body).kid, TYPES[sent.path]) if sent.body else (b"",)
        found |= {sent.constant_head + begin, *pieces}
    return found


def without_length(head: bytes) -> bytes:
    return re.sub(rb"Content-Length: \d+", b"Content-Length: ", head)


def recurring(one: Iterable[bytes], two: Iterable[bytes], *, listed: Iterable[bytes]) -> set[bytes]:
    """Return the strings of 8 bytes that stand in both, less those of which all or most is listed."""
    allowed = {text[at : at + MOST] for text in listed for at in range(len(text) - MOST + 1)}
    found = strings_in(*one) & strings_in(*two)
    return {text for text in found if text[:MOST] not in allowed and text[-MOST:] not in allowed}


def parts(life: Life) -> list[bytes]:
    return [part for sent in life.sent for part in sent.parts]


def test_both_lives_enrolled_sent_batches_and_told_the_authority(lives: Lives) -> None:
    wanted = {"/v1/enrol", "/v1/recipients", "/v1/downlink", "/v1/batches", "/v1/control"}
    assert wanted <= lives.first.paths
    assert wanted <= lives.second.paths
    assert min(len(strings_in(*parts(life))) for life in (lives.first, lives.second)) > 20_000


def test_no_string_of_the_first_life_recurs_in_what_the_second_sends_but_the_listed_constants(lives: Lives) -> None:
    assert recurring(parts(lives.first), parts(lives.second), listed=constants_sent(lives.second)) == set()


def test_what_may_recur_is_in_the_requests_of_another_household_too(lives: Lives) -> None:
    def forms(life: Life) -> set[bytes]:
        return {without_length(constant) for constant in constants_sent(life)}

    assert forms(lives.second) == forms(lives.other)


def test_heads_hold_nothing_else_than_tag_and_mac_that_differs_from_request_to_request(lives: Lives) -> None:
    for sent in (*lives.first.sent, *lives.second.sent):
        names = [line.split(b":", 1)[0] for line in sent.head.split(b"\r\n")[1:] if line]
        assert set(names) <= {b"Host", b"User-Agent", b"Authorization", b"Content-Type", b"Content-Length"}


def test_every_part_of_an_envelope_but_the_listed_ones_is_drawn_or_encrypted(lives: Lives) -> None:
    for sent in (sent for life in (lives.first, lives.second) for sent in life.sent if sent.body):
        assert taken_apart(sent.body)[0] == header(outer(sent.body).kid, TYPES[sent.path])


def test_the_receipt_of_the_first_life_came_during_the_second_on_a_connection_of_its_own(lives: Lives) -> None:
    assert [sent.path for sent in lives.receipt.sent] == ["/v1/control"]
    assert lives.confirmed == 1


def test_the_late_receipt_shares_nothing_with_the_second_life_but_the_listed_constants(lives: Lives) -> None:
    assert recurring(parts(lives.receipt), parts(lives.second), listed=constants_sent(lives.second)) == set()


def test_the_late_receipt_has_the_size_of_other_messages_to_the_authority(lives: Lives) -> None:
    sizes = {len(sent.body) for sent in lives.other.sent if sent.path == "/v1/control"}
    assert {len(sent.body) for sent in lives.receipt.sent} <= sizes


def test_answers_of_the_two_lives_share_public_documents_and_the_time_alone(lives: Lives) -> None:
    def bodies(life: Life) -> list[bytes]:
        return [body for _, body in life.received]

    clock = [b"\x04\x00\x06" + cbor.encode(second) + b"\x58\x40" for second in lives.seconds]  # in receipts
    public = bodies(lives.other)  # the recipients document, heads of downlinks and receipts
    assert recurring(bodies(lives.first), bodies(lives.second), listed=[*clock, *public]) == set()


def test_heads_of_answers_are_the_same_for_another_household(lives: Lives) -> None:
    def heads(life: Life) -> set[bytes]:
        return {re.sub(rb"(Date|Content-Length): [^\r]+", rb"\1: ", head) for head, _ in life.received}

    assert heads(lives.second) <= heads(lives.other)


@pytest.mark.parametrize("planted", ["a tag", "a part of an envelope", "the end of a body"])
def test_the_test_would_see_what_recurs(lives: Lives, planted: str) -> None:
    bodies = [sent.body for sent in lives.first.sent if sent.path == "/v1/batches"]
    pieces = {
        "a tag": lives.first.sent[-1].parts[1],
        "a part of an envelope": taken_apart(bodies[0])[1].ek[5:21],
        "the end of a body": bodies[-1][-16:],
    }
    again = [*parts(lives.second), b"\x00" + pieces[planted] + b"\x00"]
    assert recurring(parts(lives.first), again, listed=constants_sent(lives.second)) != set()
