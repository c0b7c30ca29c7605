"""
The relay carries every byte and keeps every byte, in both directions.
"""

from __future__ import annotations

import os
import socket
import threading

from edge_sdk.cli.demo_relay import Relay


def answer_reversed(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        heard = b""
        while not heard.endswith(b"END"):
            heard += connection.recv(4096)
        connection.sendall(heard[::-1])


def test_what_is_kept_is_what_was_carried() -> None:
    said = os.urandom(300_000) + b"END"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer_reversed, args=(listener,))
        server.start()
        with Relay(listener.getsockname()[1]) as relay:
            with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
                client.sendall(said)
                heard = b""
                while chunk := client.recv(65536):
                    heard += chunk
            server.join()
    assert heard == said[::-1]
    assert (relay.sent, relay.received) == ([said], [heard])


def test_a_target_that_is_not_there_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Relay(port) as relay, socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
        assert client.recv(1) == b""


def test_connections_that_are_left_open_do_not_hold_it_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Relay(listener.getsockname()[1]) as relay:
        client = socket.create_connection(("127.0.0.1", relay.port), timeout=10)
        server, _ = listener.accept()
        client.sendall(b"half a request")
        assert server.recv(100) == b"half a request"
    client.close()
    server.close()
    assert relay.sent == [b"half a request"]


def test_without_a_target_a_connection_is_ended_and_not_kept() -> None:
    with Relay() as relay, socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
        assert client.recv(1) == b""
        assert relay.connections == []


def test_it_knows_when_a_request_was_seen_and_when_its_answer_began() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Relay(listener.getsockname()[1]) as relay:
        with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
            client.sendall(b"GET /one HTTP/1.1\r\n\r\n")
            server, _ = listener.accept()
            server.recv(100)
            assert relay.asked(b"GET /one ") != []
            assert relay.answered(b"GET /one ") == []
            server.sendall(b"answer")
            assert client.recv(100) == b"answer"
        server.close()
        (asked,), (answered,) = relay.asked(b"GET /one "), relay.answered(b"GET /one ")
    assert answered >= asked
