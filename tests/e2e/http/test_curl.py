# SPDX-License-Identifier: Apache-2.0
"""libcurl's multi interface on the loop API, as an adapter would use it: fetch, relay, pause, cancel."""
import http.server
import socketserver
import threading

import chimera as kit
import pytest

CONFIG = {"t_curl": {}, "t_echo": {}, "server": {"write_timeout": "60s"}}
BODY = bytes(range(256)) * 4096  # 1 MiB


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        if self.path == "/hang":
            server.hanging.set()
            self.connection.settimeout(kit.DEADLINE)
            server.left.append(self.connection.recv(1))  # the client's FIN
            self.close_connection = True
            return
        count = int(self.path[1:] or 1)
        self.send_response(404 if count == 404 else 200)
        self.send_header("Content-Length", str(len(BODY) * count if count != 404 else 4))
        self.end_headers()
        if count == 404:
            self.wfile.write(b"none")
            return
        try:
            for _ in range(count):
                self.wfile.write(BODY)
                server.sent += len(BODY)
        except OSError:
            server.left.append(b"")

    def log_message(self, format, *args):  # noqa: A002
        pass


class Threaded(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


@pytest.fixture
def upstream():
    s = Threaded(("127.0.0.1", 0), Upstream)
    s.sent, s.left, s.hanging = 0, [], threading.Event()
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield s
    s.shutdown()
    s.server_close()


@pytest.fixture(autouse=True)
def _built(plugins):
    if not kit.has_plugin(plugins, "t_curl"):
        pytest.skip("t_curl is not built: libcurl's development package is missing")


def fetch(upstream, path):
    return f"/curl?url=http://127.0.0.1:{upstream.server_address[1]}/{path}"


def test_a_page_is_fetched_and_relayed(server, upstream):
    with server.connect() as c:
        for _ in range(3):
            r = c.ask("GET", fetch(upstream, 1))
            assert r.status == 200 and r.body == BODY
        assert c.ask("GET", fetch(upstream, 404)).status == 404
    kit.wait_for(lambda: server.metric("t_curl_fetches") == 0, "no transfer under way")


def test_many_fetches_at_once(server, upstream):
    conns = [server.connect() for _ in range(50)]
    for c in conns:
        c.send(kit.request_bytes("GET", fetch(upstream, 1)))
    for c in conns:
        assert c.response().body == BODY
        c.close()


def test_a_server_that_is_not_there_is_503(server):
    r = server.get(f"/curl?url=http://127.0.0.1:{kit.free_port()}/")
    r.problem(503, "upstream_unavailable")
    assert int(r.header("Retry-After")) >= 1


def test_a_server_that_does_not_answer_is_503_in_time(server, upstream):
    server.get(fetch(upstream, "hang") + "&timeout=50").problem(503, "upstream_timeout")
    kit.wait_for(lambda: upstream.left, "the transfer to be ended")


def test_a_client_that_leaves_ends_the_transfer(server, upstream):
    with server.connect() as c:
        c.send(kit.request_bytes("GET", fetch(upstream, "hang")))
        assert upstream.hanging.wait(kit.DEADLINE)
        c.abort()
    kit.wait_for(lambda: upstream.left, "the transfer to be ended")
    kit.wait_for(lambda: server.metric("t_curl_fetches") == 0, "no transfer under way")


def test_a_slow_client_pauses_the_transfer(server, upstream):
    server.get(fetch(upstream, 3))
    before, total = server.rss(), 64
    with server.connect(rcvbuf=16384) as c:
        upstream.sent = 0
        c.send(kit.request_bytes("GET", fetch(upstream, total)))
        assert c.head().status == 200
        got = bytearray()
        for data in c.chunks():
            got += data
            if len(got) < 1 << 20:
                assert upstream.sent < total * len(BODY) // 2, "the upstream is not held up"
        assert len(got) == total * len(BODY) and bytes(got[-len(BODY):]) == BODY
    if not kit.SANITIZERS:
        assert server.rss() - before < 8 << 20
