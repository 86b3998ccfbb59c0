# SPDX-License-Identifier: Apache-2.0
"""Ordinary exchanges: keep-alive, HEAD, OPTIONS, errors, Expect, chunked bodies, pipelining (FAULTS H20-H22)."""
import base64
import datetime
import email.utils
import json
import os
import re

import chimera as kit
import pytest

CONFIG = {"t_echo": {}, "trace": {}}
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def test_a_connection_serves_many_requests(server):
    with server.connect() as c:
        for i in range(50):
            r = c.ask("POST", "/", b"body %d" % i)
            assert (r.status, r.body) == (200, b"body %d" % i)
            assert r.keeps


def test_close_is_obeyed_and_answered(server):
    r = server.one(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", closes=True)
    assert r.header("Connection") == "close"


def test_http_1_0_closes_unless_keep_alive_is_asked_for(server):
    r = server.one(b"GET / HTTP/1.0\r\n\r\n", closes=True)
    assert r.status == 200
    r = server.one(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", closes=False)
    assert r.header("Connection").lower() == "keep-alive"


def test_every_answer_has_a_date(server):
    for target in ("/", "/nowhere"):
        text = server.get(target).header("Date")
        assert kit.HTTP_DATE.fullmatch(text)
        age = datetime.datetime.now(datetime.timezone.utc) - email.utils.parsedate_to_datetime(text)
        assert abs(age.total_seconds()) < 5 + kit.DEADLINE / 10


def test_head_is_get_without_its_body(server):
    with server.connect() as c:
        full = c.ask("GET", "/fields")
        head = c.ask("HEAD", "/fields")
        assert head.status == 200 and head.body == b""
        assert head.header("Content-Length") == full.header("Content-Length") == str(len(full.body))
        assert head.header("Content-Type") == full.header("Content-Type")
        assert c.ask("GET", "/").status == 200


def test_options_says_what_a_path_allows(server):
    r = server.request("OPTIONS", "/")
    assert r.status == 204 and r.header("Content-Length") is None
    assert {m.strip() for m in r.header("Allow").split(",")} == {"GET", "HEAD", "POST", "OPTIONS"}


def test_a_method_that_the_path_has_not_is_405(server):
    r = server.request("DELETE", "/")
    r.problem(405, "method_not_allowed")
    assert {m.strip() for m in r.header("Allow").split(",")} == {"GET", "HEAD", "POST", "OPTIONS"}
    assert server.metric("http_requests_total", status=405) >= 1


def test_no_route_is_404_in_the_one_shape(server):
    r = server.get("/nowhere")
    p = r.problem(404, "not_found")
    assert set(p) == {"type", "title", "status", "detail", "code", "req_id"}
    assert p["req_id"] == r.header("X-Request-Id")
    assert server.metric("http_requests_total", endpoint="none", status=404) >= 1


def test_h20_100_continue_is_sent_when_the_body_will_be_read(server):
    with server.connect() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert c.head().status == 100
        c.send(b"hello")
        r = c.response()
        assert (r.status, r.body, r.interim) == (200, b"hello", [])
        assert c.ask("GET", "/").status == 200


def test_h20_a_body_that_came_already_is_read(server):
    r = server.one(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello", closes=False)
    assert (r.status, r.body) == (200, b"hello")


@pytest.mark.parametrize("head,status", [
    (b"POST /small HTTP/1.1\r\nHost: test\r\nContent-Length: 17\r\n", 413),
    (b"POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n", 404),
    (b"DELETE / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n", 405),
    (b"GET /fields HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n", 200),
])
def test_h20_a_body_that_nobody_reads_gets_its_answer_at_once(server, head, status):
    r = server.one(head + b"Expect: 100-continue\r\n\r\n", closes=True)
    assert (r.status, r.interim) == (status, [])


def test_h20_an_unknown_expectation_is_417(server):
    r = server.one(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: miracles\r\n\r\nhello")
    r.problem(417, "expectation_failed")


def test_h20_http_1_0_gets_no_100(server):
    r = server.one(b"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello", closes=True)
    assert (r.status, r.body, r.interim) == (200, b"hello", [])


def test_a_chunked_body_is_put_together(server):
    random = kit.seeded()
    body = random.randbytes(200000)
    parts, at = [], 0
    while at < len(body):
        n = random.randrange(1, 5000)
        parts.append(body[at:at + n])
        at += n
    assert server.request("POST", "/", parts).body == body


def test_an_answer_larger_than_a_request_may_hold_is_500_and_logged(server):
    """A whole answer is copied into the request's memory, at most 4 MiB: larger ones are to be streamed."""
    server.request("POST", "/", b"a" * (8 << 20)).problem(500, "internal_error")
    server.wait_said("returned ERROR", plugin="t_echo")


def test_large_bodies_come_back_whole(server):
    body = kit.seeded().randbytes(3 << 20)
    r = server.request("POST", "/", body)
    assert r.body == body


def test_h21_1000_pipelined_requests_are_answered_in_order(server):
    with server.connect() as c:
        c.send(b"".join(b"GET /echo/%d HTTP/1.1\r\nHost: test\r\n\r\n" % i for i in range(1000)))
        for i in range(1000):
            r = c.response()
            assert (r.status, r.header("X-Rest")) == (200, str(i))


def test_h21_pipelined_posts_are_answered_in_order(server):
    with server.connect() as c:
        parts = []
        for i in range(200):
            parts.append(kit.request_bytes("POST", "/", b"n%d" % i if i % 2 else [b"n", b"%d" % i]))
        c.send(b"".join(parts))
        for i in range(200):
            assert c.response().body == b"n%d" % i


def test_h21_a_client_that_pipelines_and_does_not_read_is_held_up_not_stored(server):
    before = server.rss()
    body = b"a" * 60000
    with server.connect(rcvbuf=4096) as c:
        request = kit.request_bytes("POST", "/", body)
        c.sock.setblocking(False)
        sent = 0
        data = request * 4
        stalled = 0
        while stalled < 50 and sent < 200 << 20:
            try:
                sent += c.sock.send(data)
                stalled = 0
            except BlockingIOError:
                stalled += 1
                server.metric("active_connections")  # a turn for the server; no guess at a time
        assert sent < 100 << 20, "the server took everything"
        if not kit.SANITIZERS:
            assert server.rss() - before < 8 << 20
        c.abort()


@pytest.mark.parametrize("request_,body", [
    (b"GET /echo/a?b=c HTTP/1.1\r\nHost: test\r\nX-A: b\r\n\r\n", b""),
    (b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    (b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-T: u\r\n\r\n",
    b"hello world"),
    (b"\r\nHEAD / HTTP/1.1\r\nHost: test\r\n\r\n", b""),
], ids=["get", "length", "chunked", "head"])
def test_h21_a_request_split_at_every_byte_gets_the_same_answer(server, request_, body):
    with server.connect() as c:
        for cut in range(1, len(request_)):
            c.send(request_[:cut])
            c.send(request_[cut:])
            r = c.response(head=b"HEAD" in request_)
            assert (r.status, r.body) == (200, body), f"cut at {cut}"
        for i in range(len(request_)):
            c.send(request_[i:i + 1])
        r = c.response(head=b"HEAD" in request_)
        assert (r.status, r.body) == (200, body)


def completed(data):
    """A request of the llhttp corpus with the Host that HTTP/1.1 wants, and with its last empty line; None: not one whole head."""
    head, end, body = data.partition(b"\r\n\r\n")
    lines = head.rstrip(b"\r\n").split(b"\r\n")
    if any(b"\n" in line or line[:1] in b" \t" for line in lines) or not re.fullmatch(rb"[A-Z]+ /[!-~]* HTTP/1\.1", lines[0]):
        return None
    if not any(line.lower().startswith(b"host:") for line in lines):
        lines.insert(1, b"Host: test")
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body if end else b"")


def test_h21_valid_requests_of_the_llhttp_corpus_split_at_random_bytes_get_the_same_answer(server, corpus):
    """The unit tests split all of them at every byte; here a handful goes over a real socket."""
    random = kit.seeded()
    with open(os.path.join(corpus, "llhttp.jsonl"), encoding="utf-8") as f:
        rows = [row for row in map(json.loads, f) if row["expect"] == "ok" and row["kind"] == "http" and row["messages"] == 1]
    requests = list(filter(None, (completed(base64.b64decode(row["b64"])) for row in rows)))
    assert len(requests) > 20

    def outcome(*parts):
        with server.connect() as c:
            for part in parts:
                c.send(part)
            c.finish()
            out = []
            while c.buffer or c.more():
                r = c.response(head=parts[0].startswith(b"H"))
                out.append((r.status, r.body if r.status == 200 else b""))
            return out
    for data in random.sample(requests, 15):
        whole = outcome(data)
        for _ in range(10):
            cut = random.randrange(1, len(data))
            assert outcome(data[:cut], data[cut:]) == whole, (data, cut)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("body", [b"GET /echo/evil HTTP/1.1\r\nHost: test\r\n\r\n", [b"GET /echo/evil HTTP/1.1\r\nHost: test\r\n\r\n"]],
    ids=["length", "chunked"])
@pytest.mark.parametrize("path", ["/nobody", "/nowhere", "/"])
def test_h22_a_body_nobody_reads_is_never_the_next_request(server, method, body, path):
    with server.connect() as c:
        first = c.ask(method, path, body)
        assert first.header("X-Rest") is None
        if first.keeps:
            second = c.ask("GET", "/echo/mine")
            assert (second.status, second.header("X-Rest")) == (200, "mine")
        else:
            c.expect_close()


def test_h22_a_long_unread_body_ends_the_connection(server):
    with server.connect() as c:
        c.send(b"POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n")
        r = c.response()
        r.problem(404, "not_found")
        assert not r.keeps
        c.send(b"a" * 30000)  # within what is drained
        c.finish()
        c.expect_close()
