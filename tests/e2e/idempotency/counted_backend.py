# SPDX-License-Identifier: Apache-2.0
"""A model's server that counts: each call that reaches it is kept, and its answer says which one it is, so no two calls answer the same.

What it does is chosen by the request's model:
  slow-*       waits until open() is called; sees meanwhile whether its client leaves (Call.gone)
  status-NNN   that status with an error object
  big-N        an answer with N bytes of text
  any other    answers at once
A request with `stream` gets a stream of events: with slow-* its first frame comes before it waits.
"""
import json
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Call:
    """A request as it came; `gone`: its client left before its answer was whole."""

    def __init__(self, number, body):
        self.number, self.body, self.model = number, body, body.get("model", "")
        self.gone = threading.Event()
        self.ended = threading.Event()


class Counting:
    def __init__(self):
        self.calls, self.lock, self.gate, self.closed = [], threading.Lock(), threading.Event(), False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    call = Call(len(outer.calls) + 1, body)
                    outer.calls.append(call)
                try:
                    outer.answer(self, call)
                except OSError:
                    call.gone.set()
                    self.close_connection = True
                call.ended.set()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def of(self, model):
        """The calls for that model."""
        with self.lock:
            return [c for c in self.calls if c.model == model]

    def open(self):
        """Lets all go on that wait, now and from now on."""
        self.gate.set()

    def shut(self):
        self.gate.clear()

    def wait(self, handler, call):
        while not self.gate.wait(0.01):
            if select.select([handler.connection], [], [], 0)[0] and handler.connection.recv(1, socket.MSG_PEEK) == b"":
                raise ConnectionResetError

    def answer(self, handler, call):
        slow, stream = call.model.startswith("slow-"), call.body.get("stream")
        if stream:
            self.stream(handler, call, slow)
            return
        if slow:
            self.wait(handler, call)
        status = int(call.model[7:]) if call.model.startswith("status-") else 200
        text = "x" * int(call.model[4:]) if call.model.startswith("big-") else f"call {call.number}"
        value = {"error": {"message": f"refused, call {call.number}", "type": "invalid_request_error", "code": "no"}} if status != 200 else {
            "id": f"call-{call.number}", "object": "chat.completion", "created": 1, "model": call.model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
        data = json.dumps(value).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def stream(self, handler, call, slow):
        def frame(text):
            data = b"data: " + text.encode() + b"\n\n"
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            handler.wfile.flush()

        def delta(text, reason=None):
            frame(json.dumps({"id": f"call-{call.number}", "object": "chat.completion.chunk", "created": 1, "model": call.model,
                              "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}))
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        delta(f"call {call.number}")
        if slow:
            self.wait(handler, call)
        for i in range(20):
            delta(f" word {i}")
        delta("", "stop")
        frame("[DONE]")
        handler.wfile.write(b"0\r\n\r\n")

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
