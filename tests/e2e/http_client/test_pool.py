# SPDX-License-Identifier: Apache-2.0
"""Connections: kept, shared out, waited for, dropped when they are of no use any more."""
import chimera as kit
import pytest
from upstream import Fetch, Upstream, detail_is, fetch, field, gauge, good, wait_gauge

ONE = {"server": {"workers": 1}, "t_fetch": {}}


@pytest.fixture(autouse=True)
def _built(plugins):
    for name in ("http_client", "t_fetch"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")


@pytest.fixture
def upstream():
    u = Upstream()
    yield u
    u.close()


def start(chimera, **options):
    return chimera({**ONE, "http_client": options})


def test_one_connection_serves_one_call_after_the_other(chimera, upstream):
    c = start(chimera)
    got = [good(c, upstream.url(), body="x" * i, method="POST") for i in range(5)]
    assert [r["reused"] for r in got] == [False] + [True] * 4
    assert len(upstream.conns) == 1 and upstream.conns[0].requests == 5
    assert gauge(c, "connections") == gauge(c, "idle_connections") == 1
    assert c.metric("chimera_http_client_reused_total") == 4
    assert c.metric("chimera_http_client_connects_total", result="ok") == 1
    assert c.metric("chimera_http_client_requests_total", error="none") == 5
    assert c.metric("chimera_http_client_first_byte_seconds_count") == 5
    assert c.metric("chimera_http_client_connect_seconds_count") == 1


def test_names_and_addresses_have_pools_of_their_own(chimera, upstream):
    c = start(chimera)
    good(c, upstream.url())
    assert not good(c, upstream.url(host="localhost"))["reused"]
    assert good(c, upstream.url(host="LOCALHOST"))["reused"]
    assert good(c, upstream.url())["reused"]
    assert len(upstream.conns) == 2


def test_the_youngest_idle_connection_is_taken_first(chimera, upstream):
    c = start(chimera)
    upstream.handler = upstream.hold
    calls = [Fetch(c, upstream.url()) for _ in range(3)]
    upstream.wait_arrived(3)
    upstream.handler = lambda conn, *_: conn.answer()
    upstream.go.set()
    for call in calls:
        call.result()
    kit.wait_for(lambda: gauge(c, "idle_connections") == 3, "three idle connections")
    last = field(good(c, upstream.url()), "X-Connection")
    assert [field(good(c, upstream.url()), "X-Connection") for _ in range(5)] == [last] * 5


def test_calls_wait_for_a_place_in_the_order_they_came(chimera, upstream):
    c = start(chimera, max_connections_per_host=1)
    order = []

    def handler(conn, line, fields, body):
        order.append(line.split(" ")[1])
        upstream.hold(conn)
    upstream.handler = handler
    calls = []
    for i in range(5):
        calls.append(Fetch(c, upstream.url(f"/{i}")))
        if i == 0:
            upstream.wait_arrived()
        else:
            wait_gauge(c, "waiting", i)
    assert len(upstream.conns) == 1
    upstream.go.set()
    for call in calls:
        assert call.result()["error"] == 0
    assert order == [f"/{i}" for i in range(5)] and len(upstream.conns) == 1
    assert gauge(c, "waiting") == gauge(c, "running") == 0


def test_a_full_queue_is_busy(chimera, upstream):
    c = start(chimera, max_connections_per_host=1, max_waiting=1)
    upstream.handler = upstream.hold
    first = Fetch(c, upstream.url())
    upstream.wait_arrived()
    second = Fetch(c, upstream.url())
    wait_gauge(c, "waiting", 1)
    r = fetch(c, upstream.url())
    detail_is(r, "busy", rf"^All connections to 127\.0\.0\.1:{upstream.port} .*max_waiting.*max_connections_per_host")
    upstream.go.set()
    assert first.result()["error"] == second.result()["error"] == 0


def test_waiting_counts_as_connecting(chimera, upstream):
    c = start(chimera, max_connections_per_host=1)
    upstream.handler = upstream.hold
    first = Fetch(c, upstream.url())
    upstream.wait_arrived()
    r = fetch(c, upstream.url(), connect_timeout_ms=60)
    detail_is(r, "timeout_connect", r"max_connections_per_host")
    assert not r["sent"] and 59000 <= r["elapsed_us"]
    upstream.go.set()
    first.result()


def test_a_call_that_waits_can_be_given_up(chimera, upstream):
    c = start(chimera, max_connections_per_host=1)
    upstream.handler = upstream.hold
    calls = [Fetch(c, upstream.url("/0"))]
    upstream.wait_arrived()
    for i in range(1, 4):
        calls.append(Fetch(c, upstream.url(f"/{i}")))
        wait_gauge(c, "waiting", i)
    calls.pop(2).leave()
    wait_gauge(c, "waiting", 2)
    assert fetch(c, upstream.url("/4"), cancel_after_ms=0)["error_name"] == "cancelled"
    upstream.go.set()
    for call in calls:
        call.result()
    assert [line.split(" ")[1] for line in upstream.lines] == ["/0", "/1", "/3"]


def test_a_place_that_a_failed_connection_had_goes_to_who_waits(chimera, upstream):
    c = start(chimera, max_connections_per_host=1)

    def handler(conn, *_):
        upstream.go.wait(kit.DEADLINE)
        return False
    upstream.handler = handler
    first = Fetch(c, upstream.url())
    upstream.wait_arrived()
    second = Fetch(c, upstream.url())
    wait_gauge(c, "waiting", 1)
    upstream.handler = lambda conn, *_: conn.answer()
    upstream.go.set()
    assert first.result()["error_name"] == "closed"
    assert second.result()["error"] == 0


def test_an_idle_connection_that_the_server_closes_is_dropped_at_once(chimera, upstream):
    c = start(chimera)
    good(c, upstream.url())
    assert gauge(c, "idle_connections") == 1
    upstream.conns[0].close()
    wait_gauge(c, "idle_connections", 0)
    wait_gauge(c, "connections", 0)
    assert not good(c, upstream.url(), method="POST")["reused"]


def test_bytes_on_an_idle_connection_end_it(chimera, upstream):
    c = start(chimera)
    good(c, upstream.url())
    upstream.conns[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
    wait_gauge(c, "idle_connections", 0)
    assert good(c, upstream.url())["body"] == "ok"


def test_idle_connections_are_closed_in_time(chimera, upstream):
    c = start(chimera, keepalive_timeout="50ms")
    good(c, upstream.url())
    assert upstream.conns[0].closed.wait(kit.DEADLINE)
    wait_gauge(c, "connections", 0)
    assert c.metric("chimera_http_client_requests_total", error="none") == 1


def test_a_server_may_ask_for_a_shorter_time(chimera, upstream):
    c = start(chimera)
    upstream.handler = lambda conn, *_: conn.answer(b"ok", "Keep-Alive: max=100, timeout=1")
    good(c, upstream.url())
    assert upstream.conns[0].closed.wait(min(kit.DEADLINE, 50)), "a second less than a second is nothing"


def test_past_the_most_idle_connections_the_oldest_is_closed(chimera, upstream):
    c = start(chimera, max_idle_connections=2)  # one for the worker, one for the house loop
    other = Upstream()
    good(c, upstream.url())
    good(c, other.url())
    assert upstream.conns[0].closed.wait(kit.DEADLINE) and len(other.open()) == 1
    wait_gauge(c, "idle_connections", 1)
    other.close()


def test_a_stale_connections_get_is_repeated_once(chimera, upstream):
    c = start(chimera)
    good(c, upstream.url())

    def handler(conn, *_):
        if conn.index == 0:
            return False
        return conn.answer()
    upstream.handler = handler
    r = good(c, upstream.url())
    assert not r["reused"] and r["sent"]
    assert c.metric("chimera_http_client_repeated_total") == 1
    upstream.handler = lambda conn, *_: False
    r = fetch(c, upstream.url())
    detail_is(r, "closed", "before it answered")
    assert len(upstream.lines) == 5 and len(upstream.conns) == 3


def test_many_calls_at_once_share_what_there_is(chimera, upstream):
    c = start(chimera, max_connections_per_host=16, max_waiting=4000)
    calls = [Fetch(c, upstream.url()) for _ in range(200)]
    for call in calls:
        assert call.result()["error"] == 0
    assert len(upstream.conns) <= 8  # the worker's half
    assert gauge(c, "running") == gauge(c, "waiting") == 0


def test_a_client_that_leaves_closes_the_connection_behind(chimera, upstream):
    c = start(chimera)
    upstream.handler = lambda conn, *_: conn.wait_closed()
    call = Fetch(c, upstream.url())
    upstream.wait_arrived()
    call.leave()
    assert upstream.conns[0].closed.wait(kit.DEADLINE)
    wait_gauge(c, "running", 0)
    wait_gauge(c, "connections", 0)


def test_a_slow_reader_holds_the_server_up(chimera, upstream):
    c = start(chimera)
    total, sent = 64 << 20, [0]

    def handler(conn, *_):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent[0] < total and not conn.closed.is_set():
            conn.send(b"x" * 65536)
            sent[0] += 65536
    upstream.handler = handler
    before = c.rss()
    with c.connect(rcvbuf=16384) as conn:
        conn.send(kit.request_bytes("POST", "/t/fetch", b'{"url": "%s", "relay": true}' % upstream.url().encode()))
        assert conn.head().status == 200
        got, peak = 0, 0
        for data in conn.chunks():
            got += len(data)
            if got < 1 << 20:
                assert sent[0] < total // 2, "the server is not held up"
                peak = max(peak, c.rss())
        assert got == total
    if not kit.SANITIZERS:
        assert peak - before < 8 << 20


def test_nothing_is_taken_from_the_environment(chimera, upstream):
    c = chimera({**ONE, "http_client": {}}, env={name: "http://127.0.0.1:1" for name in
                ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")})
    good(c, upstream.url())
    good(c, upstream.url(host="localhost"))
