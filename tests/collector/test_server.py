"""
The collector as a process of its own: real HTTP, real SQLite, hostile requests, kill -9.
"""

from __future__ import annotations

import hashlib
import secrets
import signal
import socket
from pathlib import Path

import pytest

from edge_sdk.collector import open_rows
from edge_sdk.collector.intake import Answer, Request
from edge_sdk.collector.operating import cancel, endings
from edge_sdk.collector.rotation import Rotation, rotate_root
from edge_sdk.core import messages
from edge_sdk.core.claims import Role
from edge_sdk.core.documents import accept_recipients, pinned_root
from edge_sdk.core.envelope import ENVELOPE_LIMIT
from edge_sdk.core.receipt import Kind, PurposeUse
from tests.collector.household import Household, found
from tests.collector.served import MONITORING, Running, now_s, sealed, start, stop


def test_a_batch_is_receipted_and_again_when_it_comes_again(served: Running, home: Household) -> None:
    body, batch_id = sealed(home)
    for _ in range(2):
        status, answer = served.ask(home.request("POST", "/v1/batches", body, now_s()))
        assert status == 200
        outcome = home.judged(Answer(status, answer), body, batch_id)
        assert outcome.kind is Kind.ACKED


def test_another_body_under_the_same_id_gets_no_receipt(served: Running, home: Household) -> None:
    body, batch_id = sealed(home)
    assert served.ask(home.request("POST", "/v1/batches", body, now_s()))[0] == 200
    stream = home.stream(MONITORING, now_s())
    other = home.batch(MONITORING, stream, [], now_s=now_s(), batch_id=batch_id)
    assert served.ask(home.request("POST", "/v1/batches", other, now_s())) == (409, b"")


def test_the_waiting_downlink_has_the_hash_that_receipts_carry(served: Running, home: Household) -> None:
    body, batch_id = sealed(home)
    status, answer = served.ask(home.request("POST", "/v1/batches", body, now_s()))
    outcome = home.judged(Answer(status, answer), body, batch_id)
    status, downlink = served.ask(home.request("GET", "/v1/downlink", b"", now_s()))
    assert hashlib.sha256(downlink).digest() == outcome.downlink_hash
    assert home.hear(downlink, now_s()).epoch == now_s() // 86_400


def test_a_stranger_gets_nothing(served: Running, home: Household) -> None:
    stranger = Household(served.founded.root, served.founded.recipients)
    body, _ = sealed(home)
    for method, path in (("POST", "/v1/batches"), ("POST", "/v1/control")):
        assert served.ask(stranger.request(method, path, body, now_s())) == (401, b"")
        assert served.ask(Request(method, path, None, body)) == (401, b"")
    assert served.ask(stranger.request("GET", "/v1/downlink", b"", now_s())) == (401, b"")


def test_a_mac_for_another_body_gets_nothing(served: Running, home: Household) -> None:
    body, _ = sealed(home)
    header = home.request("POST", "/v1/batches", body, now_s()).authorization
    assert served.ask(Request("POST", "/v1/batches", header, body[:-1])) == (401, b"")


def test_a_body_beyond_the_format_is_not_read_to_its_end(served: Running, home: Household) -> None:
    body = bytes(ENVELOPE_LIMIT + 1)
    status, answer = served.ask(home.request("POST", "/v1/batches", body, now_s()))
    assert (status, answer) == (413, b"")


def test_a_control_message_is_receipted(served: Running, home: Household) -> None:
    message_id = secrets.token_bytes(16)
    body = messages.seal_control(
        messages.Control(home.generation, now_s(), None, messages.LedgerHead()),
        seed=home.signing, recipient=home.root.enrolment, message_id=message_id, content_alg=3,
        cek=secrets.token_bytes(32), iv=secrets.token_bytes(12),
    )  # fmt: skip
    status, answer = served.ask(home.request("POST", "/v1/control", body, now_s()))
    assert home.judged(Answer(status, answer), body, message_id).kind is Kind.ACKED


def test_a_batch_sent_as_a_control_message_is_refused_with_a_signature(served: Running, home: Household) -> None:
    body, batch_id = sealed(home)
    status, answer = served.ask(home.request("POST", "/v1/control", body, now_s()))
    assert home.judged(Answer(status, answer), body, batch_id).kind is Kind.REFUSED


def test_root_and_recipients_are_served_to_anyone(served: Running) -> None:
    _, root = served.ask(Request("GET", "/v1/root/1", None, b""))
    assert pinned_root(root) == served.founded.root
    _, recipients = served.ask(Request("GET", "/v1/recipients", None, b""))
    document = accept_recipients(recipients, root=served.founded.root, newest=None, now_s=now_s())
    assert document.keys == served.founded.recipients
    assert served.ask(Request("GET", "/v1/root/2", None, b""))[0] == 404


def test_a_root_rotated_beside_the_running_server_is_served_and_signs_at_once(tmp_path: Path) -> None:
    running = start(tmp_path / "c", found(tmp_path / "c"))
    home = running.household()
    for version in (2, 3):
        rotation = Rotation([Role.RECEIPT, Role.STATEMENT])
        rotate_root(running.folder, rotation, now_s=now_s(), draw=secrets.token_bytes)
        for each in range(1, version + 1):
            status, bundle = running.ask(Request("GET", f"/v1/root/{each}", None, b""))
            assert (status, pinned_root(bundle).version) == (200, each)
        home.step(bundle)
        status, downlink = running.ask(home.request("GET", "/v1/downlink", b"", now_s()))
        home.hear(downlink, now_s())
        body, batch_id = sealed(home)
        status, answer = running.ask(home.request("POST", "/v1/batches", body, now_s()))
        assert home.judged(Answer(status, answer), body, batch_id).kind is Kind.ACKED
    stop(running)


def test_a_wipe_receipt_is_receipted_whatever_its_size_and_read_by_the_operator(tmp_path: Path) -> None:
    running = start(tmp_path / "c", found(tmp_path / "c"))
    home = running.household()
    order = cancel(running.folder, home.generation, not_before_s=None, now_s=now_s())
    _, downlink = running.ask(home.request("GET", "/v1/downlink", b"", now_s()))
    heard = home.order(home.hear(downlink, now_s()), now_s())
    assert heard.nonce == order.nonce
    streams = tuple(secrets.token_bytes(16) for _ in range(4096))
    uses = [PurposeUse("monitoring", (b"k" * 8,), streams) for _ in range(3)]
    message_id = secrets.token_bytes(16)
    body = home.control(home.receipt(heard, uses=uses), message_id=message_id)
    assert len(body) > 200_000
    status, answer = running.ask(home.request("POST", "/v1/control", body, now_s()))
    assert home.judged(Answer(status, answer), body, message_id).kind is Kind.ACKED
    (erasure,) = endings(running.folder, now_s=now_s()).erasures
    assert erasure.receipt.uses[0].streams == streams
    stop(running)


def test_the_time_is_signed_for_one_nonce(served: Running) -> None:
    nonce = secrets.token_bytes(16)
    status, answer = served.ask(Request("POST", "/v1/time", None, messages.encode_time_request(nonce)))
    assert status == 200
    assert abs(messages.accept_time(answer, root=served.founded.root, nonce=nonce) - now_s()) <= 2
    assert served.ask(Request("POST", "/v1/time", None, b"\xa0"))[0] == 400
    assert served.ask(Request("POST", "/v1/time", None, bytes(65)))[0] == 413


def test_a_wrong_code_is_refused_without_a_word(served: Running) -> None:
    home = Household(served.founded.root, served.founded.recipients)
    wrong = home.enrol_body("0000-0000-0000-0000")
    assert served.ask(Request("POST", "/v1/enrol", None, wrong)) == (403, b"")
    assert served.ask(Request("POST", "/v1/enrol", None, wrong[:-1])) == (400, b"")
    assert served.ask(Request("POST", "/v1/enrol", None, bytes(7000)))[0] == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/batches", 405),
        ("PUT", "/v1/batches", 405),
        ("POST", "/v1/batches?x=1", 404),
        ("POST", "/v1//batches", 404),
        ("POST", "/v1/root/1", 405),
        ("GET", "/v1/root/../recipients", 404),
        ("GET", "/v1/root/%31", 404),
    ],
)
def test_there_are_no_other_endpoints(served: Running, method: str, path: str, status: int) -> None:
    assert served.ask(Request(method, path, None, b""))[0] == status


def test_a_compressed_body_is_not_inflated(served: Running, home: Household) -> None:
    body, _ = sealed(home)
    header = home.request("POST", "/v1/batches", body, now_s()).authorization
    response, _ = served.send("POST", "/v1/batches", body, {"Authorization": header or "", "Content-Encoding": "gzip"})
    assert response.status == 415


def test_bytes_that_are_no_http_do_not_stop_it(served: Running) -> None:
    for noise in (
        b"\x00" * 100 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/batches HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
            connection.sendall(noise)
            connection.recv(1000)
    assert served.ask(Request("GET", "/v1/root/1", None, b""))[0] == 200


def test_a_client_that_leaves_in_the_middle_does_not_stop_it(served: Running, home: Household) -> None:
    header = home.request("POST", "/v1/batches", b"x", now_s()).authorization
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(
            f"POST /v1/batches HTTP/1.1\r\nAuthorization: {header}\r\nContent-Length: 900\r\n\r\n".encode() + b"abc"
        )
    assert served.ask(Request("GET", "/v1/root/1", None, b""))[0] == 200


def test_an_answer_names_no_software_and_is_not_cached(served: Running) -> None:
    response, _ = served.send("GET", "/v1/root/1")
    assert (response.headers["Server"], response.headers["Cache-Control"]) == ("edge-sdk", "no-store")


def test_the_log_has_no_address_tag_or_path(served: Running, home: Household) -> None:
    log = served.log.read_text()
    for word in ("127.0.0.1", "/v1/", home.route(now_s()).tag.hex(), home.generation.hex(), "408000123456"):
        assert word not in log


def test_nothing_that_was_acknowledged_is_lost_to_kill_minus_nine(tmp_path: Path) -> None:
    running = start(tmp_path / "c", found(tmp_path / "c"))
    home = running.household()
    bodies = []
    for power in range(1, 6):
        body, batch_id = sealed(home, power)
        status, answer = running.ask(home.request("POST", "/v1/batches", body, now_s()))
        assert home.judged(Answer(status, answer), body, batch_id).kind is Kind.ACKED
        bodies.append((body, batch_id))
    stop(running, signal.SIGKILL)
    assert sorted(row.scaled["ac_power"] for row in open_rows(running.folder)) == [1, 2, 3, 4, 5]
    again = start(running.folder, running.founded)
    for body, batch_id in bodies:
        status, answer = again.ask(home.request("POST", "/v1/batches", body, now_s()))
        assert home.judged(Answer(status, answer), body, batch_id).kind is Kind.ACKED
    stop(again)
    assert len(list(open_rows(running.folder))) == 5


def test_it_stops_on_sigterm_and_says_so(tmp_path: Path) -> None:
    running = start(tmp_path / "c", found(tmp_path / "c"))
    running.process.send_signal(signal.SIGTERM)
    output, _ = running.process.communicate(timeout=20)
    assert (running.process.returncode, output) == (0, "stopped\n")
