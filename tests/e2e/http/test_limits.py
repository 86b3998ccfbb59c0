# SPDX-License-Identifier: Apache-2.0
"""What is too long, too large or too many is refused before it costs memory or time (FAULTS H19, H26, H27)."""
import select

import chimera as kit
import pytest

CONFIG = {"t_echo": {}}


def get(target=b"/", *lines):
    return b"\r\n".join((b"GET " + target + b" HTTP/1.1", b"Host: test", *lines)) + b"\r\n\r\n"


def test_h19_a_request_line_over_8_kib_is_414(server):
    line = len(b"GET  HTTP/1.1")
    fits = b"/echo/" + b"a" * (8192 - line - len(b"/echo/") - 2)
    assert server.one(get(fits), closes=False).status == 200
    server.one(get(fits + b"aaa"), closes=True).problem(414, "uri_too_long")


def test_h19_an_endless_request_line_is_refused_while_it_comes(server):
    server.one(b"GET /" + b"a" * 100000, closes=True).problem(414, "uri_too_long")


def test_h19_a_field_over_16_kib_is_431(server):
    assert server.one(get(b"/", b"X-A: " + b"b" * 16000), closes=False).status == 200
    server.one(get(b"/", b"X-A: " + b"b" * 16400), closes=True).problem(431, "headers_too_large")
    server.one(get(b"/", b"A" * 16400 + b": b"), closes=True).problem(431, "headers_too_large")


def test_h19_an_endless_field_is_refused_while_it_comes(server):
    server.one(b"GET / HTTP/1.1\r\nHost: test\r\nX-A: " + b"b" * 200000, closes=True).problem(431, "headers_too_large")


def test_h19_fields_over_64_kib_together_are_431(server):
    assert server.one(get(b"/", *(b"X-%d: " % i + b"b" * 15000 for i in range(4))), closes=False).status == 200
    server.one(get(b"/", *(b"X-%d: " % i + b"b" * 15000 for i in range(5))), closes=True).problem(431, "headers_too_large")


def test_h19_more_than_100_fields_are_431(server):
    assert server.one(get(b"/", *[b"X-A: b"] * 99), closes=False).status == 200
    server.one(get(b"/", *[b"X-A: b"] * 100), closes=True).problem(431, "headers_too_large")


def test_h19_limits_are_counted(server):
    for code, request in (("uri_too_long", get(b"/" + b"a" * 9000)), ("headers_too_large", get(b"/", b"X-A: " + b"b" * 17000))):
        before = server.metric("chimera_http_rejected_total", code=code)
        server.one(request, closes=True)
        assert server.metric("chimera_http_rejected_total", code=code) == before + 1


def test_h19_a_body_over_the_route_s_limit_is_413_before_it_is_read(server):
    before = server.rss()
    with server.connect() as c:
        c.send(b"POST /small HTTP/1.1\r\nHost: test\r\nContent-Length: 17\r\n\r\n")
        c.response().problem(413, "too_large")
    for _ in range(20):
        server.one(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4000000000\r\n\r\n", closes=True).problem(413, "too_large")
    assert server.rss() - before < 4 << 20


def test_h19_a_chunked_body_over_the_limit_is_413_and_closed(server):
    r = server.one(b"POST /small HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n1\r\nx\r\n",
        closes=True)
    r.problem(413, "too_large")
    r = server.request("POST", "/small", [b"01234567", b"89abcdef"])
    assert (r.status, r.body) == (200, b"0123456789abcdef")


def test_h19_max_body_bytes_is_the_limit_of_routes_without_their_own(chimera):
    c = chimera({"t_echo": {}, "server": {"max_body_bytes": "1m"}})
    c.request("POST", "/", b"a" * ((1 << 20) + 1)).problem(413, "too_large")
    assert c.request("POST", "/", b"a" * (1 << 20)).body == b"a" * (1 << 20)


def test_h19_max_buffered_bytes_bounds_the_memory_of_all_bodies(chimera):
    """Two bodies that do not fit together: one is refused (or both, when they grow side by side), and then there is room again."""
    c = chimera({"t_echo": {}, "server": {"max_body_bytes": "1m", "max_buffered_bytes": "1m"}})
    begun = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 700000
    with c.connect() as first, c.connect() as second:
        first.send(begun)
        second.send(begun)
        loser = first if first in select.select([first, second], [], [], kit.DEADLINE)[0] else second
        winner = second if loser is first else first
        r = loser.response()
        r.problem(503, "overloaded")
        assert int(r.header("Retry-After")) >= 1 and r.header("x-should-retry") == "true"
        winner.send(b"a" * 300000)
        assert winner.response().status in (200, 503)
    kit.wait_for(lambda: c.request("POST", "/", b"a" * 700000).status == 200, "room again")


@pytest.mark.parametrize("lines", [
    [b"Range: bytes=" + b",".join([b"0-1"] * 1000)],
    [b"Accept: " + b",".join([b"text/html;q=0.1"] * 1000)],
    [b"Cookie: " + b"; ".join([b"a=b"] * 1000)],
    [b"Cookie: a=b"] * 1000,
    [b"X-Forwarded-For: " + b",".join([b"10.0.0.1"] * 1000)],
], ids=["ranges", "accept", "cookies in one field", "cookie fields", "forwarded"])
def test_h26_very_many_members_are_ignored_or_431(server, lines):
    before = server.cpu()
    assert server.one(get(b"/", *lines)).status in (200, 431)
    assert server.cpu() - before < 1


def test_h27_many_requests_with_100_odd_names_cost_little(server):
    """Names are looked up linearly among at most 100: there is no hash that they could collide in."""
    request = get(b"/", *(b"X-%07d: b" % (i * 2654435761 % 10000000) for i in range(99)))
    before = server.cpu()
    with server.connect() as c:
        for _ in range(200):
            c.send(request)
            assert c.response().status == 200
    assert server.cpu() - before < 3
