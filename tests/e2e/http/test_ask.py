# SPDX-License-Identifier: Apache-2.0
"""POST /v1/ask from socket to socket, whole and as server-sent events; bad JSON (FAULTS J1-J5)."""
import json
import re

import chimera as kit
import pytest

CONFIG = {"ask": {}, "dryrun": {"models": "dryrun, big*"}, "trace": {}}


def ask(server, body, **headers):
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    return server.request("POST", "/v1/ask", body, {"Content-Type": "application/json", **headers})


def refused(server, body, code="bad_request", status=400, param=None):
    p = ask(server, body).problem(status, code)
    if param:
        assert p["param"] == param, p
    return p


def frames(body):
    """The data of each event; nothing but `data:` lines and blank lines may stand between them."""
    text = body.decode()
    assert text.endswith("\n\n")
    out = []
    for event in text[:-2].split("\n\n"):
        assert re.fullmatch(r"data: [^\n\r]*", event), event
        out.append(event[6:])
    return out


def test_a_question_is_answered(server):
    r = ask(server, {"prompt": "hello"})
    a = r.json()
    assert r.status == 200 and r.header("Content-Type") == "application/json"
    assert (a["backend"], a["model"], a["finish_reason"]) == ("dryrun", "dryrun", "stop")
    assert a["answer"].startswith("dryrun:")
    assert a["usage"] == {"prompt_tokens": 1, "completion_tokens": 16, "total_tokens": 17}
    assert a["latency_ms"] >= 0 and a["req_id"] == r.header("X-Request-Id")
    assert r.header("X-Chimera-Backend") == "dryrun"


def test_the_same_question_gets_the_same_answer(server):
    question = {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hä?\u0000 \"\U0001f600"}]}
    first, second = ask(server, question).json(), ask(server, question).json()
    assert first["answer"] == second["answer"]
    question["messages"][1]["content"] += "!"
    assert ask(server, question).json()["answer"] != first["answer"]


def test_max_tokens_shortens_the_answer(server):
    a = ask(server, {"prompt": "x", "max_tokens": 3}).json()
    assert (a["usage"]["completion_tokens"], a["finish_reason"]) == (3, "length")
    assert len(a["answer"].split()) == 3


def test_an_unknown_model_is_404_with_its_name(server):
    p = refused(server, {"prompt": "x", "model": "small"}, "model_not_found", 404)
    assert '"small"' in p["detail"] and "dryrun" in p["detail"]
    assert ask(server, {"prompt": "x", "model": "bigger"}).json()["model"] == "bigger"


def test_a_wrong_content_type_is_415(server):
    ask(server, {"prompt": "x"}, **{"Content-Type": "text/plain"}).problem(415, "unsupported_media_type")
    assert ask(server, {"prompt": "x"}, **{"Content-Type": "application/json; charset=utf-8"}).status == 200


def test_a_stream_is_server_sent_events_with_one_end(server):
    whole = ask(server, {"prompt": "hello"}).json()
    with server.connect() as c:
        c.send(kit.request_bytes("POST", "/v1/ask", json.dumps({"prompt": "hello", "stream": True})))
        r = c.response()
        assert (r.status, r.header("Content-Type"), r.header("Cache-Control"), r.header("X-Accel-Buffering")) == (200,
            "text/event-stream", "no-cache", "no")
        assert r.chunked and r.header("X-Chimera-Backend") == "dryrun"
        events = frames(r.body)
        assert events[-1] == "[DONE]" and events.count("[DONE]") == 1
        last = json.loads(events[-2])
        deltas = [json.loads(e) for e in events[:-2]]
        assert all(set(d) == {"delta"} for d in deltas) and len(deltas) > 1
        assert "".join(d["delta"] for d in deltas) == whole["answer"]
        assert "answer" not in last and last["usage"] == whole["usage"] and last["finish_reason"] == "stop"
        assert c.ask("POST", "/v1/ask", '{"prompt":"x"}').status == 200, "the connection survives a stream"


def test_a_stream_comes_piece_by_piece(chimera):
    c = chimera({"ask": {}, "dryrun": {"tokens_per_second": "50", "answer_tokens": "10"}})

    def early():
        """Was the first piece here before the last could be sent: nine tokens later at 20 ms?"""
        with c.connect() as s:
            begin = kit.time.monotonic()
            s.send(kit.request_bytes("POST", "/v1/ask", '{"prompt":"x","stream":true}'))
            s.head()
            chunks = s.chunks()
            next(chunks)
            first = kit.time.monotonic() - begin
            rest = b"".join(chunks)
            assert b"[DONE]" in rest and kit.time.monotonic() - begin > 0.15
            return first < 0.15
    kit.wait_for(early, "a stream whose first piece comes early")  # this test may be late with its looking


def test_a_refusal_before_the_first_token_of_a_stream_is_a_plain_error(server):
    refused(server, {"prompt": "x", "stream": True, "model": "small"}, "model_not_found", 404)


def test_a_client_that_leaves_a_stream_is_counted_as_gone(chimera):
    c = chimera({"ask": {}, "dryrun": {"tokens_per_second": "20", "answer_tokens": "100000"}})
    with c.connect() as s:
        s.send(kit.request_bytes("POST", "/v1/ask", '{"prompt":"x","stream":true}'))
        assert s.head().status == 200
    c.wait_metric("ask_errors_total", 1, error_type="gone", backend="dryrun")
    kit.wait_for(lambda: c.metric("http_requests_in_progress") == 1, "the request to end")


def test_a_slow_reader_of_a_stream_pauses_the_backend(chimera):
    c = chimera({"ask": {}, "dryrun": {"answer_tokens": "100000"}, "server": {"write_timeout": "60s"}})
    c.request("POST", "/v1/ask", '{"prompt":"warm","stream":true}')
    before = c.rss()
    with c.connect(rcvbuf=4096) as s:
        s.send(kit.request_bytes("POST", "/v1/ask", '{"prompt":"x","stream":true}'))
        s.head()
        got = 0
        for i, data in enumerate(s.chunks()):
            got += len(data)
            if i % 5000 == 0 and not kit.SANITIZERS:
                assert c.rss() - before < 8 << 20
    assert got > 1 << 20


def test_latency_and_errors_are_measured(server):
    before = server.metric("ask_latency_ms_count", backend="dryrun"), server.metric("ask_errors_total", error_type="bad_request")
    ask(server, {"prompt": "x"})
    ask(server, {"prompt": 1})
    assert server.metric("ask_latency_ms_count", backend="dryrun") == before[0] + 1
    assert server.metric("ask_errors_total", error_type="bad_request") == before[1] + 1


# ---- J1-J5 ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("body", [b"[" * 100000, b'{"prompt":' * 100000, b'{"prompt":' + b"[" * 100000,
    b'{"messages":' + b"[" * 65 + b"]" * 65 + b"}"],
                         ids=["arrays", "objects", "arrays in a member", "65 levels"])
def test_j1_deep_nesting_is_400_at_once(server, body):
    cpu = server.cpu()
    refused(server, body)
    assert server.cpu() - cpu < 0.5


@pytest.mark.parametrize("body", [
    b'{"prompt":"\xff"}', b'{"prompt":"\xc0\xaf"}', b'{"prompt":"\xed\xa0\x80"}', b'{"prompt":"\xf5\x80\x80\x80"}',
    b'{"prompt":"\\ud800"}', b'{"prompt":"\\udc00\\ud800"}',
    b'\xef\xbb\xbf{"prompt":"x"}', b'{"prompt":"x","temperature":NaN}', b'{"prompt":"x","temperature":Infinity}',
    b'{"prompt":"x","temperature":1e999}',
    b'{"prompt":"x","prompt":"y"}', b'{"prompt":"x","\\u0070rompt":"y"}', b'{"prompt":"x"}x', b'{"prompt":"x"}{}', b'{"prompt":"x",}',
    b"{'prompt':'x'}",
    b'{"prompt":"x"', b"", b" ", b"null", b"[]", b'"x"', b"1", b'{"prompt":"a\nb"}', b'{"prompt":"\\x41"}', b'{"prompt":"x"/**/}',
    b'{"messages":[{"role":"user","role":"user","content":"x"}]}',
])
def test_j2_what_json_forbids_is_400(server, body):
    refused(server, body)


@pytest.mark.parametrize("value", ["1e308", "-0", "0", "-1", "9007199254740993", "1.5", "1e99", '"5"', "[]", "true", "2147483648", "1e-1",
    "99999999999999999999"])
def test_j3_a_number_out_of_range_is_400_with_the_field_s_name(server, value):
    refused(server, '{"prompt":"x","max_tokens":%s}' % value, param="max_tokens")


@pytest.mark.parametrize("value", ["-1", "2.0001", '"1"', "1e308", "[]"])
def test_j3_a_temperature_out_of_range_is_400_with_the_field_s_name(server, value):
    refused(server, '{"prompt":"x","temperature":%s}' % value, param="temperature")


def test_j3_an_unknown_member_is_400_with_its_name(server):
    refused(server, '{"prompt":"x","n":1000000000}', param="n")
    refused(server, '{"messages":[{"role":"user","content":"x","name":"y"}]}', param="messages[0]")


@pytest.mark.parametrize("model", ["\\u0000", "dryrun\\u0000", "dry run", "", "x" * 129, "\\n", "ä", "../../etc/passwd\\u0000"])
def test_j4_a_model_s_name_with_a_nul_or_a_blank_is_400(server, model):
    refused(server, '{"prompt":"x","model":"%s"}' % model, param="model")


def test_j4_a_nul_in_a_prompt_counts_as_text(server):
    a, b = ask(server, '{"prompt":"a\\u0000b"}').json(), ask(server, '{"prompt":"a\\u0000c"}').json()
    assert a["answer"] != b["answer"], "the text behind the NUL was not seen"


@pytest.mark.parametrize("body", [
    b'{"messages":[' + b",".join([b'{"role":"user","content":"x"}'] * 1000000) + b"]}",
    b'{"messages":[' + b"1," * 1000000 + b"1]}",
    b"{" + b",".join(b'"a%d":1' % i for i in range(1000000)) + b"}",
    b'{"x":[' + b"[]," * 2000000 + b"[]]}",
], ids=["messages", "numbers", "members", "arrays"])
def test_j5_a_million_members_are_400_in_little_time_and_memory(server, body):
    before, cpu = server.rss(), server.cpu()
    ask(server, body).problem(400, "bad_request")
    assert server.cpu() - cpu < (5 if kit.SANITIZERS else 0.5)
    if not kit.SANITIZERS:
        assert server.rss() - before < len(body) * 2 + (24 << 20)
