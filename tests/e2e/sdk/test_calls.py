# SPDX-License-Identifier: Apache-2.0
"""Hooks of questions in the running server: what a guardrail does to POST /v1/ask, whole and streamed, and to a question asked by hand."""
import json

import chimera as kit
import pytest

CONFIG = {"t_call": {}, "t_call:second": {"path": "/second", "infer_path": "/second/infer"}, "ask": {},
          "dryrun": {"tokens_per_second": "2000", "answer_tokens": 10, "latency": "1ms"}, "trace": {}}
QUESTION = {"messages": [{"role": "user", "content": "hello"}]}


def ask(server, call=None, stream=False, **headers):
    fields = {"Content-Type": "application/json", **({"X-Call": call} if call else {}), **headers}
    return server.request("POST", "/v1/ask", json.dumps({**QUESTION, "stream": stream}), headers=fields)


def counter(server, what, instance="t_call"):
    before = server.metric("t_call_run_total", instance=instance, what=what)
    return lambda: server.metric("t_call_run_total", instance=instance, what=what) - before


def ran(r):
    return r.header("X-Calls-t_call"), r.header("X-Calls-second")


def test_hooks_run_in_order_around_a_whole_answer(server):
    r = ask(server)
    assert r.status == 200 and ran(r) == ("call end", "call end"), r
    assert r.json()["backend"] == "dryrun"


def test_a_hook_edits_the_question(server):
    assert ask(server).json()["usage"]["completion_tokens"] == 10
    assert ask(server, "edit").json()["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("word", ["answer", "wait-answer"])
def test_a_hook_answers_in_place_of_the_backend(server, word):
    r = ask(server, word)
    assert r.status == 200 and "from the hook" in r.text and r.header("X-Chimera-Backend") == "t_call"
    assert ran(r) == ("call end", "end"), "the hooks behind it are not asked, and hear the end"


def test_only_one_of_two_instances_answers(server):
    r = ask(server, "second:answer")
    assert "from the hook" in r.text and r.header("X-Chimera-Backend") == "second" and ran(r) == ("call end", "call end")


def test_a_hook_refuses_with_its_own_code_and_words(server):
    r = ask(server, "refuse")
    p = r.problem(403, "forbidden")
    assert "The guard refuses this question" in p["detail"]
    assert ran(r) == ("call end", "end")


@pytest.mark.parametrize("word", ["error", "wait-error"])
def test_a_hook_that_is_broken_is_an_error_of_the_server_and_is_named(server, word):
    errors = server.metric("chimera_hook_errors_total", plugin="t_call", hook="call")
    ask(server, word).problem(500, "internal_error")
    server.wait_said("its call hook returned ERROR", plugin="t_call")
    assert server.metric("chimera_hook_errors_total", plugin="t_call", hook="call") == errors + 1


def test_a_broken_end_hook_is_counted_and_the_answer_goes_on(server):
    errors = server.metric("chimera_hook_errors_total", plugin="t_call", hook="call_end")
    assert ask(server, **{"X-Call-End": "t_call:error"}).status == 200
    assert server.metric("chimera_hook_errors_total", plugin="t_call", hook="call_end") == errors + 1


def test_a_hook_may_wait(server):
    for _ in range(20):
        r = ask(server, "wait")
        assert r.status == 200 and ran(r) == ("call end", "call end")


@pytest.mark.parametrize("word", [None, "wait", "answer", "wait-answer"])
def test_a_stream_has_its_hooks_too_and_each_end_once(server, word):
    calls, ends = counter(server, "call"), counter(server, "end")
    r = ask(server, word, stream=True)
    assert r.status == 200 and r.header("Content-Type").startswith("text/event-stream")
    assert ("from the hook" in r.text) == (word in ("answer", "wait-answer"))
    kit.wait_for(lambda: ends() == 1, "the end")
    assert calls() == 1


def test_a_stream_that_is_refused_is_no_stream(server):
    ask(server, "refuse", stream=True).problem(403, "forbidden")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_is_heard_by_the_hook_first_and_ends_the_question_once(server, stream):
    gone, ends, second = counter(server, "gone"), counter(server, "end"), counter(server, "call", "second")
    body = json.dumps({**QUESTION, "stream": stream})
    with server.connect() as c:
        c.send(kit.request_bytes("POST", "/v1/ask", body, {"Content-Type": "application/json", "X-Call": "t_call:hang"}))
        kit.wait_for(lambda: server.metric("http_requests_in_progress") >= 2, "the request to begin")
        c.abort()
    kit.wait_for(lambda: (gone(), ends()) == (1, 1), "GONE and the end")
    assert second() == 0, "nobody waits for the question any more"
    kit.wait_for(lambda: server.metric("http_requests_in_progress") == 1, "the request to be over")


def test_gone_reaches_the_inner_of_two_that_wait(server):
    gone, first = counter(server, "gone", "second"), counter(server, "gone")
    with server.connect() as c:
        c.send(kit.request_bytes("POST", "/v1/ask", json.dumps(QUESTION), {"Content-Type": "application/json", "X-Call": "second:hang"}))
        kit.wait_for(lambda: server.metric("http_requests_in_progress") >= 2, "the request to begin")
        c.abort()
    kit.wait_for(lambda: gone() == 1, "GONE")
    assert first() == 0


@pytest.mark.parametrize("word,answer", [(None, b"passed"), ("answer", b"answered"), ("wait", b"passed"), ("wait-answer", b"answered"),
                                         ("error", b"failed"), ("wait-error", b"failed")])
def test_a_question_by_hand(server, word, answer):
    r = server.get("/call", headers={"X-Call": word} if word else {})
    assert (r.status, r.body) == (200, answer)


def test_a_question_by_hand_that_is_refused(server):
    server.get("/call", headers={"X-Call": "refuse"}).problem(403, "forbidden")


def test_a_sink_that_is_full_at_each_piece_gets_them_all(server):
    r = server.get("/call/infer")
    assert r.status == 200 and len(r.text.split()) == 10
    assert server.get("/call/infer", headers={"X-Call": "answer"}).body == b"from the hook"
    assert len(server.get("/call/infer", headers={"X-Call": "edit"}).text.split()) == 3
    r = server.get("/call/infer", headers={"X-Call": "refuse"})
    r.problem(403, "forbidden")
    assert r.header("Retry-After") == "2"


def test_many_questions_at_once_keep_their_hooks_apart(server):
    words = [None, "answer", "wait", "wait-answer", "refuse", "edit"]
    conns = [server.connect() for _ in range(60)]
    for i, c in enumerate(conns):
        word = words[i % len(words)]
        c.send(kit.request_bytes("POST", "/v1/ask", json.dumps(QUESTION), {"Content-Type": "application/json", **({"X-Call": word} if word
                else {})}))
    for i, c in enumerate(conns):
        r, word = c.response(), words[i % len(words)]
        assert r.status == (403 if word == "refuse" else 200), r
        assert ("from the hook" in r.text) == (word in ("answer", "wait-answer"))
        c.close()


def test_hooks_that_wait_outlive_a_reload(chimera):
    """The question goes on with the hooks of the config that it began with."""
    c = chimera(CONFIG)
    with c.connect() as s:
        s.send(kit.request_bytes("POST", "/v1/ask", json.dumps(QUESTION), {"Content-Type": "application/json", "X-Call": "t_call:hang"}))
        kit.wait_for(lambda: c.metric("http_requests_in_progress") >= 2, "the request to begin")
        c.write({k: v for k, v in CONFIG.items() if not k.startswith("t_call")})
        reloads = c.metric("chimera_config_reloads_total", result="ok")
        c.signal(1)
        kit.wait_for(lambda: c.metric("chimera_config_reloads_total", result="ok") > reloads, "the reload")
        assert ran(ask(c)) == (None, None)
    kit.wait_for(lambda: c.metric("t_call_run_total", what="gone", instance="t_call") == 1, "GONE")
    c.stop()
