# SPDX-License-Identifier: Apache-2.0
"""Streamed answers: framing, back-pressure, cut ends, and pieces that are lent."""
import chimera as kit
import pytest

CONFIG = {"t_stream": {}, "t_echo": {}, "t_hooks": {}}
PERIOD = bytes(range(251)) * 4200  # byte i of a stream is i % 251


def pattern(at, n):
    begin = at % 251
    assert begin + n <= len(PERIOD)
    return PERIOD[begin:begin + n]


def expected(n):
    return b"".join(pattern(at, min(1 << 20, n - at)) for at in range(0, n, 1 << 20))


@pytest.mark.parametrize("release", [0, 1])
@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("size,chunk", [(0, 1), (1, 1), (1000, 1), (65536, 4096), (3000000, 65535)])
def test_a_stream_comes_whole(server, size, chunk, length, release):
    with server.connect() as c:
        r = c.ask("GET", f"/stream?bytes={size}&chunk={chunk}&length={length}&release={release}")
        assert r.status == 200 and r.chunked == (not length) and r.body == expected(size)
        assert c.ask("GET", "/").status == 200, "the connection survives"
    assert server.metric("t_stream_lent") == 0


def test_a_stream_to_http_1_0_ends_with_the_connection(server):
    r = server.one(b"GET /stream?bytes=100000&chunk=1000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert not r.chunked and r.header("Content-Length") is None and not r.keeps and r.body == expected(100000)


def test_head_of_a_stream_has_no_body(server):
    with server.connect() as c:
        assert c.ask("HEAD", "/stream?bytes=100000&length=1").header("Content-Length") == "100000"
        assert c.ask("HEAD", "/stream?bytes=100000").header("Content-Length") is None
        assert c.ask("GET", "/").status == 200


@pytest.mark.parametrize("length", [0, 1])
def test_an_aborted_stream_is_seen_as_incomplete(server, length):
    with server.connect() as c:
        c.send(kit.request_bytes("GET", f"/stream?bytes=5000&chunk=500&length={length}&after={'short' if length else 'cut'}"))
        assert c.head().status == 200
        with pytest.raises(kit.Closed):
            if length:
                c.exactly(5001)
            else:
                list(c.chunks())
    server.wait_said("request", http__route="/stream", aborted=True)


@pytest.mark.parametrize("release", [0, 1])
@pytest.mark.parametrize("length", [0, 1])
def test_100_mb_to_a_slow_reader_cost_no_memory(server, length, release):
    total, at = 100_000_000, 0
    with server.connect(rcvbuf=16384) as c:
        server.get("/stream?bytes=1000000")  # memory that the first stream takes once
        before = worst = server.rss()
        c.send(kit.request_bytes("GET", f"/stream?bytes={total}&chunk=60000&length={length}&release={release}"))
        head = c.head()
        assert head.header("Content-Length") == (str(total) if length else None)
        if length:
            for n in _pieces(total, 60000):
                assert c.exactly(n) == pattern(at, n)
                at += n
                worst = max(worst, server.rss()) if at % 600000 == 0 else worst
        else:
            for data in c.chunks():
                assert data == pattern(at, len(data))
                at += len(data)
                worst = max(worst, server.rss()) if at % 600000 == 0 else worst
        assert at == total
        assert c.ask("GET", "/").status == 200
    assert server.metric("t_stream_lent") == 0
    print(f"resident memory grew by {worst - before} bytes")
    if not kit.SANITIZERS:
        assert worst - before < 8 << 20


def _pieces(total, size):
    return [size] * (total // size) + ([total % size] if total % size else [])


@pytest.mark.parametrize("release", [0, 1])
def test_a_client_that_leaves_in_a_stream_frees_all(server, release):
    before = server.metric("t_stream_over_total", end="gone")
    for _ in range(5):
        with server.connect(rcvbuf=4096) as c:
            c.send(kit.request_bytes("GET", f"/stream?bytes=10000000&chunk=10000&release={release}"))
            assert c.head().status == 200
            c.abort()
    server.wait_metric("t_stream_over_total", before + 5, end="gone")
    kit.wait_for(lambda: server.metric("t_stream_lent") == 0, "all pieces released")
    kit.wait_for(lambda: server.metric("http_requests_in_progress") == 1, "no request in progress but the scrape")


def test_a_client_that_leaves_while_nothing_is_written_is_noticed(server):
    before = server.metric("t_stream_over_total", end="gone")
    with server.connect() as c:
        c.send(kit.request_bytes("GET", "/stream?bytes=1000&after=hold"))
        assert c.head().status == 200
        c.close()
    server.wait_metric("t_stream_over_total", before + 1, end="gone")


def test_taps_see_every_byte_once_and_how_it_ended(server):
    before = {end: server.metric("t_hooks_taps_total", end=end) for end in ("complete", "cut")}
    with server.connect() as c:
        seen = server.metric("t_hooks_tap_bytes_total")
        own = len(server.get("/metrics", kind="status").body)
        seen = server.metric("t_hooks_tap_bytes_total") - seen
        c.ask("GET", "/stream?bytes=123456&chunk=1000")
        c.ask("POST", "/", b"four")
        c.ask("HEAD", "/stream?bytes=99&length=1")
    assert server.metric("t_hooks_taps_total", end="complete") >= before["complete"] + 3
    assert own > 0 and seen > 0
    server.raw(kit.request_bytes("GET", "/stream?bytes=1000&after=cut"), answers=0)
    server.wait_metric("t_hooks_taps_total", before["cut"] + 1, end="cut")
