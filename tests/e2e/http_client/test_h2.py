# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 over TLS: nginx speaks it in front of an Upstream."""
import os
import shutil
import subprocess

import chimera as kit
import pytest
from upstream import Certificates, Fetch, Upstream, detail_is, fetch, field, gauge, good, wait_gauge

ONE = {"server": {"workers": 1}, "t_fetch": {}}


@pytest.fixture(autouse=True)
def _built(plugins):
    for name in ("http_client", "t_fetch"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Nginx:
    """nginx in a folder of its own, on a port of 127.0.0.1, with HTTP/2 and TLS, in front of an Upstream."""

    def __init__(self, folder, certificates, upstream, more=""):
        self.folder, self.port, self.upstream = str(folder), kit.free_port(), upstream
        cert, key = certificates.server()
        os.makedirs(self.folder, exist_ok=True)
        with open(self.path("nginx.conf"), "w", encoding="ascii") as f:
            f.write(f"""
                daemon off; master_process off; worker_processes 1; pid {self.path("pid")}; error_log {self.path("error.log")};
                events {{ worker_connections 512; }}
                http {{
                    access_log off; client_body_temp_path {self.path("b")}; proxy_temp_path {self.path("p")};
                    fastcgi_temp_path {self.path("f")}; uwsgi_temp_path {self.path("u")}; scgi_temp_path {self.path("s")};
                    server {{
                        listen 127.0.0.1:{self.port} ssl http2;
                        ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; client_max_body_size 64m;
                        {more}
                        location / {{
                            proxy_pass http://127.0.0.1:{upstream.port}; proxy_http_version 1.1; proxy_buffering off;
                            proxy_request_buffering off; proxy_set_header Via $server_protocol; proxy_read_timeout 300s;
                            add_header X-Front $connection always; add_header X-Protocol $server_protocol always;
                        }}
                    }}
                }}""")
        self.process = subprocess.Popen(["nginx", "-p", self.folder, "-c", self.path("nginx.conf")], stderr=subprocess.DEVNULL)
        kit.wait_for(self.listens, lambda: "nginx; it said:\n" + open(self.path("error.log"), encoding="utf-8").read())

    def path(self, name):
        return os.path.join(self.folder, name)

    def listens(self):
        try:
            kit.socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        except OSError:
            return False

    def url(self, path="/"):
        return f"https://127.0.0.1:{self.port}{path}"

    def close(self):
        self.process.terminate()
        self.process.wait(kit.DEADLINE)


@pytest.fixture
def upstream():
    u = Upstream()
    yield u
    u.close()


@pytest.fixture
def front(tmp_path, certificates, upstream):
    n = Nginx(tmp_path / "nginx", certificates, upstream)
    yield n
    n.close()


@pytest.fixture
def start(chimera, certificates):
    return lambda **options: chimera({**ONE, "http_client": {"ca_file": certificates.ca, "connect_timeout": "60s", **options}})


def fronts(results):
    return {field(r, "X-Front") for r in results}


def test_a_server_that_offers_it_is_spoken_to_by_it(start, front, upstream):
    c = start()
    got = [good(c, front.url(f"/a/../{i}?q=%20"), headers=[["X-One", "1"], ["x-empty", ""]]) for i in range(5)]
    assert [(r["version"], r["body"], field(r, "X-Protocol")) for r in got] == [(20, "ok", "HTTP/2.0")] * 5
    assert [r["reused"] for r in got] == [False] + [True] * 4
    assert len(fronts(got)) == 1
    assert upstream.lines[0] == "GET /a/../0?q=%20 HTTP/1.1"  # as it was given


def test_requests_arrive_as_they_do_by_http_1(start, front, upstream):
    c = start()
    seen = []
    upstream.handler = lambda conn, line, fields, body: (seen.append((line, fields, body)), conn.answer(b"", "X-Empty: "))[1]
    for method, order, length in (("GET", {}, None), ("HEAD", {}, None), ("POST", {}, "0"), ("PUT", {}, "0"),
                                  ("PATCH", {"body": "abc"}, "3"), ("POST", {"body_bytes": 2 << 20}, str(2 << 20)),
                                  ("DELETE", {}, None), ("PURGE", {}, None), ("OPTIONS", {}, None)):
        seen.clear()
        r = good(c, front.url("/x"), method=method, **order)
        assert r["version"] == 20 and field(r, "X-Empty") == ""
        line, fields, body = seen[0]
        assert line == f"{method} /x HTTP/1.1" and fields.get("content-length") == length, (line, fields)
        assert len(body) == int(length or 0)
        assert not {"accept", "content-type", "user-agent", "expect"} & fields.keys() and fields["accept-encoding"] == "identity"
    good(c, front.url(), method="POST", body="x", headers=[["content-type", "text/x"], ["Accept", "text/y"], ["User-Agent", "z"]])
    assert [seen[-1][1][name] for name in ("content-type", "accept", "user-agent")] == ["text/x", "text/y", "z"]


def test_calls_share_a_connection(start, front, upstream):
    c = start()
    upstream.handler = upstream.hold
    calls = [Fetch(c, front.url()) for _ in range(50)]
    upstream.wait_arrived(50)
    upstream.go.set()
    got = [call.result() for call in calls]
    assert all((r["error"], r["version"]) == (0, 20) for r in got)
    assert len(fronts(got)) == 1


def test_http_1_where_it_is_switched_off_or_not_offered(start, front, certificates, upstream):
    c = start(http2="off")
    assert [good(c, front.url())["version"] for _ in range(2)] == [11, 11]
    for alpn in (None, ["http/1.1"]):
        plain = Upstream(context=certificates.context(alpn))
        c = start()
        got = [good(c, plain.url()) for _ in range(3)]
        assert [(r["version"], r["reused"]) for r in got] == [(11, False), (11, True), (11, True)]
        assert len(plain.conns) == 1, "finding out costs no connection of its own"
        plain.close()


def test_many_first_calls_find_out_once(start, front, certificates, upstream):
    plain = Upstream(context=certificates.context())
    c = start()
    for server in (front, plain):
        calls = [Fetch(c, server.url()) for _ in range(30)]
        assert {call.result()["error_name"] for call in calls} == {"ok"}
    plain.close()


def test_a_streamed_answer_goes_where_a_pause_harms_nobody(start, front, upstream):
    c = start()
    good(c, front.url())
    r = good(c, front.url(), sink=True)
    assert r["version"] == (11 if libcurl() < (8, 2) else 20)
    assert good(c, front.url())["version"] == 20


def libcurl():
    """(major, minor) of the library."""
    said = subprocess.run(["pkg-config", "--modversion", "libcurl"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, said.split(".")[:2]))


# ---- with http2 = always: sinks too


def stream(conn, n, size, between=None):
    conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(n):
        conn.send(b"%x\r\n" % size + b"x" * size + b"\r\n")
        if between:
            between()
    conn.send(b"0\r\nX-Trailer: yes\r\n\r\n")


def test_a_sink_gets_what_came(start, front, upstream):
    c = start(http2="always")
    upstream.handler = lambda conn, *_: stream(conn, 40, 10000)
    r = good(c, front.url(), sink=True)
    assert (r["version"], r["body_n"], r["heads"]) == (20, 400000, 1) and field(r, "X-Trailer") is None
    r = good(c, front.url(), sink=True, pause_head=20, pause_every=1, pause_ms=1)
    assert (r["version"], r["body_n"]) == (20, 400000) and r["pauses"] >= 2  # pieces may come together, but not all in one
    r = good(c, front.url(), method="HEAD", sink=True)
    assert r["body_n"] == 0


def test_a_slow_reader_holds_the_server_up(start, front, upstream):
    c = start(http2="always")
    total, sent = 64 << 20, [0]

    def handler(conn, *_):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent[0] < total and not conn.closed.is_set():
            conn.send(b"x" * 65536)
            sent[0] += 65536
    upstream.handler = handler
    with c.connect(rcvbuf=16384) as conn:
        conn.send(kit.request_bytes("POST", "/t/fetch", b'{"url": "%s", "relay": true}' % front.url().encode()))
        assert conn.head().status == 200
        got = 0
        for data in conn.chunks():
            got += len(data)
            if got < 1 << 20:
                assert sent[0] < total, "the server is not held up"
        assert got == total


def test_a_call_that_is_given_up_leaves_the_others_alone(start, front, upstream):
    c = start(http2="always")
    good(c, front.url())
    begun, ended = [], []

    def endless(conn, line, *_):
        if line.startswith("GET /quick"):
            return conn.answer()
        begun.append(conn)
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while not conn.closed.is_set():
            conn.send(b"x" * 65536)
        ended.append(conn)
        return False
    upstream.handler = endless
    for order in ({"cancel_after_ms": 50}, {"done_at": 100000}, {"cancel_in": "data"}, {"cancel_in": "head"}, {"done_at": 0},
                  {"pause_head": 5000, "cancel_after_ms": 50}):
        before = len(begun)
        call = Fetch(c, front.url("/endless"), sink=True, max_body=1 << 31, **order)
        quick = [Fetch(c, front.url("/quick")) for _ in range(5)]
        assert all(q.result()["body"] == "ok" for q in quick)
        r = call.result()
        assert r["error_name"] == "cancelled" and r["version"] in (0, 20), (order, r)
        assert len(begun) > before or "cancel_after_ms" in order  # which may be over before it is sent, on a busy machine
        kit.wait_for(lambda: len(ended) == len(begun), "the server to hear of it")
    assert len(fronts([good(c, front.url("/quick")) for _ in range(2)])) == 1
    assert gauge(c, "running") == 0


# ---- limits and ends


def test_times_and_caps_hold(start, front, upstream):
    c = start()
    good(c, front.url())
    upstream.handler = lambda conn, *_: conn.wait_closed()
    detail_is(fetch(c, front.url(), first_byte_timeout_ms=60), "timeout_first_byte", "did not answer within 60 ms")
    detail_is(fetch(c, front.url(), total_timeout_ms=60), "timeout_total", "60 ms")
    assert fetch(c, front.url(), cancel_after_ms=20)["error_name"] == "cancelled"
    upstream.handler = lambda conn, *_: conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab") or conn.wait_closed()
    r = fetch(c, front.url(), idle_timeout_ms=60)
    detail_is(r, "timeout_idle", "nothing for 60 ms")
    assert (r["status"], r["version"]) == (200, 20)
    upstream.handler = lambda conn, *_: conn.answer(b"x" * 1001)
    assert fetch(c, front.url(), max_body=1000)["error_name"] == "too_large"
    assert good(c, front.url(), max_body=1001)["body_n"] == 1001
    upstream.handler = lambda conn, *_: stream(conn, 10, 1001)
    assert fetch(c, front.url(), max_body=1000)["error_name"] == "too_large"
    upstream.handler = lambda conn, *_: conn.answer(b"x" * (5 << 20))
    detail_is(fetch(c, front.url()), "too_large", "sink")
    upstream.handler = lambda conn, *_: conn.answer(b"ok", *[f"X-{i}: {i}" for i in range(120)])
    detail_is(fetch(c, front.url()), "too_large", "max_header_fields")
    upstream.handler = lambda conn, *_: conn.answer(b"ok", "Content-Encoding: gzip")
    assert fetch(c, front.url())["error_name"] == "invalid"
    upstream.handler = lambda conn, *_: conn.answer()
    assert good(c, front.url())["version"] == 20
    assert gauge(c, "running") == 0


def test_half_an_answer_is_closed(start, front, upstream):
    c = start()
    good(c, front.url())
    upstream.handler = lambda conn, *_: conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab") or False
    r = fetch(c, front.url())
    assert r["error_name"] in ("closed", "invalid") and r["status"] == 200, r
    upstream.handler = lambda conn, *_: conn.answer()
    good(c, front.url())


def test_a_server_that_goes_and_comes_back(start, front, tmp_path, certificates, upstream):
    c = start()
    assert good(c, front.url())["version"] == 20
    front.close()
    assert fetch(c, front.url(), method="POST")["error_name"] in ("connect", "closed")
    detail_is(fetch(c, front.url()), "connect", "refused|cannot be connected to")
    again = Nginx(tmp_path / "nginx", certificates, upstream)
    assert good(c, again.url())["version"] == 20
    again.close()


def test_idle_connections_are_closed_in_time(start, front, upstream):
    c = start(keepalive_timeout="100ms")
    before = c.descriptors()
    good(c, front.url())
    kit.wait_for(lambda: c.descriptors() <= before, lambda: f"descriptors: {before} before, {c.descriptors()} now")
    good(c, front.url())


def test_a_certificate_that_nobody_vouches_for(chimera, front):
    c = chimera({**ONE, "http_client": {"connect_timeout": "60s"}})
    detail_is(fetch(c, front.url()), "tls", "certificate.*ca_file")


def test_a_reload_takes_the_connections_along_or_lets_them_end(start, front, upstream, certificates):
    c = start()
    first = field(good(c, front.url()), "X-Front")
    upstream.handler = upstream.hold
    call = Fetch(c, front.url())
    upstream.wait_arrived(2)
    for options, same in (({"idle_timeout": "1s"}, True), ({"tls_min": "1.3"}, False)):
        before = len(c.said("reloaded"))
        c.write({**ONE, "http_client": {"ca_file": certificates.ca, **options}})
        c.signal(kit.signal.SIGHUP)
        kit.wait_for(lambda n=before: len(c.said("reloaded")) > n, "the reload")
        quick = Fetch(c, front.url())
        upstream.wait_arrived()
        if not same:
            upstream.go.set()
        else:
            quick.leave()
    assert field(call.result(), "X-Front") == first
    r = quick.result()
    assert field(r, "X-Front") != first and r["version"] == 20
    wait_gauge(c, "running", 0)
