# SPDX-License-Identifier: Apache-2.0
"""The gateway that the tests speak to, and what they hold against its answers.

With CHIMERA_GATEWAY=http://host:port it is one that already runs, configured as README.md says; else each module starts a chimerad.
"""
import json
import os
import re
import time
import urllib.parse

import chimera as kit
import pytest
from misbehaviours import SECRET

URL = os.environ.get("CHIMERA_GATEWAY")
UPSTREAM_PORT = int(os.environ.get("CHIMERA_UPSTREAM_PORT", "0"))
TOKEN = os.environ.get("CHIMERA_GATEWAY_KEY", "sk-client")

# Short enough that a whole table of stalls is over soon, long enough for a busy machine; README.md names them too.
SECOND = 3 if kit.SANITIZERS else 1
TIMES = {"connect_timeout": f"{2 * SECOND}s", "first_token_timeout": f"{2 * SECOND}s", "idle_timeout": f"{2 * SECOND}s",
         "timeout": f"{4 * SECOND}s", "budget": f"{6 * SECOND}s"}
MENDABLE = (400, 404, 413, 415, 422)  # of which the provider's own error object is shown
# Where nothing is to time out: what a test holds, it may hold for long.
PATIENT = {"connect_timeout": "1m", **dict.fromkeys(("first_token_timeout", "idle_timeout", "timeout", "budget"), "10m")}
NO_BREAKER = {"breaker_failures": 1000000, "breaker_min_requests": 1000000}


def in_time(attempt, least, most, tries=5):
    """Has attempt(i) tell how many seconds something took, until that is at most `most`: a busy machine is late now and then, but not each
    time. Never may it be less than `least`."""
    took = []
    while not took or took[-1] > most:
        assert len(took) < tries, f"always later than {most} s: {took}"
        took.append(attempt(len(took)))
        assert took[-1] >= least, took


def need(plugins, config=None):
    """Skips where a plugin is not built that the config names (None: that the usual one names)."""
    for name in config or sections(0):
        name = re.split("[:.]", name)[0]
        if name not in ("server", "log") and not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")


def base(port, path="/v1"):
    return f"http://127.0.0.1:{port}{path}"


def sections(port, **more):
    """The config of a gateway before one upstream at that port that plays all parts: by its own name, and with `ollama-` before as Ollama.
    Keyword arguments are further sections; of one that is here already, further keys. None leaves it out."""
    dead = kit.free_port()
    full = {
        "http_client": {},
        "openai:up": {"base_url": base(port), "api_key": SECRET, "models": "gpt-*, bad-*, words-*, up-*, rich, Qwen/*, gemma3:latest",
                      "default_model": "gpt-test"},
        "llama:ollama": {"base_url": base(port, ""), "dialect": "ollama", "models": "ollama-*", "default_model": "ollama-gemma3"},
        "openai:dead": {"base_url": base(dead), "models": "dead-*"},
        "router": {"default": "up", "retries": 0, **TIMES, **NO_BREAKER},
        "api_openai": {}, "trace": {}}
    for name, keys in more.items():
        name = name.replace("__", ":")
        full[name] = None if keys is None else {**(full.get(name) or {}), **keys}
    return full


class Gateway:
    """An address with OpenAI's API below /v1. chimera: the Chimera behind it, or None."""

    def __init__(self, address, chimera=None, prefix=""):
        self.address, self.chimera, self.prefix = address, chimera, prefix

    def connect(self, **kw):
        return kit.Connection(self.address, **kw)

    def request(self, path, body, *headers):
        if not isinstance(body, (bytes, type(None))):
            body = json.dumps(body).encode()
        fields = [("Authorization", f"Bearer {TOKEN}"), *headers]
        if body is not None:
            fields.append(("Content-Type", "application/json"))
        return kit.request_bytes("GET" if body is None else "POST", self.prefix + path, body, fields,
                                 host=f"{self.address[0]}:{self.address[1]}")

    def ask(self, path, body=None, *headers):
        """A whole answer."""
        with self.connect() as c:
            c.send(self.request(path, body, *headers))
            return c.response()

    def chat(self, model, *headers, **more):
        return self.ask("/v1/chat/completions", chat_body(model, **more), *headers)

    def stream(self, model, *headers, path="/v1/chat/completions", body=None, **more):
        """A Stream that has been asked for."""
        c = self.connect()
        c.send(self.request(path, body or chat_body(model, stream=True, **more), *headers))
        return Stream(c)

    @property
    def url(self):
        return f"http://{self.address[0]}:{self.address[1]}{self.prefix}"


def chat_body(model, **more):
    return {"model": model, "messages": [{"role": "user", "content": "Say hello"}], **more}


class Stream:
    """A streamed answer, read event by event by the rules of server-sent events, more strictly than any client would.

    events: the data of each event so far, `raw`: all bytes; comments: how many there were. An answer that is no stream is in `response`,
    with its body.
    """

    def __init__(self, conn):
        self.conn, self.events, self.comments, self.raw = conn, [], 0, b""
        self.times, self.cut = [], False
        self.response = self.pieces = None
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.conn.close()

    def head(self):
        if self.response is None:
            self.response = r = self.conn.head()
            if (r.header("Content-Type") or "").partition(";")[0] != "text/event-stream":
                self.pieces = iter(())
                if r.header("Content-Length"):
                    r.body = self.conn.exactly(int(r.header("Content-Length")))
                else:
                    r.body = b"".join(self.conn.chunks()) if r.header("Transfer-Encoding") else self.conn.rest()
            else:
                assert r.status == 200 and r.header("Transfer-Encoding") == "chunked", r
                assert "no-cache" in r.header("Cache-Control") and r.header("Content-Encoding") is None, r
                self.pieces = self.conn.chunks()
        return self.response

    @property
    def streamed(self):
        self.head()
        return not self.response.body

    def event(self):
        """The next event's data; None at the end."""
        self.head()
        while b"\n\n" not in self.pending:
            try:
                piece = next(self.pieces)
            except StopIteration:
                assert self.pending == b"", f"the stream ended within an event: {self.pending[:200]!r}"
                return None
            except kit.Closed:
                self.cut = True
                return None
            self.raw += piece
            self.pending += piece
        event, self.pending = self.pending.split(b"\n\n", 1)
        event.decode("utf-8")
        assert b"\r" not in event and b"\n" not in event, event
        if event.startswith(b":"):
            self.comments += 1
            return self.event()
        assert event.startswith(b"data: "), event
        self.events.append(event[6:])
        self.times.append(time.monotonic())
        return event[6:]

    def rest(self):
        """All events to the end."""
        while self.event() is not None:
            pass
        return self.events

    def chunks(self):
        """The objects of all events but [DONE]."""
        return [json.loads(e) for e in self.rest() if e != b"[DONE]"]

    def text(self):
        return "".join(c["choices"][0]["delta"].get("content") or "" for c in self.chunks() if c.get("choices"))


class Outcome:
    """What a client was told, in one of three forms: "ok", "503 upstream_error" for an answer that is an error, or "error upstream_error"
    for a stream that began and ended with an error frame. Anything else is an AssertionError."""

    def __init__(self, said, response, stream=None):
        self.said, self.response, self.stream = said, response, stream

    @property
    def everything(self):
        """All bytes that came, for looking for secrets."""
        return repr(self.response.fields).encode() + self.response.body + (self.stream.raw if self.stream else b"")

    def error(self):
        """OpenAI's error object, as its clients find it."""
        if self.said.startswith("error"):
            return json.loads(self.stream.events[-1])["error"]
        return self.response.json()["error"]


def judge_error(r):
    """An answer that is an error: of the one shape, and retried by clients only where that helps."""
    problem = r.json()
    error, status = problem["error"], r.status
    assert isinstance(error, dict) and isinstance(error["message"], str) and error["message"], problem
    if status not in MENDABLE:
        assert isinstance(error["type"], str) and isinstance(error["code"], str), problem
    assert problem["status"] == status and problem["detail"] and isinstance(problem["code"], str), problem
    after = r.header("Retry-After")
    if status in (429, 503):
        if r.header("x-should-retry") == "true":
            assert after and re.fullmatch(r"[1-9][0-9]*", after) and int(after) <= 120, r.fields
        else:
            assert r.header("x-should-retry") == "false", r.fields
    else:
        assert after is None and r.header("x-should-retry") in (None, "false"), r.fields
    return f"{status} {problem['code']}"


def judge_stream(s):
    """A stream: exactly one end."""
    r = s.head()
    if not s.streamed:
        assert r.status != 200, f"a whole answer to whom a stream was owed: {r}"
        return judge_error(r)
    events = s.rest()
    done = events.count(b"[DONE]")
    chunks = [json.loads(e) for e in events if e != b"[DONE]"]
    errors = [c for c in chunks if "error" in c]
    assert all(isinstance(c, dict) for c in chunks), chunks
    if errors:
        assert len(errors) == 1 and chunks[-1] is errors[0] and done == 0, events[-3:]
        error = errors[0]["error"]
        assert isinstance(error["message"], str) and isinstance(error["code"], str) and isinstance(error["type"], str), error
        return f"error {error['code']}"
    assert not s.cut, f"the connection was cut after {events[-1:]}"
    assert done == 1 and events[-1] == b"[DONE]", events[-3:]
    finishes = [i for i, c in enumerate(chunks) if any(ch.get("finish_reason") for ch in c.get("choices") or ())]
    assert len(finishes) == 1, chunks
    assert all(not c.get("choices") for c in chunks[finishes[0] + 1:]), chunks
    return "ok"


def outcome(gateway, model, stream, **more):
    """Asks, and judges the answer."""
    if stream:
        with gateway.stream(model, **more) as s:
            said = judge_stream(s)
            return Outcome(said, s.response, s)
    r = gateway.chat(model, **more)
    if r.status != 200:
        return Outcome(judge_error(r), r)
    answer = r.json()
    assert answer["object"] == "chat.completion" and answer["choices"][0]["message"]["role"] == "assistant", answer
    assert answer["choices"][0]["finish_reason"], answer
    return Outcome("ok", r)


def running(prefix=""):
    """The Gateway of CHIMERA_GATEWAY."""
    u = urllib.parse.urlsplit(URL)
    return Gateway((u.hostname, u.port or 80), prefix=u.path.rstrip("/"))
