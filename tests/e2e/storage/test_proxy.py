# SPDX-License-Identifier: Apache-2.0
"""The proxy of the tests of storage does to connections what it is told."""
import socket
import threading
import time

import chimera as kit
import pytest
from proxy import Proxy

ONCE = True  # see ../conftest.py


class Echo:
    """Answers each line with the same line; `lines`: all that came."""

    def __init__(self):
        self.lines = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            with s, s.makefile("rwb") as f:
                for line in f:
                    self.lines.append(line)
                    f.write(line)
                    f.flush()
        except OSError:
            pass


@pytest.fixture
def echo():
    e = Echo()
    yield e
    e.listener.close()


@pytest.fixture
def proxy(echo):
    with Proxy(echo.port) as p:
        yield p


class Client:
    def __init__(self, proxy):
        self.s = socket.create_connection(("127.0.0.1", proxy.port), timeout=kit.DEADLINE)
        self.f = self.s.makefile("rb")

    def ask(self, line):
        self.s.sendall(line)
        return self.f.readline()

    def close(self):
        self.f.close()
        self.s.close()


def test_bytes_pass_and_are_counted(proxy):
    c = Client(proxy)
    assert c.ask(b"hello\n") == b"hello\n"
    assert (proxy.connections, proxy.open, proxy.bytes_up, proxy.bytes_down) == (1, 1, 6, 6)
    c.close()
    kit.wait_for(lambda: proxy.open == 0, "the proxy to see the end")


def test_slices_and_latency_hold_for_a_connection_that_stands(proxy):
    c = Client(proxy)
    c.ask(b"x\n")
    proxy.slices = 1
    proxy.latency = 0.05
    began = time.monotonic()
    assert c.ask(b"slowly\n") == b"slowly\n"
    assert time.monotonic() - began > 0.1


def test_what_is_held_comes_later(proxy, echo):
    c = Client(proxy)
    proxy.held = True
    c.s.sendall(b"later\n")
    c.s.settimeout(0.1)
    with pytest.raises(TimeoutError):
        c.s.recv(10)
    assert not echo.lines
    c.s.settimeout(kit.DEADLINE)
    proxy.held = False
    assert c.s.recv(10) == b"later\n"


def test_a_hole_takes_connections_and_never_answers(proxy, echo):
    proxy.accepting = "hole"
    c = Client(proxy)
    c.s.settimeout(0.1)
    with pytest.raises(TimeoutError):
        c.ask(b"x\n")
    assert proxy.open == 1 and not echo.lines
    proxy.heal()
    assert Client(proxy).ask(b"y\n") == b"y\n"


def test_a_port_can_refuse_and_listen_again(proxy):
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        Client(proxy)
    proxy.listen()
    assert Client(proxy).ask(b"y\n") == b"y\n"
    proxy.accepting = "reset"
    with pytest.raises(ConnectionError):
        assert Client(proxy).ask(b"y\n") != b""


def test_a_reset_comes_behind_so_many_bytes_of_either_way(proxy, echo):
    c = Client(proxy)
    c.ask(b"before\n")
    done = proxy.reset(up=3)
    with pytest.raises(ConnectionError):
        assert c.ask(b"abcdef\n") != b""
    assert done.wait(kit.DEADLINE) and proxy.bytes_up == 10
    done = proxy.reset(down=2)
    c = Client(proxy)
    with pytest.raises(ConnectionError):
        assert c.ask(b"whole\n") == b""
    assert done.is_set() and proxy.resets == 2 and echo.lines[-1] == b"whole\n"


def test_an_answer_is_lost_when_the_request_has_gone_through(proxy, echo):
    c = Client(proxy)
    done = proxy.lose_answer(after=b"COMMIT")
    assert c.ask(b"BEGIN\n") == b"BEGIN\n"
    with pytest.raises(ConnectionError):
        assert c.ask(b"COMMIT\n") != b""
    assert done.is_set() and echo.lines == [b"BEGIN\n", b"COMMIT\n"] and proxy.bytes_down == 6


def test_one_byte_is_corrupted(proxy):
    c = Client(proxy)
    done = proxy.corrupt(down=2)
    assert c.ask(b"aaaa\n") == b"aa\x9eaa"[:4] + b"\n"
    assert done.is_set() and c.ask(b"aaaa\n") == b"aaaa\n"


def test_cut_resets_what_is_open(proxy):
    c = Client(proxy)
    c.ask(b"x\n")
    proxy.cut()
    with pytest.raises(ConnectionError):
        assert c.s.recv(10) != b""
    assert proxy.open == 0 and proxy.resets == 1
