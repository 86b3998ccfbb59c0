# SPDX-License-Identifier: Apache-2.0
"""A server of models for tests: OpenAI's protocol below /v1 (llama.cpp's too: the same, and /health), Ollama's below /api.

It keeps every request as it came. What it does is chosen by the request's model: `bad-NAME` misbehaves as misbehaviours.py says, any other
is answered as dialects.py says; or by script(), for a model whose answers change from one request to the next.

As a program (`python3 provider.py PORT`) it serves until it is ended, for trying a gateway by hand.
"""
import json
import os
import re
import select
import socket
import sys
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in (os.path.join(HERE, ".."), os.path.join(HERE, "..", "http_client"), HERE):
    if os.path.abspath(folder) not in map(os.path.abspath, sys.path):
        sys.path.append(os.path.abspath(folder))

import chimera as kit  # noqa: E402
import dialects  # noqa: E402
from upstream import Conn, Upstream  # noqa: E402


class Request:
    """A request as it came. gone: when (time.monotonic) the client was seen to have left before the answer's end; sent: frames by then."""

    def __init__(self, conn, head, body):
        self.conn, self.head, self.body, self.at = conn, head, body, time.monotonic()
        self.line, *rest = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = self.line.split(" ")
        self.fields = [tuple(f.split(": ", 1)) for f in rest if f]
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        self.json = value if isinstance(value, dict) else {}
        self.model = self.json.get("model", "")
        self.ollama = self.path.startswith("/api/")
        self.stream = self.json.get("stream", self.ollama)
        self.answer = (dialects.Ollama if self.ollama else dialects.OpenAI)(self.path, self.json)
        self.sent, self.gone = 0, None
        self.ended = threading.Event()

    def field(self, name):
        """The one field of that name, or None."""
        found = [v for n, v in self.fields if n.lower() == name.lower()]
        assert len(found) < 2, self.fields
        return found[0] if found else None


class Peer(Conn):
    """A connection whose requests are kept whole."""

    def request(self):
        while b"\r\n\r\n" not in self.buffer:
            if not self.read():
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        length = re.search(rb"(?mi)^content-length: *(\d+)\r?$", head)
        length = int(length[1]) if length else 0
        while len(self.buffer) < length:
            if not self.read():
                return None
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        self.requests += 1
        return Request(self, head, body)

    def head(self, *fields, status="200 OK"):
        return "".join(f"{f}\r\n" for f in (f"HTTP/1.1 {status}", *fields)).encode("latin-1") + b"\r\n"

    def reply(self, data, *fields, status="200 OK", kind="application/json"):
        self.send(self.head(f"Content-Type: {kind}", f"Content-Length: {len(data)}", *fields, status=status) + data)

    def stream_head(self, req, *fields):
        self.send(self.head(f"Content-Type: {req.answer.stream_type}", "Transfer-Encoding: chunked", *fields))

    def chunk(self, data):
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def last_chunk(self):
        self.send(b"0\r\n\r\n")

    def left(self, seconds):
        """Lets time pass; True at once when the client leaves."""
        if self.closed.is_set():
            return True
        if not select.select([self.sock], [], [], seconds)[0]:
            return False
        try:
            if self.sock.recv(1, socket.MSG_PEEK):
                return False
        except OSError:
            pass
        self.closed.set()
        return True

    def let_read(self):
        """Time for the client, on a busy machine too, to take from the kernel what was sent: an RST would take the rest away."""
        self.left(1.5 if kit.SANITIZERS else 0.7)

    def hold(self):
        """Does nothing more until the client leaves."""
        self.wait_closed()
        return False

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()
        return False


def behave(conn, req):
    """The answer of a server that does what it should."""
    path = re.sub(r"^/v1(?=/)", "", urllib.parse.unquote(req.path))
    if req.method == "GET":
        found = re.fullmatch(r"/models/(.+)", path)
        if path in ("/models", "/api/tags"):
            conn.reply(req.answer.models())
        elif path in ("/health", "/api/version"):
            conn.reply(b'{"status":"ok"}' if path == "/health" else b'{"version":"0.12.0"}')
        elif found and found[1] in dialects.MODELS:
            conn.reply(dialects.compact({"id": found[1], "object": "model", "created": dialects.CREATED, "owned_by": "tests"}))
        else:
            conn.reply(req.answer.error("no such page", "invalid_request_error"), status="404 Not Found")
    elif path in ("/embeddings", "/api/embed"):
        conn.reply(req.answer.embeddings())
    elif path == "/responses":
        parts = req.answer.responses()
        if req.stream:
            return stream(conn, req, parts)
        conn.reply(parts[0], "openai-processing-ms: 5")
    elif path in ("/chat/completions", "/completions", "/api/chat", "/api/generate"):
        if req.stream:
            return stream(conn, req, [*req.answer.frames(), req.answer.end])
        if req.answer.pace and conn.left(req.answer.pace * len(req.answer.words) / 1000):
            return left(conn, req)
        conn.reply(req.answer.whole(), "x-request-id: req_upstream")
    else:
        conn.reply(req.answer.error("no such page", "invalid_request_error"), status="404 Not Found")
    return True


def left(conn, req):
    req.gone = time.monotonic()
    return False


def stream(conn, req, frames):
    conn.stream_head(req)
    for frame in frames:
        if frame:
            if conn.left(req.answer.pace / 1000):
                return left(conn, req)
            conn.chunk(frame)
            req.sent += 1
    conn.last_chunk()
    return True


class Provider(Upstream):
    """requests: all so far, in order of their arrival."""

    def __init__(self, port=0, host="127.0.0.1"):
        self.requests, self.scripts, self.lock = [], {}, threading.Lock()
        super().__init__(host=host, port=port)

    def script(self, model, *steps):
        """What the next requests for that model get, one after the other; the last step stays. A step: a function(conn, req) like
        behave, or the name of a misbehaviour."""
        self.scripts[model] = list(steps)

    def step(self, model):
        from misbehaving_streams import MISBEHAVIOURS  # which has those of misbehaviours.py, too
        with self.lock:
            steps = self.scripts.get(model)
            if steps:
                step = steps.pop(0) if len(steps) > 1 else steps[0]
            else:
                named = re.match("(?:ollama-)?bad-(.*)", model) if isinstance(model, str) else None
                step = named[1] if named else behave
        return MISBEHAVIOURS[step] if isinstance(step, str) else step

    def serve(self, sock):
        conn = Peer(self, sock, len(self.conns))
        self.conns.append(conn)
        try:
            while True:
                req = conn.request()
                if req is None:
                    break
                self.requests.append(req)
                self.arrived.release()
                try:
                    again = self.step(req.model)(conn, req)
                finally:
                    req.ended.set()
                if again is False:
                    break
        except OSError:
            pass
        conn.close()
        conn.closed.set()

    def of(self, model):
        """The requests for that model so far."""
        return [r for r in self.requests if r.model == model]

    def wait_request(self, model, n=1):
        """The n-th request for that model, when it has come."""
        return kit.wait_for(lambda: len(self.of(model)) >= n and self.of(model)[n - 1], f"request {n} for {model}")


if __name__ == "__main__":
    if "--list" in sys.argv:
        from misbehaving_streams import MISBEHAVIOURS as NAMES
        print("\n".join(NAMES))
        sys.exit()
    provider = Provider(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(f"http://{provider.host}:{provider.port}/v1 and http://{provider.host}:{provider.port}", flush=True)
    threading.Event().wait()
