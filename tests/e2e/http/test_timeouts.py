# SPDX-License-Identifier: Apache-2.0
"""Slow clients and half-closed connections (FAULTS H23, H24)."""
import time

import chimera as kit
import pytest

CONFIG = {"t_echo": {}, "t_suspend": {}, "t_service": {}, "t_stream": {},
          "server": {"header_timeout": "600ms", "body_timeout": "600ms", "write_timeout": "600ms", "keepalive_timeout": "600ms",
                     "half_close_grace": "500ms"}}
SLACK = kit.DEADLINE / 3


def took(fn, begin):
    """fn()'s value, and the seconds since `begin`, which was before the server's clock began."""
    value = fn()
    return value, time.monotonic() - begin


def test_h23_a_head_that_does_not_come_to_its_end_is_408(server):
    begin = time.monotonic()
    with server.connect() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: te")
        r, seconds = took(c.response, begin)
        r.problem(408, "request_timeout")
        assert not r.keeps
        c.expect_close()
    assert 0.3 < seconds < SLACK


def test_h23_a_head_byte_by_byte_is_bounded_as_a_whole(server):
    """slowloris: each byte is progress, and the head is late all the same."""
    with server.connect() as c:
        c.sock.settimeout(0.05)
        begin = time.monotonic()
        c.send(b"GET / HTTP/1.1\r\n")
        while True:
            assert time.monotonic() - begin < SLACK
            c.send(b"X")
            try:
                if not c.more() or c.buffer:
                    break
            except TimeoutError:
                continue
        c.sock.settimeout(kit.DEADLINE)
        if not c.reset:
            assert c.response().status == 408


def test_h23_a_body_that_stops_is_408(server):
    begin = time.monotonic()
    with server.connect() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello")
        r, seconds = took(c.response, begin)
        r.problem(408, "request_timeout")
        c.expect_close()
    assert 0.3 < seconds < SLACK
    assert server.metric("http_requests_total", status=408) >= 1


def test_h23_an_unread_body_that_stops_is_closed(server):
    with server.connect() as c:
        c.send(b"POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nhello")
        assert c.response().status == 404
        _, seconds = took(c.expect_close, time.monotonic())
        assert seconds < SLACK


def test_h23_a_body_under_256_bytes_a_second_is_408_after_5_seconds(chimera):
    """R-U-D-Y: always progress, never an end."""
    c = chimera({"t_echo": {}, "server": {"body_timeout": "20s"}})
    with c.connect() as s:
        begin = time.monotonic()
        s.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n")
        s.sock.settimeout(0.1)
        while time.monotonic() - begin < SLACK + 5:
            s.send(b"x")
            try:
                if not s.more() or s.buffer:
                    break
            except TimeoutError:
                continue
        seconds = time.monotonic() - begin
        s.sock.settimeout(kit.DEADLINE)
        s.response().problem(408, "request_timeout")
    assert 4.5 < seconds < 19


def test_h23_a_client_that_reads_nothing_is_cut_after_write_timeout(server):
    before = server.metric("t_stream_over_total", end="gone")
    with server.connect(rcvbuf=4096) as c:
        c.send(b"GET /stream?bytes=100000000&chunk=65536 HTTP/1.1\r\nHost: test\r\n\r\n")
        server.wait_metric("t_stream_over_total", before + 1, end="gone")
        with pytest.raises((kit.Closed, AssertionError)):
            c.response()


def test_h23_max_connections_per_ip_is_a_cap(chimera):
    c = chimera({"t_echo": {}, "server": {"max_connections_per_ip": "3"}})
    held = [c.connect() for _ in range(3)]
    for s in held:
        assert s.ask("GET", "/").status == 200
    with c.connect() as s:
        r = s.response()
        r.problem(503, "overloaded")
        s.expect_close()
    assert c.metric("chimera_http_rejected_total", code="overloaded") == 1
    held.pop().close()
    kit.wait_for(lambda: _works(c), "room for one more")
    for s in held:
        s.close()


def _works(c):
    with c.connect() as s:
        s.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        return s.response().status == 200


def test_h23_the_oldest_idle_connection_makes_room_at_90_percent(chimera):
    c = chimera({"t_echo": {}, "server": {"max_connections": "20", "workers": "1"}})
    held = []
    for _ in range(17):
        s = c.connect()
        assert s.ask("GET", "/").status == 200
        held.append(s)
    more = []
    for _ in range(10):
        s = c.connect()
        assert s.ask("GET", "/").status == 200
        more.append(s)
    held[0].expect_close()
    assert more[-1].ask("GET", "/").status == 200
    for s in held + more:
        s.close()


def test_h24_a_connection_that_sends_nothing_is_closed(server):
    begin = time.monotonic()
    with server.connect() as c:
        _, seconds = took(c.expect_close, begin)
    assert 0.3 < seconds < SLACK


def test_h24_an_idle_connection_is_closed_after_keepalive_timeout(server):
    begin = time.monotonic()
    with server.connect() as c:
        assert c.ask("GET", "/").status == 200
        _, seconds = took(c.expect_close, begin)
    assert 0.3 < seconds < SLACK


def test_h24_half_closed_after_the_request_still_gets_its_answer(server):
    for request in (b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi"):
        assert server.one(request, finish=True, closes=True).status == 200


def test_h24_an_answer_ready_within_half_close_grace_is_sent(chimera):
    server = chimera({"t_suspend": {}, "t_service": {}, "server": {"half_close_grace": "30s"}})
    with server.connect() as c:
        c.send(b"GET /suspend/thread?ms=100 HTTP/1.1\r\nHost: test\r\n\r\n")
        c.finish()
        assert c.response().body == b"from a thread"
        c.expect_close()


def test_h24_fin_before_the_first_byte_is_gone_after_half_close_grace(server):
    before = server.metric("t_suspend_resumed_total", why="gone")
    begin = time.monotonic()
    with server.connect() as c:
        c.send(b"GET /suspend?timeout=600000 HTTP/1.1\r\nHost: test\r\n\r\n")
        c.finish()
        _, seconds = took(c.expect_close, begin)
    assert 0.2 < seconds < SLACK
    server.wait_metric("t_suspend_resumed_total", before + 1, why="gone")
    server.wait_metric("http_requests_total", 1, endpoint="/suspend", status=499)


def test_h24_half_close_grace_0_is_gone_at_once_and_off_waits(chimera):
    c = chimera({"t_suspend": {}, "t_service": {}, "server": {"half_close_grace": "0s"}})
    with c.connect() as s:
        s.send(b"GET /suspend/thread?ms=3000 HTTP/1.1\r\nHost: test\r\n\r\n")
        s.finish()
        s.expect_close()
    c.wait_metric("t_suspend_resumed_total", 1, why="gone")
    c = chimera({"t_suspend": {}, "t_service": {}, "server": {"half_close_grace": "off"}})
    with c.connect() as s:
        s.send(b"GET /suspend/thread?ms=1500 HTTP/1.1\r\nHost: test\r\n\r\n")
        s.finish()
        assert s.response().body == b"from a thread"


def test_h24_fin_while_an_answer_streams_is_gone_at_once(server):
    before = server.metric("t_stream_over_total", end="gone")
    with server.connect() as c:
        c.send(b"GET /stream?bytes=1000&chunk=100&after=hold HTTP/1.1\r\nHost: test\r\n\r\n")
        assert c.head().status == 200
        c.finish()
        server.wait_metric("t_stream_over_total", before + 1, end="gone")
    kit.wait_for(lambda: server.metric("http_requests_in_progress") <= 1, "the request to be over")


def test_h24_fin_in_a_body_is_the_end(server):
    before = server.metric("http_requests_total", endpoint="/", status=499)
    assert server.raw(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello", answers=None, finish=True) == []
    server.wait_metric("http_requests_total", before + 1, endpoint="/", status=499)
