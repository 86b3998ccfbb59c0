#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""misbehave.py - an HTTP server that does what servers should not, for testing clients. Python 3.9 or newer and nothing else; for the
ports with certificates the program `openssl` too.

It prints one line of JSON and serves until SIGTERM or SIGINT:

    {"control": "http://127.0.0.1:P", "http": "http://127.0.0.1:Q", …one URL for each kind of port…, "ca": "/tmp/…/ca.pem"}

What an http port does is chosen by the path of the request: --list shows them all. The kinds of ports, one of each is open from the start:

    http            behaves by path                      tls             the same over TLS, with a certificate that "ca" vouches for
    refuse          refuses connections                  tls-selfsigned  … that nobody vouches for
    hole            never completes a connection         tls-expired     … that has ended
    mute            accepts and never reads              tls-wronghost   … of another host
    slow            200 ms late, then as http            tls-close       takes the client's first bytes of TLS and closes
                                                         tls-plain       answers them by HTTP without TLS

The control port speaks plain HTTP and counts nothing of itself:

    GET /open/KIND   opens one more port of that kind and answers its number
    GET /close/PORT  closes it and all its connections
    GET /stats/PORT  {"kind", "open": connections now, "most": at once, "total": ever, "requests": heads read, "received", "sent": bytes}
    GET /stats       {"PORT": {…}, …} of all
"""
import argparse
import asyncio
import functools
import json
import operator
import os
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import urllib.parse
import zlib

LIMIT = 1 << 20  # of a request's head
PATTERN = bytes(range(251)) * 522  # byte i of a body is i % 251; 131,022 bytes


def body(n):
    """The first n bytes of what never-lying behaviours send."""
    return (PATTERN * (n // len(PATTERN) + 1))[:n]


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def head(*fields, line="HTTP/1.1 200 OK"):
    return "".join(f + "\r\n" for f in (line, *fields, "")).encode("latin-1")


def answer(data=b"ok", *fields, line="HTTP/1.1 200 OK"):
    return head(f"Content-Length: {len(data)}", *fields, line=line) + data


# What is no answer to any request: if a client believes these bytes, it took what lies behind one answer for the next.
FORGED = answer(b"forged", "X-Forged: yes")


class Gone(Exception):
    """The client has left, or we have."""


class Request:
    def __init__(self, data):
        self.head, self.body = data, b""
        self.method, _, rest = data.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        self.path = urllib.parse.urlsplit(rest.rpartition(" ")[0]).path
        m = re.search(rb"(?mi)^content-length: *(\d+)\r$", data)
        self.length = int(m[1]) if m else 0


class Peer:
    """One connection. Whatever waits here ends with Gone when the client leaves."""

    def __init__(self, port, sock, reader, writer):
        self.port, self.sock, self.reader, self.writer = port, sock, reader, writer
        self.idle, self.dies = None, None

    async def send(self, data):
        if self.writer.transport.is_closing():
            raise Gone
        self.writer.write(data)
        self.port.sent += len(data)
        await self.writer.drain()

    async def forever(self, data, first=b""):
        await self.send(first)
        data *= max(1, 16384 // len(data))
        while True:
            await self.send(data)
            await asyncio.sleep(0)  # drain alone lets nobody else run as long as the client keeps up

    async def wait(self, ms):
        """Lets time pass; a client that leaves ends it."""
        try:
            await asyncio.wait_for(self.hold(), ms / 1000)
        except asyncio.TimeoutError:
            pass

    async def hold(self):
        """Does nothing more until the client leaves."""
        while await self.reader.read(65536):
            pass
        raise Gone

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Gone

    def close(self):
        self.writer.close()
        raise Gone

    async def request(self):
        """The next request's head; its body is read by read_body."""
        try:
            data = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), self.idle)
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise Gone from None
        self.port.received += len(data)
        self.port.requests += 1
        if self.dies:
            self.dies()
        return Request(data)

    async def read_body(self, r, piece=1 << 16, ms=0, keep=True):
        left = r.length
        while left:
            data = await self.reader.read(min(left, piece))
            if not data:
                raise Gone
            left -= len(data)
            self.port.received += len(data)
            r.body += data if keep else b""
            if ms:
                await asyncio.sleep(ms / 1000)


# ---- behaviours: by path --------------------------------------------------------------------------------------------------------

# A behaviour is called with the peer, the request and the path's further parts. When it returns the connection serves on; before it ends
# otherwise it calls hold, close or reset.
BEHAVIOURS = {}
UNREAD = set()  # of these the request's body is not read before


def on(pattern, reads=True):
    def keep(function):
        BEHAVIOURS[pattern.split("/")[1]] = (pattern, function)
        if not reads:
            UNREAD.add(function)
        return function
    return keep


def literal(path, data, then="hold", why=""):
    """A behaviour that sends these bytes and then keeps the connection ("keep"), holds it ("hold") or ends it ("close", "reset")."""
    async def function(p, r, *_):
        await p.send(data)
        if then == "hold":
            await p.hold()
        elif then != "keep":
            getattr(p, then)()
    function.__doc__ = why
    on(path)(function)


def variants(name, table, wrap=lambda data: data):
    """/name/VARIANT for each of a table {variant: bytes}, then holds."""
    async def function(p, r, variant):
        await p.send(wrap(table[variant]))
        await p.hold()
    function.__doc__ = ", ".join(table)
    on(f"/{name}/VARIANT")(function)


# What any client takes.

@on("/ok")
async def ok(p, r):
    """200 and "ok"."""
    await p.send(head("Content-Length: 2") if r.method == "HEAD" else answer())


@on("/echo")
async def echo(p, r):
    """The request, head and body, as it came."""
    await p.send(answer(r.head + r.body, "Content-Type: text/plain"))


@on("/status/CODE")
async def status(p, r, code):
    """That status, with an empty body (304: with a Content-Length, and none)."""
    fields = {"204": (), "304": ("Content-Length: 100",)}.get(code, ("Content-Length: 0",))
    await p.send(head(*fields, line=f"HTTP/1.1 {code} What"))


@on("/length/N")
async def length(p, r, n):
    """N bytes; byte i of them, here and below, is i % 251."""
    await p.send(head(f"Content-Length: {n}") + (b"" if r.method == "HEAD" else body(int(n))))


@on("/chunked/N/K")
async def chunked(p, r, n, k):
    """N bytes in chunks of K."""
    data = body(int(n))
    await p.send(head("Transfer-Encoding: chunked") + b"".join(chunk(data[i:i + int(k)]) for i in range(0, int(n), int(k))) + b"0\r\n\r\n")


@on("/split/N")
async def split(p, r, n):
    """A chunked answer of N bytes that arrives byte by byte."""
    for byte in head("Transfer-Encoding: chunked", "X-Split: yes") + chunk(body(int(n))) + b"0\r\n\r\n":
        await p.send(bytes((byte,)))
        await asyncio.sleep(0)


@on("/drip/N/MS")
async def drip(p, r, n, ms):
    """N bytes, one every MS milliseconds."""
    await p.send(head(f"Content-Length: {n}"))
    for byte in body(int(n)):
        await p.wait(int(ms))
        await p.send(bytes((byte,)))


@on("/close-delimited/N")
async def close_delimited(p, r, n):
    """N bytes that end with the connection."""
    await p.send(head("Connection: close") + body(int(n)))
    p.close()


@on("/http10/N")
async def http10(p, r, n):
    """N bytes from HTTP/1.0."""
    await p.send(head(f"Content-Length: {n}", line="HTTP/1.0 200 OK") + body(int(n)))
    p.close()


@on("/interim/CODE/N")
async def interim(p, r, code, n):
    """N answers of status 1xx, then 200 and "ok"; N = 0: nothing but them, for ever."""
    one = head("X-Interim: yes", line=f"HTTP/1.1 {code} Wait")
    if int(n) == 0:
        await p.forever(one)
    await p.send(one * int(n) + answer())


@on("/slow-head/MS")
async def slow_head(p, r, ms):
    """200 after MS milliseconds."""
    await p.wait(int(ms))
    await p.send(answer())


@on("/read-slowly/MS", reads=False)
async def read_slowly(p, r, ms):
    """Reads the request's body in pieces of 64 KiB, one every MS milliseconds, then answers how many bytes came."""
    await p.read_body(r, ms=int(ms), keep=False)
    await p.send(answer(b"%d" % r.length))


literal("/fields", head("Content-Length: 2", "Set-Cookie: a=1", "set-cookie: b=2", "X-Empty:", "X-Padded: \t in \t ", "X-High: caf\xe9",
                        line="HTTP/1.1 200 ") + b"ok", "keep",
        "200 without a reason, with a repeated, an empty, a padded and a non-ASCII field")
literal("/trailers", head("Transfer-Encoding: chunked", "X-Head: yes") + chunk(b"ok") + b"0\r\nX-Trailer: yes\r\n\r\n", "keep",
        "a chunked answer with a trailer")
literal("/chunk-ext", head("Transfer-Encoding: chunked") + b'1;a\r\no\r\n1;b="c";d=e\r\nk\r\n0;z\r\n\r\n', "keep", "chunks with extensions")
literal("/identity", answer(b"ok", "Content-Encoding: identity"), "keep", "Content-Encoding: identity")


# Redirects. Whoever follows makes a second request here.

@on("/redirect/WHERE")
async def redirect(p, r, where):
    """302 to the same port: by another name (other-host), by http (downgrade), by a path (same)."""
    port = p.port.number
    to = {"other-host": f"http://localhost:{port}/ok", "downgrade": f"http://127.0.0.1:{port}/ok", "same": "/ok"}[where]
    await p.send(answer(b"moved", "Location: " + to, line="HTTP/1.1 302 Found"))


# Connections that end or stop.

literal("/reset-before-head", b"", "reset", "RST in place of an answer")
literal("/close-before-head", b"", "close", "FIN in place of an answer")
literal("/reset-in-head", head("Content-Length: 2")[:-4], "reset", "RST inside the head")
literal("/close-in-head", head("Content-Length: 2")[:-4], "close", "FIN inside the head")
literal("/short-length", head("Content-Length: 100") + body(50), "close", "says 100 bytes, sends 50, closes")
literal("/reset-in-chunk", head("Transfer-Encoding: chunked") + chunk(b"ok") + b"64\r\nhalf", "reset", "RST inside a chunk")
literal("/cut-chunked", head("Transfer-Encoding: chunked") + chunk(b"ok"), "close", "closes where a chunk should come")
literal("/stall-head", b"", "hold", "no answer")
literal("/stall-in-head", head("Content-Length: 2")[:-4], "hold", "half a head, then nothing")
literal("/stall-body", head("Content-Length: 100") + body(50), "hold", "says 100 bytes, sends 50, then nothing")
literal("/stall-chunk", head("Transfer-Encoding: chunked") + chunk(b"ok"), "hold", "nothing where a chunk should come")


@on("/reset-mid-body/MS")
async def reset_mid_body(p, r, ms):
    """Says 100 bytes, sends 50, and after MS milliseconds RST."""
    await p.send(head("Content-Length: 100") + body(50))
    await p.wait(int(ms))
    p.reset()


@on("/drip-head/MS")
async def drip_head(p, r, ms):
    """A head that never ends, a byte every MS milliseconds."""
    await p.send(head()[:-2] + b"X-Slow: ")
    while True:
        await p.send(b"x")
        await p.wait(int(ms))


@on("/drip-forever/MS")
async def drip_forever(p, r, ms):
    """A body that never ends, a byte every MS milliseconds."""
    await p.send(head("Transfer-Encoding: chunked"))
    while True:
        await p.send(chunk(b"x"))
        await p.wait(int(ms))


@on("/never-reads", reads=False)
async def never_reads(p, r):
    """Neither reads the request's body nor answers."""
    p.writer.transport.pause_reading()
    await p.port.watch(p.sock)
    raise Gone


@on("/early-answer", reads=False)
async def early_answer(p, r):
    """413 before the request's body is read, and closes."""
    await p.send(answer(b"too large", "Connection: close", line="HTTP/1.1 413 Too Large"))
    await p.read_body(r, keep=False)
    p.close()


# Connections that look as if they could be used again.

@on("/die-on-next/HOW")
async def die_on_next(p, r, how):
    """200; the next request on this connection gets FIN (close) or RST (reset) for an answer."""
    p.dies = {"close": p.close, "reset": p.reset}[how]
    await p.send(answer())


@on("/keepalive-then-close/MS")
async def keepalive_then_close(p, r, ms):
    """200; closes the connection after MS idle milliseconds."""
    p.idle = int(ms) / 1000
    await p.send(answer())


@on("/extra-bytes-later/MS")
async def extra_bytes_later(p, r, ms):
    """200; a whole answer that nobody asked for follows MS milliseconds later."""
    await p.send(answer())
    asyncio.get_running_loop().call_later(int(ms) / 1000, p.writer.write, FORGED)


literal("/extra-bytes-behind", answer() + FORGED, "keep", "200 with a whole answer behind it that nobody asked for")
literal("/long-length", head("Content-Length: 2") + b"ok and more than was said", "keep", "says 2 bytes, sends 25")
literal("/close-header", answer(b"ok", "Connection: close"), "keep", "200 with Connection: close, and does not close")
literal("/204-with-body", head("Content-Length: 5", line="HTTP/1.1 204 No Content") + b"hello", "keep", "a 204 with a body")
literal("/head-with-body", answer(b"hello"), "keep", "a body, also to HEAD")

# What is no HTTP.

literal("/garbage", bytes(range(128, 256)) * 8, "hold", "bytes that are nothing")
literal("/http09", b"<html>hello</html>\n", "close", "a body without a head")
literal("/no-crlf", answer().replace(b"\r\n", b"\n"), "hold", "a head with LF for CRLF (RFC 9112 lets a client take it)")
literal("/obs-fold", answer(b"ok", "X-Folded: one\r\n two"), "hold", "a field folded over two lines (RFC 9112 lets a client join it)")
literal("/101", head("Upgrade: chat", "Connection: upgrade", line="HTTP/1.1 101 Switching Protocols") + b"chat", "hold", "101, unasked")
literal("/te-and-cl", head("Content-Length: 2", "Transfer-Encoding: chunked") + chunk(b"ok") + b"0\r\n\r\n", "hold",
        "Transfer-Encoding beside Content-Length")

variants("status-line", {
    "two-digits": answer(line="HTTP/1.1 20 OK"), "four-digits": answer(line="HTTP/1.1 2000 OK"), "word": answer(line="HTTP/1.1 abc OK"),
    "zero": answer(line="HTTP/1.1 000 OK"), "minus": answer(line="HTTP/1.1 -20 OK"), "no-code": answer(line="HTTP/1.1"),
    "version": answer(line="HTTP/9.1 200 OK"), "lower": answer(line="http/1.1 200 OK"), "name": answer(line="HTTQ/1.1 200 OK"),
    "nul": answer(line="HTTP/1.1 200 O\0K")})
variants("bad-field", {
    "nul": answer(b"ok", "X-Bad: a\0b"), "cr": answer(b"ok", "X-Bad: a\rX-Forged: yes"), "no-colon": answer(b"ok", "X-Bad"),
    "no-name": answer(b"ok", ": bad"), "space-in-name": answer(b"ok", "X Bad: a"), "space-before-colon": answer(b"ok", "X-Bad : a"),
    "first-folded": answer(b"ok").replace(b"\r\n", b"\r\n X-Bad: a\r\n", 1), "nul-in-name": answer(b"ok", "X-B\0d: a")})
variants("bad-length", {
    name: head(*(f"Content-Length: {v}" for v in values)) + b"hello" for name, values in {
        "conflict": ("5", "6"), "list-conflict": ("5, 6",), "minus": ("-5",), "plus": ("+5",), "hex": ("0x5",), "words": ("5 5",),
        "empty": ("",), "text": ("five",), "over-64-bits": ("18446744073709551621",), "equal": ("5", "5"),
        "list-equal": ("5, 5",)}.items()})
variants("bad-coding", {
    name: head(f"Transfer-Encoding: {v}") + chunk(b"hello") + b"0\r\n\r\n" for name, v in {
        "unknown": "rot13, chunked", "twice": "chunked, chunked", "not-last": "chunked, gzip", "near": "xchunked"}.items()})
variants("bad-chunk", {
    "text": b"five\r\nhello\r\n0\r\n\r\n", "empty": b"\r\nhello\r\n0\r\n\r\n", "minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n", "hex": b"0x5\r\nhello\r\n0\r\n\r\n", "over-64-bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "longer": b"5\r\nhello and more\r\n0\r\n\r\n", "no-crlf": b"5\r\nhello0\r\n\r\n", "space": b" 5\r\nhello\r\n0\r\n\r\n",
    "nul": b"5;\0\r\nhello\r\n0\r\n\r\n", "bare-cr": b"5\rhello\r0\r\r"}, lambda data: head("Transfer-Encoding: chunked") + data)


# What is too much.

def endless(path, data, first=b"", why=""):
    async def function(p, r, *_):
        await p.forever(data, first)
    function.__doc__ = why
    on(path)(function)


endless("/endless-status-line", b"x", b"HTTP/1.1 200 ", "a status line that never ends")
endless("/endless-header-line", b"x", head()[:-2] + b"X-Long: ", "a header line that never ends")
endless("/endless-headers", b"X-Many: yes\r\n", head()[:-2], "header lines without end")
endless("/infinite-body", PATTERN, head("Connection: close"), "a body without end, until the connection's")
endless("/infinite-length", PATTERN, head("Content-Length: 9000000000000000000"), "a body of almost 2^63 bytes")
endless("/infinite-chunked", chunk(PATTERN), head("Transfer-Encoding: chunked"), "chunks without end")
endless("/endless-line-body", b"x", head("Content-Type: text/event-stream", "Connection: close"), "a body that is one line without end")
endless("/chunk-flood", chunk(b"x"), head("Transfer-Encoding: chunked"), "chunks of one byte without end")
endless("/chunk-ext-flood", chunk(b"x").replace(b"\r", b";" + b"e" * 4096 + b"\r", 1), head("Transfer-Encoding: chunked"),
        "chunks of one byte with an extension of 4 KiB, without end")
endless("/endless-chunk-ext", b"e", head("Transfer-Encoding: chunked") + b"1;", "a chunk's extension that never ends")
endless("/endless-trailers", b"X-Many: yes\r\n", head("Transfer-Encoding: chunked") + chunk(b"ok") + b"0\r\n", "trailers without end")


def gzip_zeros(mib):
    """That many MiB of zeros as gzip. Behind a full flush deflate remembers nothing, so one MiB's code may be repeated."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    one = deflate.compress(zeros) + deflate.flush(zlib.Z_FULL_FLUSH)
    # Zeros turn each bit of a CRC's register into the same bits every time: a thousand times as fast as to look at all of them.
    turned = [~zlib.crc32(zeros, ~(1 << bit) & 0xffffffff) & 0xffffffff for bit in range(32)]
    register = 0xffffffff
    for _ in range(mib):
        register = functools.reduce(operator.xor, (t for bit, t in enumerate(turned) if register >> bit & 1), 0)
    end = zlib.compressobj(9, zlib.DEFLATED, -15).flush() + struct.pack("<II", ~register & 0xffffffff, mib << 20)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + one * mib + end


@on("/gzip/MIB")
async def gzip(p, r, mib, known={}):  # noqa: B006
    """Content-Encoding: gzip, unasked: MIB MiB of zeros, about 1 KiB of code each; /gzip/1024 is a bomb."""
    if mib not in known:
        known[mib] = gzip_zeros(int(mib))
    await p.send(answer(known[mib], "Content-Encoding: gzip"))


@on("/truncated/N")
async def truncated(p, r, n):
    """N bytes that end with the connection; over TLS without the notice that tells a whole answer from one that was cut."""
    await p.send(head("Connection: close") + body(int(n)))
    p.writer.transport.abort()
    raise Gone


# ---- ports -------------------------------------------------------------------------------------------------------------------------

class Port:
    """A listening port of one kind, with its counts."""

    def __init__(self, server, kind, host):
        self.server, self.kind, self.context = server, kind, server.contexts.get(kind)
        self.open = self.most = self.total = self.requests = self.received = self.sent = 0
        self.tasks, self.socks = set(), set()
        self.sock = socket.socket()
        self.sock.bind((host, 0))
        self.sock.setblocking(False)
        self.number = self.sock.getsockname()[1]
        if kind == "hole":
            self.fill(host)
        elif kind != "refuse":
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit these
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # small: what waits in the kernel hides what the client does
                self.sock.setsockopt(socket.SOL_SOCKET, option, 1 << 16)
            self.sock.listen(1024)
            self.spawn(self.accept())

    def url(self):
        return f"http{'s' if self.kind.startswith('tls') else ''}://{self.sock.getsockname()[0]}:{self.number}"

    def stats(self):
        return {k: getattr(self, k) for k in ("kind", "open", "most", "total", "requests", "received", "sent")}

    def spawn(self, job):
        task = asyncio.get_running_loop().create_task(job)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def fill(self, host):
        """Takes all places of the queue that nobody accepts from: the kernel then drops what asks for a connection."""
        self.sock.listen(0)
        for _ in range(8):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((host, self.number))
            self.socks.add(s)
            if not select.select([], [s], [], 0.05)[1]:
                return

    def close(self):
        for task in list(self.tasks):
            task.cancel()
        for s in (self.sock, *self.socks):
            s.close()

    async def accept(self):
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self.sock)
            except ConnectionError:
                continue
            self.total += 1
            self.open += 1
            self.most = max(self.most, self.open)
            self.spawn(self.connection(sock))

    async def connection(self, sock):
        try:
            if self.kind == "mute":
                await self.watch(sock)
            elif self.kind in ("tls-close", "tls-plain"):
                await asyncio.get_running_loop().sock_recv(sock, 65536)
                sock.send(answer(b"no TLS here", line="HTTP/1.1 400 Bad Request") if self.kind == "tls-plain" else b"")
            else:
                await asyncio.sleep(0.2 if self.kind == "slow" else 0)
                await self.serve(sock)
        except (Gone, OSError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            sock.close()

    async def watch(self, sock):
        """Waits, without reading, until the client has closed; the kernel tells it once what the client sent has found room."""
        while sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1:  # TCP_ESTABLISHED
            await asyncio.sleep(0.02)

    async def serve(self, sock):
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LIMIT)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=self.context)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        peer = Peer(self, transport.get_extra_info("socket"), reader, writer)
        try:
            while True:
                await self.behave(peer, await peer.request())
        finally:
            writer.close()
            try:
                await asyncio.wait_for(writer.wait_closed(), 1)
            except asyncio.TimeoutError:
                transport.abort()
            except OSError:
                pass  # it is closed

    async def behave(self, peer, r):
        before, name, *parts = (urllib.parse.unquote(part, "latin-1") for part in (r.path or "?/").split("/"))
        _, function = BEHAVIOURS.get(name or "ok" if not before else None, (None, None))
        if function not in UNREAD:
            await peer.read_body(r)
        try:
            if not function:
                raise KeyError(name)
            await function(peer, r, *parts)
        except (KeyError, TypeError, ValueError) as e:
            await peer.send(answer(f"misbehave.py knows no {r.path}: {e!r}\n".encode(), line="HTTP/1.1 404 Not Found"))


# ---- the whole -----------------------------------------------------------------------------------------------------------------------

class Certificates:
    """TLS contexts by kind of port; none where there is no program `openssl`."""

    def __init__(self, folder):
        self.folder, self.contexts, self.ca = folder, {}, None
        if not shutil.which("openssl"):
            return
        with open(self.at("cnf"), "w", encoding="ascii") as f:
            f.write("[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
                    "unique_subject=no\ncopy_extensions=copy\n[p]\ncommonName=supplied\n")
        open(self.at("index"), "w", encoding="ascii").close()
        self.new("ca", "CN=misbehave", "basicConstraints=critical,CA:TRUE", "-x509", "-days", "30", "-out", "ca.pem")
        self.ca = self.at("ca.pem")
        self.leaf("tls", "IP:127.0.0.1,DNS:localhost")
        self.leaf("tls-wronghost", "DNS:elsewhere.example")
        self.leaf("tls-expired", "IP:127.0.0.1,DNS:localhost", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
        self.new("tls-selfsigned", "CN=127.0.0.1", "subjectAltName=IP:127.0.0.1", "-x509", "-days", "30", "-out", "tls-selfsigned.pem")
        self.load("tls-selfsigned")

    def at(self, name):
        return os.path.join(self.folder, name)

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def new(self, name, subject, extension, *words):
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", name + ".key",
                     "-subj", "/" + subject, "-addext", extension, *words)

    def leaf(self, name, hosts, *words):
        self.new(name, "CN=misbehave " + name, "subjectAltName=" + hosts, "-out", name + ".csr")
        self.openssl("ca", "-batch", "-notext", "-config", "cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-days", "30",
                     "-in", name + ".csr", "-out", name + ".pem", *words)
        self.load(name)

    def load(self, name):
        self.contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.contexts[name].load_cert_chain(self.at(name + ".pem"), self.at(name + ".key"))


class Server:
    def __init__(self, host, folder):
        self.host, self.ports = host, {}
        certificates = Certificates(folder)
        self.contexts, self.ca = certificates.contexts, certificates.ca
        self.kinds = ["http", "slow", "mute", "refuse", "hole", *self.contexts, "tls-close", "tls-plain"]

    def open(self, kind):
        port = Port(self, kind, self.host)
        self.ports[port.number] = port
        return port

    def control(self, path):
        """The answer to a path of the control port, or None."""
        word, _, what = path[1:].partition("/")
        if word == "open" and what in self.kinds:
            return b"%d\n" % self.open(what).number
        if word == "stats" and not what:
            return json.dumps({n: p.stats() for n, p in self.ports.items()}).encode() + b"\n"
        port = self.ports.get(int(what)) if re.fullmatch("[0-9]{1,5}", what) else None
        if port and word == "stats":
            return json.dumps(port.stats()).encode() + b"\n"
        if port and word == "close":
            del self.ports[port.number]
            port.close()
            return b"closed\n"
        return None

    async def on_control(self, reader, writer):
        try:
            while True:
                data = self.control(Request(await reader.readuntil(b"\r\n\r\n")).path)
                writer.write(answer(data) if data is not None else answer(b"no such thing\n", line="HTTP/1.1 404 Not Found"))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    async def run(self):
        control = await asyncio.start_server(self.on_control, self.host, 0)
        said = {"control": "http://%s:%d" % control.sockets[0].getsockname()[:2]}
        said.update((kind, self.open(kind).url()) for kind in self.kinds)
        said["ca"] = self.ca
        print(json.dumps(said), flush=True)
        end = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end.set)
        await end.wait()
        for port in self.ports.values():
            port.close()


def main():
    parser = argparse.ArgumentParser(description="An HTTP server that misbehaves, for testing clients. See the top of the file.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--list", action="store_true", help="lists the paths and ends")
    args = parser.parse_args()
    if args.list:
        for pattern, function in BEHAVIOURS.values():
            print(f"{pattern:28}{' '.join((function.__doc__ or '').split())}")
        return
    with tempfile.TemporaryDirectory(prefix="misbehave-") as folder:
        asyncio.run(Server(args.host, folder).run())


if __name__ == "__main__":
    main()
