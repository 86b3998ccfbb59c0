# SPDX-License-Identifier: Apache-2.0
"""Requests with an Idempotency-Key, and what is to be the same in an answer and its replay."""
import json
import threading

import chimera as kit

PATH = "/v1/chat/completions"
OF_THE_REQUEST = {"date", "x-request-id", "traceparent", "tracestate", "server-timing", "connection", "idempotent-replayed", "content-length",
                  "transfer-encoding"}


def body(model="m", stream=False, text="hi"):
    return json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}).encode()


def fields(key):
    return [("Content-Type", "application/json"), *([("Idempotency-Key", key)] if key is not None else [])]


def ask(c, key, data=None, path=PATH):
    return c.request("POST", path, data or body(), fields(key))


def begin(c, key, data=None, path=PATH):
    """A connection that has sent it and does not read yet."""
    conn = c.connect()
    conn.send(kit.request_bytes("POST", path, data or body(), fields(key)))
    return conn


def handlers_fields(r):
    return sorted((n.lower(), v) for n, v in r.fields if n.lower() not in OF_THE_REQUEST)


def replays(first, second):
    """Asserts that `second` is `first` again."""
    assert first.header("Idempotent-Replayed") is None, first
    assert second.header("Idempotent-Replayed") == "true", second
    assert second.status == first.status
    assert second.body == first.body
    assert handlers_fields(second) == handlers_fields(first)
    assert second.header("X-Request-Id") != first.header("X-Request-Id")


class Later:
    """Answers of connections, read by threads."""

    def __init__(self, conns):
        self.answers = [None] * len(conns)
        self.threads = [threading.Thread(target=self.read, args=(i, c), daemon=True) for i, c in enumerate(conns)]
        for t in self.threads:
            t.start()

    def read(self, i, conn):
        self.answers[i] = conn.response()
        conn.close()

    def all(self):
        for t in self.threads:
            t.join(kit.DEADLINE)
        assert all(self.answers), self.answers
        return self.answers
