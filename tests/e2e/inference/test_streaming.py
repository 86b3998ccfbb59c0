# SPDX-License-Identifier: Apache-2.0
"""Streams from an upstream to a client: frames leave as they come, an end on either side is an end on the other, and nothing piles up."""
import concurrent.futures
import json
import signal
import threading
import time

import dialects
import gateway as gw
import pytest

import chimera as kit

SLOW = 4 if kit.SANITIZERS else 1
DIALECTS = ["", "ollama-"]


def config(port):
    return gw.sections(port, ask={"backend": "router"}, api_openai={"ping": "1s"}, dryrun={"models": "dryrun"},
                       router={"first_token_timeout": "20s", "idle_timeout": "20s", "timeout": "60s", "budget": "60s"})


def idle(g, backend="up"):
    """Waits until nothing is asked of a backend any more."""
    kit.wait_for(lambda: g.chimera.metric("chimera_backend_in_flight", backend=backend) == 0, "nothing to be in flight")


@pytest.mark.parametrize("prefix", DIALECTS)
def test_200_frames_arrive_whole_and_in_order(gateway, prefix):
    with gateway.stream(prefix + "words-200") as s:
        assert gw.judge_stream(s) == "ok"
        assert s.text() == "".join(f" w{i}" for i in range(200))


def test_fifty_streams_at_once_are_all_whole(gateway, provider):
    """200 frames, 20 ms apart: four seconds."""
    expected = list(dialects.OpenAI("/v1/chat/completions", {"model": "words-200-20"}).chunks(False)) + [b"[DONE]"]

    def one(_):
        with gateway.stream("words-200-20") as s:
            return s.rest() == expected
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        assert all(pool.map(one, range(50)))
    idle(gateway)


@pytest.mark.parametrize("prefix", DIALECTS)
def test_a_frame_leaves_as_it_comes(gateway, provider, prefix):
    """The upstream sends no second frame before the client has the first."""
    seen, model = threading.Semaphore(0), prefix + "words-20"

    def step(conn, req):
        conn.stream_head(req)
        for f in req.answer.frames():
            conn.chunk(f)
            assert b'"choices":[]' in f or seen.acquire(timeout=kit.DEADLINE)  # the usage, which the client is not shown
        if req.answer.end:
            conn.chunk(req.answer.end)
        conn.last_chunk()
    provider.script(model, step)
    try:
        with gateway.stream(model) as s:
            while s.event() is not None:
                if '"content"' in s.events[-1].decode() or "finish" in s.events[-1].decode():
                    seen.release()
    finally:
        del provider.scripts[model]
        for _ in range(30):
            seen.release()
    assert s.events[-1] == b"[DONE]"


@pytest.mark.parametrize("prefix", DIALECTS)
def test_u8_a_client_that_leaves_ends_the_upstream_at_once(gateway, provider, prefix):
    model = prefix + "words-200-20"

    def late(_):
        before = len(provider.of(model))
        with gateway.stream(model) as s:
            for _ in range(50):
                s.event()
            left = time.monotonic()
            s.conn.abort()
        request = provider.of(model)[before]
        assert request.ended.wait(kit.DEADLINE) and request.gone and request.sent >= 45
        print(f"the upstream saw it {1e3 * (request.gone - left):.1f} ms later, after {request.sent} frames")
        idle(gateway, "ollama" if prefix else "up")
        return request.gone - left if request.sent <= 56 else kit.DEADLINE  # more: a busy machine had us read late
    gw.in_time(late, 0, 0.1 * SLOW)


def test_u8_fifty_that_leave_give_back_what_they_held(gateway, provider):
    c = gateway.chimera
    gw.outcome(gateway, "words-200", True)

    def one(i):
        with gateway.stream("words-200-20") as s:
            for _ in range(5 + i):
                s.event()
            (s.conn.abort if i % 2 else s.conn.finish)()
    def round_of():
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            list(pool.map(one, range(50)))
        idle(gateway)
        kit.wait_for(lambda: c.metric("http_requests_in_progress") <= 1, "no request to be in progress but this")
    round_of()
    descriptors, rss = c.descriptors(), c.rss()
    round_of()
    round_of()
    kit.wait_for(lambda: c.descriptors() <= descriptors, "descriptors to come back")
    print(f"resident {rss >> 10} KiB before, {c.rss() >> 10} KiB after 100 streams more")
    if not kit.SANITIZERS:
        assert c.rss() - rss < 4 << 20


def test_u8_fin_while_a_stream_runs_is_gone(gateway, provider):
    def sent(_):
        before = len(provider.of("words-200-20"))
        with gateway.stream("words-200-20") as s:
            for _ in range(3):
                s.event()
            s.conn.finish()
            request = provider.of("words-200-20")[before]
            assert request.ended.wait(kit.DEADLINE) and request.gone
            return request.sent
    gw.in_time(sent, 2, 20 * SLOW)


def limit(name):
    """The most that the kernel keeps for a socket."""
    with open(f"/proc/sys/net/ipv4/tcp_{name}", encoding="ascii") as f:
        return int(f.read().split()[2])


@pytest.mark.parametrize("prefix", DIALECTS)
def test_u9_a_client_that_does_not_read_holds_the_upstream_up_and_costs_no_memory(gateway, provider, prefix):
    """The upstream would send 60 MiB; what it gets rid of is what the sockets on the way hold, and stream_high."""
    model, count, text = prefix + "up-flood", 60000, "x" * 1000
    c, before = gateway.chimera, gateway.chimera.rss()

    def flood(conn, req):
        first, word = req.answer.frames()[0], b"".join(req.answer.frames()[1:2])
        conn.stream_head(req)
        conn.chunk(first)
        for i in range(count):
            conn.chunk(word.replace(b"Hello" if b"Hello" in word else " wörld".encode(), f"{i} {text}".encode()))
            req.sent += 1
            if conn.closed.is_set():
                return False
        return False
    provider.script(model, flood)
    conn = gateway.connect(rcvbuf=4096)
    conn.send(gateway.request("/v1/chat/completions", gw.chat_body(model, stream=True)))
    request = provider.wait_request(model)
    last = [-1, time.monotonic()]

    def stuck():
        if request.sent != last[0]:
            last[:] = [request.sent, time.monotonic()]
        return request.sent and time.monotonic() - last[1] > 0.5 * SLOW
    kit.wait_for(stuck, "the upstream to be held up")
    held, more = request.sent, c.rss() - before
    kernel = limit("rmem") + 2 * limit("wmem")  # from the upstream, to the gateway, from it
    print(f"held up after {held} frames of 1 KiB; resident {more >> 10} KiB more")
    assert held < count / 2 and held * 1024 < kernel + (1 << 20)
    if not kit.SANITIZERS:
        assert more < 4 << 20
    with gw.Stream(conn) as s:  # and it goes on where it stopped
        while len(s.events) < 2000:
            s.event()
        got = [json.loads(e)["choices"][0]["delta"].get("content") for e in s.events]
        numbers = [int(t.split()[0]) for t in got if t and t.endswith(text)]
        assert numbers == list(range(len(numbers))) and len(numbers) >= 1998
        s.conn.abort()
    assert request.ended.wait(kit.DEADLINE)
    idle(gateway, "ollama" if prefix else "up")


def test_a_slow_reader_gets_all_of_it(gateway):
    with gateway.connect(rcvbuf=4096) as conn:
        conn.send(gateway.request("/v1/chat/completions", gw.chat_body("words-2000", stream=True)))
        s = gw.Stream(conn)
        assert gw.judge_stream(s) == "ok"
        assert s.text() == "".join(f" w{i}" for i in range(2000))


def test_silence_is_filled_with_comments_between_frames_only(gateway, provider):
    """The upstream stops in the middle of a frame: what has come of it must not be followed by a comment."""
    go_on = threading.Event()

    def step(conn, req):
        frames = req.answer.frames()
        conn.stream_head(req)
        conn.chunk(frames[0] + frames[1] + frames[2][:20])
        assert go_on.wait(kit.DEADLINE)
        for f in (frames[2][20:], *frames[3:], req.answer.end):
            conn.chunk(f)
        conn.last_chunk()
    provider.script("up-silent", step)
    began = time.monotonic()
    with gateway.stream("up-silent") as s:
        s.head()
        while s.pending.count(b": ping\n\n") < 2:
            piece = next(s.pieces)
            s.raw, s.pending = s.raw + piece, s.pending + piece
        go_on.set()
        assert gw.judge_stream(s) == "ok"
    assert 2 <= s.comments <= time.monotonic() - began and s.raw.count(b": ping\n\n") == s.comments
    assert s.events == [*dialects.OpenAI("/v1/chat/completions", {"model": "up-silent"}).chunks(False), b"[DONE]"]


def test_a_drain_lets_streams_end(start, provider):
    g = start(provider.port, server={"drain_delay": "0s", "drain_timeout": "20s"})
    with g.stream("words-50-20") as s:
        s.event()
        g.chimera.signal(signal.SIGTERM)
        assert gw.judge_stream(s) == "ok" and s.text() == "".join(f" w{i}" for i in range(50))
    assert g.chimera.wait_exit() == 0


def test_a_drain_that_is_over_ends_a_stream_that_is_not(start, provider):
    g = start(provider.port, server={"drain_delay": "0s", "drain_timeout": "1s"})
    with g.stream("words-2000-20") as s:
        s.event()
        g.chimera.signal(signal.SIGTERM)
        s.rest()
        assert s.events[-1] != b"[DONE]"
    request, = provider.of("words-2000-20")
    assert request.ended.wait(kit.DEADLINE) and request.gone
    g.chimera.wait_exit()


def ask(gateway, model, **more):
    return gateway.stream(model, path="/v1/ask", body={"prompt": "Say hello", "model": model, "stream": True, **more})


@pytest.mark.parametrize("model", ["gpt-test", "ollama-gemma3", "dryrun"])
def test_ask_streams_from_any_backend(gateway, model):
    with ask(gateway, model) as s:
        assert s.head().status == 200, s.response.body
        events = s.rest()
    assert events[-1] == b"[DONE]" and events.count(b"[DONE]") == 1
    text = "".join(c.get("delta", "") if isinstance(c.get("delta"), str) else "" for c in map(json.loads, events[:-1]))
    assert text == "".join(dialects.WORDS) if model != "dryrun" else text.startswith("dryrun:"), events
    whole = gateway.ask("/v1/ask", {"prompt": "Say hello", "model": model})
    assert whole.json()["answer"] == text


@pytest.mark.parametrize("model, code", [("bad-rst-mid", "upstream_error"), ("ollama-bad-error-mid", "upstream_error")])
def test_ask_ends_a_broken_stream_by_one_error(gateway, model, code):
    with ask(gateway, model) as s:
        events = s.rest()
    assert b"[DONE]" not in events and code in events[-1].decode() and sum(b'"error"' in e for e in events) == 1
    assert gateway.ask("/v1/ask", {"prompt": "x", "model": "bad-status-500"}).problem(503, "upstream_error")
