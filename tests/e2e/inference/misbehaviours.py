# SPDX-License-Identifier: Apache-2.0
"""What upstreams should not do, each a function(conn, request) like provider.behave; `provider.py --list` prints their names.

Where it matters they differ for a whole answer and for a stream. A stream begins with two good frames where the name says "mid".
"""
import gzip as gz
import os
import sys

from provider import left

for folder in ("..", "../../../sdk/conformance"):
    sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), folder))
import canary  # noqa: E402
from misbehave import gzip_zeros  # noqa: E402

SECRET = canary.of("sk-test")  # the key that the gateway was given for us
OTHER_HOST = []  # (host, port) of a server that nobody may be sent to; test_misbehaviour sets it
GOOD = 2  # frames before what is bad
MISBEHAVIOURS = {}


def bad(name):
    def keep(function):
        assert name not in MISBEHAVIOURS
        MISBEHAVIOURS[name] = function
        return function
    return keep


def begin(conn, req, frames=GOOD):
    """The head of a stream and its first frames."""
    conn.stream_head(req)
    for f in req.answer.frames()[:frames]:
        conn.chunk(f)


def end(conn, req, *data):
    """Further pieces, and the stream's proper end as HTTP sees it."""
    for d in data:
        conn.chunk(d)
    conn.last_chunk()
    return True


def flood(conn, data, first=b""):
    """For ever, or as long as the client reads."""
    conn.send(first)
    data *= max(1, 65536 // len(data))
    while not conn.closed.is_set():
        conn.send(data)
    return False


def every(conn, req, seconds, piece):
    while not conn.left(seconds):
        conn.send(piece)
    return left(conn, req)


# ---- before an answer, or in its head ----

@bad("fin-before-head")
def _(conn, req):
    return False


@bad("rst-before-head")
def _(conn, req):
    return conn.reset()


@bad("fin-in-head")
def _(conn, req):
    conn.send(conn.head("Content-Type: application/json")[:-10])
    return False


@bad("fin-after-head")
def _(conn, req):
    if req.stream:
        conn.stream_head(req)
    else:
        conn.send(conn.head("Content-Type: application/json", "Content-Length: 500"))
    return False


@bad("rst-after-head")
def _(conn, req):
    MISBEHAVIOURS["fin-after-head"](conn, req)
    conn.let_read()  # or the RST may overtake the head
    return conn.reset()


@bad("stall-before-head")
def _(conn, req):
    return conn.hold()


@bad("stall-in-head")
def _(conn, req):
    conn.send(conn.head()[:-4])
    return conn.hold()


@bad("stall-after-head")
def _(conn, req):
    MISBEHAVIOURS["fin-after-head"](conn, req)
    return conn.hold()


@bad("garbage")
def _(conn, req):
    conn.send(bytes(range(128, 256)) * 8)
    return conn.hold()


@bad("tls-alert")
def _(conn, req):
    conn.send(b"\x15\x03\x01\x00\x02\x02\x46")
    return False


@bad("endless-headers")
def _(conn, req):
    return flood(conn, b"X-Many: yes\r\n", conn.head()[:-2])


@bad("header-10m")
def _(conn, req):
    conn.send(conn.head(f"X-Long: {'x' * (10 << 20)}", "Content-Length: 2") + b"{}")
    return conn.hold()


@bad("drip-head")
def _(conn, req):
    conn.send(conn.head()[:-2] + b"X-Slow: ")
    return every(conn, req, 0.3, b"x")


@bad("redirect")
def _(conn, req):
    host, port = OTHER_HOST[0] if OTHER_HOST else ("127.0.0.1", 9)
    conn.reply(b"{}", f"Location: http://{host}:{port}{req.path}", status="307 Temporary Redirect")


@bad("length-twice")
def _(conn, req):
    data = req.answer.whole()
    conn.send(conn.head("Content-Type: application/json", f"Content-Length: {len(data)}", f"Content-Length: {len(data) - 1}") + data)
    return conn.hold()


# ---- statuses ----

def status(code, text="", kind="invalid_request_error", *fields, message=None, reason="What", name=None):
    @bad(f"status-{name or code}")
    def _(conn, req):
        said = message or f"the upstream says {code}"
        conn.reply(req.answer.error(said, kind, text or f"up_{code}", "messages"), *fields, status=f"{code} {reason}")


for number in (400, 404, 413, 415, 422):
    status(number)
for number in (401, 402, 403):
    status(number, "invalid_api_key")
for number in (408, 409, 418, 500, 502, 503, 504, 529):
    status(number, kind="server_error")
status(429, kind="rate_limit_error")
status(503, kind="server_error", message="server busy, please try again. maximum pending requests exceeded", name="503-busy")
for after in ("99999", "-1", "soon", "Fri, 31 Dec 2999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:01 GMT", "1e9", "0", "", "7"):
    NAME = {"Fri, 31 Dec 2999 23:59:59 GMT": "future", "Thu, 01 Jan 1970 00:00:01 GMT": "past", "": "empty"}.get(after, after)
    status(429, "slow", "rate_limit_error", f"Retry-After: {after}", name=f"429-after-{NAME}")
status(503, "slow", "server_error", "Retry-After: 99999", name="503-after-99999")
for number in (400, 401):
    status(number, "slow", "invalid_request_error", "Retry-After: 7", name=f"{number}-after-7")
status(400, "echo", "invalid_request_error", message=f"bad key {SECRET}, sent as Authorization: Bearer {SECRET}", name="400-with-key")
status(401, "echo", "invalid_request_error", message=f"Incorrect API key provided: {SECRET}", name="401-with-key")
status(500, "echo", "server_error", message=f"Authorization: Bearer {SECRET} {SECRET}", name="500-with-key")


@bad("status-400-html")
def _(conn, req):
    conn.reply(f"<html><h1>Bad</h1>{SECRET}</html>".encode(), status="400 Bad Request", kind="text/html")


@bad("status-400-endless")
def _(conn, req):
    return flood(conn, b"x", conn.head("Content-Type: application/json", "Connection: close", status="400 Bad Request") + b'{"error":"')


@bad("status-400-array")
def _(conn, req):
    conn.reply(b'["error"]', status="400 Bad Request")


@bad("status-400-int-code")
def _(conn, req):
    conn.reply(b'{"error":{"message":"no","type":null,"code":400}}', status="400 Bad Request")


@bad("status-204")
def _(conn, req):
    conn.send(conn.head(status="204 No Content"))
    return True


@bad("status-101")
def _(conn, req):
    conn.send(conn.head("Upgrade: chat", "Connection: upgrade", status="101 Switching Protocols") + b"chat")
    return conn.hold()


# ---- bodies that are no answer ----

@bad("error-in-200")
def _(conn, req):
    data = req.answer.error(f"the model crashed; key {SECRET}", "server_error", "crashed")
    if not req.stream:
        conn.reply(data)
        return True
    conn.stream_head(req)
    return end(conn, req, req.answer.frame(data))


@bad("error-in-200-whole")
def _(conn, req):
    """Also to whom a stream was owed."""
    conn.reply(req.answer.error("the model crashed", "server_error", "crashed"))


@bad("empty")
def _(conn, req):
    if not req.stream:
        conn.reply(b"")
        return True
    conn.stream_head(req)
    return end(conn, req)


@bad("html")
def _(conn, req):
    conn.reply(b"<!doctype html><title>Welcome to nginx!</title>", kind="text/html")


@bad("invalid-json")
def _(conn, req):
    conn.reply(req.answer.whole()[:-7] if not req.stream else b"{oops", kind="application/json")


@bad("array")
def _(conn, req):
    conn.reply(b"[]")


@bad("wrong-shape")
def _(conn, req):
    data = b'{"choices":42,"message":[],"response":{},"done":"no","model":7}'
    if not req.stream:
        conn.reply(data)
        return True
    conn.stream_head(req)
    return end(conn, req, req.answer.frame(data), req.answer.end)


@bad("trailing-bytes")
def _(conn, req):
    conn.reply(req.answer.whole() + b"}")


@bad("invalid-utf8")
def _(conn, req):
    conn.reply(req.answer.whole().replace("☃".encode(), b"\xff\xfe"))


@bad("nul")
def _(conn, req):
    conn.reply(req.answer.whole().replace("☃".encode(), b"\0"))


@bad("deep-json")
def _(conn, req):
    conn.reply(b'{"choices":' + b"[" * 100000 + b"]" * 100000 + b"}")


@bad("gzip")
def _(conn, req):
    if req.stream:
        data = gz.compress(b"".join(req.answer.frames()) + req.answer.end)
        conn.reply(data, "Content-Encoding: gzip", kind=req.answer.stream_type)
    else:
        conn.reply(gz.compress(req.answer.whole()), "Content-Encoding: gzip")


BOMB = gzip_zeros(256)  # MiB


@bad("gzip-bomb")
def _(conn, req):
    conn.reply(BOMB, "Content-Encoding: gzip", kind=req.answer.stream_type if req.stream else "application/json")


@bad("whole-for-stream")
def _(conn, req):
    """A whole answer to whom a stream was owed, and the other way round."""
    if req.stream:
        conn.reply(req.answer.whole())
        return True
    begin(conn, req, None)
    return end(conn, req, *([req.answer.end] if req.answer.end else []))


# ---- framing ----

@bad("bad-chunk-size")
def _(conn, req):
    if req.stream:
        begin(conn, req)
        conn.let_read()  # or what came before is not looked at
    else:
        conn.send(conn.head("Content-Type: application/json", "Transfer-Encoding: chunked"))
    conn.send(b"five\r\n{}\r\n0\r\n\r\n")
    return conn.hold()


@bad("length-too-long")
def _(conn, req):
    """Says more bytes than it sends, and closes."""
    data = b"".join(req.answer.frames()[:GOOD]) if req.stream else req.answer.whole()
    conn.send(conn.head(f"Content-Type: {req.answer.stream_type if req.stream else 'application/json'}",
                        f"Content-Length: {len(data) + 50}") + data)
    return False


@bad("length-too-short")
def _(conn, req):
    """Says fewer bytes than it sends: the rest must not become the next answer."""
    data = b"".join(req.answer.frames()) + req.answer.end if req.stream else req.answer.whole()
    said = len(b"".join(req.answer.frames()[:GOOD])) if req.stream else len(data) - 30
    conn.send(conn.head(f"Content-Type: {req.answer.stream_type if req.stream else 'application/json'}", f"Content-Length: {said}") + data)
    return conn.hold()


@bad("trailers")
def _(conn, req):
    """Allowed, and to be ignored."""
    if req.stream:
        begin(conn, req, None)
        if req.answer.end:
            conn.chunk(req.answer.end)
    else:
        conn.send(conn.head("Content-Type: application/json", "Transfer-Encoding: chunked", "Trailer: X-Sum"))
        conn.chunk(req.answer.whole())
    conn.send(b"0\r\nX-Sum: 5\r\nContent-Length: 3\r\n\r\n")


@bad("extra-answer")
def _(conn, req):
    """A whole answer behind the answer, which nobody asked for. All in one piece: if it came later, it might rightly be the next one's."""
    forged = conn.head("Content-Type: application/json", "Content-Length: 15") + b'{"forged":true}'
    if req.stream:
        data = b"".join(req.answer.frames()) + req.answer.end
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
        conn.send(conn.head(f"Content-Type: {req.answer.stream_type}", "Transfer-Encoding: chunked") + chunks + forged)
    else:
        data = req.answer.whole()
        conn.send(conn.head("Content-Type: application/json", f"Content-Length: {len(data)}") + data + forged)
    return conn.hold()


@bad("split")
def _(conn, req):
    """Allowed: a chunk for each byte, so that sequences of UTF-8, frames and line ends are cut everywhere."""
    data = b"".join(req.answer.frames()) + req.answer.end if req.stream else req.answer.whole()
    if req.stream:
        conn.stream_head(req)
    else:
        conn.send(conn.head("Content-Type: application/json", "Transfer-Encoding: chunked"))
    for byte in data:
        conn.chunk(bytes((byte,)))
    conn.last_chunk()


@bad("closes")
def _(conn, req):
    """Allowed: the answer ends with the connection, as of HTTP/1.0."""
    data = b"".join(req.answer.frames()) + req.answer.end if req.stream else req.answer.whole()
    conn.send(conn.head(f"Content-Type: {req.answer.stream_type if req.stream else 'application/json'}", "Connection: close") + data)
    return False


# ---- endings in the middle of an answer ----

def part(conn, req):
    """A stream's first frames, or half of a whole answer."""
    if req.stream:
        begin(conn, req)
    else:
        data = req.answer.whole()
        conn.send(conn.head("Content-Type: application/json", f"Content-Length: {len(data)}") + data[:len(data) // 2])


@bad("rst-mid")
def _(conn, req):
    part(conn, req)
    conn.let_read()  # or the RST would take from the kernel what was sent before it
    return conn.reset()


@bad("fin-mid")
def _(conn, req):
    part(conn, req)
    return False


@bad("stall-mid")
def _(conn, req):
    part(conn, req)
    return conn.hold()


@bad("half-frame-fin")
def _(conn, req):
    if not req.stream:
        return MISBEHAVIOURS["fin-mid"](conn, req)
    begin(conn, req)
    conn.chunk(req.answer.frames()[GOOD][:30])
    return False


@bad("half-frame-end")
def _(conn, req):
    """Half a frame, then HTTP's proper end."""
    if not req.stream:
        return MISBEHAVIOURS["invalid-json"](conn, req)
    begin(conn, req)
    return end(conn, req, req.answer.frames()[GOOD][:30])


@bad("drip")
def _(conn, req):
    """A byte every 300 ms."""
    if req.stream:
        conn.stream_head(req)
        data = b"".join(req.answer.frames())
    else:
        data = req.answer.whole()
        conn.send(conn.head("Content-Type: application/json", f"Content-Length: {len(data)}"))
    for byte in data:
        if conn.left(0.3):
            return left(conn, req)
        if req.stream:
            conn.chunk(bytes((byte,)))
        else:
            conn.send(bytes((byte,)))


@bad("body-1g")
def _(conn, req):
    if req.stream:
        conn.send(conn.head(f"Content-Type: {req.answer.stream_type}", "Connection: close"))
        return flood(conn, req.answer.frames()[1])
    return flood(conn, b"x" * 65536, conn.head("Content-Type: application/json", f"Content-Length: {1 << 30}") + b'{"choices":"')


@bad("infinite-line")
def _(conn, req):
    conn.send(conn.head(f"Content-Type: {req.answer.stream_type if req.stream else 'application/json'}", "Connection: close"))
    return flood(conn, b"x", b'data: {"choices":"' if b"data" in req.answer.frame(b"") else b'{"message":"')
