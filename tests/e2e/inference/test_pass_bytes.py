# SPDX-License-Identifier: Apache-2.0
"""What a client of OpenAI's protocol sends arrives as it was written, but for the members that chimera must change; and so does what comes
back.

The changes, all there are:
  backend         is chimera's own and goes, with one comma
  model           is rewritten where a row or a fallback says so, and put in where it is missing
  stream_options  gets include_usage, so that a stream's tokens are counted; what the client did not ask for it is not shown
"""
import json

import dialects
import gateway as gw
import pytest

import chimera as kit

MESSAGES = '"messages":[{"role":"user","content":"Say hello"}]'
# Valid JSON, written as nobody would.
ODD = [
    '{"model":"up-1",%s}',
    ' \t\r\n{ "model" : "up-2" ,\n\n %s\t}\n ',
    r'{"model":"up-3",%s,"user":"\u0041\/\b\f\n\r\t\"\\\u00e9\ud83d\ude00 é 😀"}',
    '{"model":"up-4",%s,"n":1,"seed":9007199254740993,"temperature":0.10000000000000000000000001,"top_p":1.0e-0,"presence_penalty":-0.0}',
    '{"model":"up-5",%s,"metadata":{"a":{"b":[[],{},[{}]]},"backend":"mine","model":"mine","stream_options":null}}',
    '{"model":"up-6","x":1,%s,"x":{"x":2},"x":null,"big":123456789012345678901234567890123456789e5}',
    '{"x_long":"' + "ü" * 70000 + '","model":"up-7",%s}',
    '{"model":"up-8",%s,"tools":[ {"type":"function","function":{"name":"f","parameters":{ "type" : "object" }}}]}',
    '{"model":"up-9",%s,"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{}}},"logprobs":true,"n":3}',
    r'{"mod\u0065l":"up-10",%s}',
    '{"model":"\\u0075p-11",%s}',
    '{"model":"up-12","messages":[{"role":"user","content":[{"type":"text","text":"a"},'
    '{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}',
    '{"":0,"model":"up-13",%s,"\\u0000":"\\u0000"}',
    '{"model":"up-14","stream":false,"stream_options":null,%s,"max_tokens":null,"stop":["a","b"]}',
]
ODD = [(text if "%s" not in text else text % MESSAGES).encode() for text in ODD]


def config(port):
    return gw.sections(port, **{"router.alias": {"backends": "up/gpt-test"}, "router.alias-*": {"backends": "up/up-of-a-pattern"}},
                       openai__first={"base_url": gw.base(kit.free_port()), "models": "falls-*"},
                       openai__named={"base_url": gw.base(port), "models": "named-1", "default_model": "up-default"},
                       router={"fallback": "named", "default": "up", "retries": 0, **gw.PATIENT, **gw.NO_BREAKER},
                       api_openai={"passthrough": "responses"})


def sent(gateway, provider, body, path="/v1/chat/completions", status=200):
    """(the answer, the request as the upstream received it)."""
    before = len(provider.requests)
    r = gateway.ask(path, body)
    assert r.status == status, r
    request, = provider.requests[before:]
    return r, request


def between(whole, piece):
    """What one run of bytes may be that `whole` has and `piece` has not: where equal bytes stand at both its ends there are several."""
    n = len(whole) - len(piece)
    found = [whole[at:at + n] for at in range(len(piece) + 1) if whole[:at] == piece[:at] and whole[at + n:] == piece[at:]]
    assert n > 0 and found, (whole, piece)
    return found


@pytest.mark.parametrize("body", ODD, ids=[f"odd{i + 1}" for i in range(len(ODD))])
def test_a_body_arrives_byte_for_byte(gateway, provider, body):
    r, request = sent(gateway, provider, body)
    assert request.body == body
    assert (request.line, request.field("Content-Length")) == ("POST /v1/chat/completions HTTP/1.1", str(len(body)))
    assert r.body == request.answer.whole() and r.header("Content-Type").startswith("application/json")


@pytest.mark.parametrize("path, body", [
    ("/v1/completions", b'{ "prompt":["a", "b" ],"model":"up-c" ,"echo":false,"suffix":null }'),
    ("/v1/embeddings", b'{ "input" : ["a\\u00e9",  "b"], "encoding_format":"float" ,"model":"up-e","dimensions": 8 }'),
    ("/v1/embeddings", b'{"input":[1,2,3],"encoding_format":"base64","model":"up-f","user":"x"}'),
    ("/v1/embeddings", b'{"input":"a","model":"up-g"}')])
def test_other_routes_arrive_byte_for_byte_too(gateway, provider, path, body):
    r, request = sent(gateway, provider, body, path)
    assert request.body == body and request.path == path
    assert r.body == (request.answer.embeddings() if "embeddings" in path else request.answer.whole())


@pytest.mark.parametrize("body, stream", [(b'{ "input":"hi" , "model":"up-r", "reasoning": {"effort":"low"},"store" :false}', False),
                                          (b'{"stream":true , "model":"up-s","input":[{"role":"user","content":"hi"}] }', True)])
def test_a_passed_route_is_bytes_in_both_directions(gateway, provider, body, stream):
    r, request = sent(gateway, provider, body, "/v1/responses")
    assert request.body == body and request.path == "/v1/responses"
    assert r.body == b"".join(request.answer.responses())
    assert r.header("Content-Type") == (request.answer.stream_type if stream else "application/json")


@pytest.mark.parametrize("status, body, kind", [
    ("201 Created", b'{"id":"x"}', "application/json"), ("202 Accepted", b"later", "text/plain"), ("204 No Content", b"", None)])
def test_a_passed_route_keeps_its_status(gateway, provider, status, body, kind):
    def answer(conn, req):
        if kind:
            conn.reply(body, status=status, kind=kind)
        else:
            conn.send(conn.head(status=status))
    provider.script("up-status", answer)
    r = gateway.ask("/v1/responses", {"model": "up-status", "input": "x"})
    assert (f"{r.status} {r.reason}", r.body, r.header("Content-Type")) == (status, body, kind)


@pytest.mark.parametrize("body", [
    b'{"backend":"up","model":"up-1",%s}', b'{"model":"up-1","backend":"up",%s}', b'{"model":"up-1",%s,"backend":"up"}',
    b'{ "backend" : "up" , "model":"up-1", %s}', b'{"model":"up-1", %s\n,\n"backend" :\t"up"\n}',
    b'{"model":"up-1",%s,"b\\u0061ckend":"up","z":1}'])
def test_the_member_backend_goes_with_one_comma(gateway, provider, body):
    body = body % MESSAGES.encode()
    _, request = sent(gateway, provider, body)
    gone = between(body, request.body)
    assert any(g.count(b",") == 1 and g.strip(b" \t\r\n,").startswith(b'"b') and g.strip(b" \t\r\n,").endswith(b'"up"') for g in gone), gone
    want = json.loads(body)
    del want["backend"]
    assert json.loads(request.body) == want


def test_backend_alone_chooses_and_the_model_is_its_default(gateway, provider):
    body = b'{"backend":"named",%s}' % MESSAGES.encode()
    r, request = sent(gateway, provider, body)
    assert json.loads(request.body) == {"model": "up-default", "messages": [{"role": "user", "content": "Say hello"}]}
    assert MESSAGES.encode() in request.body and r.header("X-Chimera-Backend") == "named"


@pytest.mark.parametrize("body, model, backend", [
    (b'{"model" : "alias" ,%s, "user":"a\\u0062"}', "gpt-test", "up"), (b'{%s,"model":"alias-7"}', "up-of-a-pattern", "up"),
    (b'{"model":"\\u0061lias",%s}', "gpt-test", "up"), (b'{"model":"falls-1",%s,"metadata":{"model":"falls-1"}}', "up-default", "named")])
def test_the_model_alone_is_rewritten_by_a_row_or_a_fallback(gateway, provider, body, model, backend):
    body = body % MESSAGES.encode()
    name = json.loads(body)["model"]
    r, request = sent(gateway, provider, body)
    written = next(w for w in (b'"%s"' % name.encode(), b'"\\u0061lias"') if w in body)
    assert request.body == body.replace(written, b'"%s"' % model.encode(), 1)
    assert r.header("X-Chimera-Backend") == backend and r.json()["model"] == model


def test_a_missing_model_is_put_in(gateway, provider):
    body = b'{ %s }' % MESSAGES.encode()
    _, request = sent(gateway, provider, body)
    assert b'"model":"gpt-test"' in [put.strip(b" ,") for put in between(request.body, body)]


def test_a_null_model_is_a_missing_one(gateway, provider):
    body = b'{"model":null,%s}' % MESSAGES.encode()
    _, request = sent(gateway, provider, body)
    assert json.loads(request.body)["model"] == "gpt-test" and request.body.count(b'"model"') == 1


USAGE = b'"stream_options":{"include_usage":true}'


@pytest.mark.parametrize("body, change", [
    (b'{"model":"%s","stream":true,%s}', USAGE),
    (b'{ "model":"%s", "stream" : true , %s }', USAGE),
    (b'{"model":"%s","stream":true,%s,"stream_options":{}}', b'"include_usage":true'),
    (b'{"model":"%s","stream":true,%s,"stream_options":{ "include_obfuscation": false }}', b'"include_usage":true'),
    (b'{"model":"%s","stream":true,%s,"stream_options": { "include_usage" : true } }', None),
    (b'{"model":"%s","stream":true,%s,"stream_options":null}', "null"),
    (b'{"stream_options":{"include_usage":false,"x":[1,2]},"model":"%s","stream":true,%s}', "false"),
], ids=["absent", "blanks", "empty", "other", "asked", "null", "false"])
@pytest.mark.parametrize("model", ["up-s", "rich"])
def test_a_stream_s_usage_is_asked_for_and_hidden_from_who_did_not(gateway, provider, body, change, model):
    body = body % (model.encode(), MESSAGES.encode())
    asked = json.loads(body)
    before = len(provider.requests)
    with gateway.stream(model, body=body) as s:
        assert gw.judge_stream(s) == "ok"
    request, = provider.requests[before:]
    got = json.loads(request.body)
    want = {**asked, "stream_options": {**(asked.get("stream_options") or {}), "include_usage": True}}
    assert got == want
    if change is None:
        assert request.body == body
    elif isinstance(change, bytes):
        assert change in [put.strip(b" ,") for put in between(request.body, body)]
    elif change == "null":
        assert request.body == body.replace(b'"stream_options":null', USAGE)
    else:
        assert request.body == body.replace(b'"include_usage":false', b'"include_usage":true')
    shown = bool((asked.get("stream_options") or {}).get("include_usage"))
    expected = list(dialects.OpenAI("/v1/chat/completions", asked).chunks(shown))
    assert s.events == [*expected, b"[DONE]"]


@pytest.mark.parametrize("frames, expected", [
    ([b'{"usage":null,"id":"a","choices":[{"index":0,"delta":{"content":"x"}}]}'],
     [b'{"id":"a","choices":[{"index":0,"delta":{"content":"x"}}]}']),
    ([b'{"id":"a","usage":null,"choices":[{"index":0,"delta":{"usage":null}}]}'],
     [b'{"id":"a","choices":[{"index":0,"delta":{"usage":null}}]}']),
    ([b'{"id":"a","choices":[{"index":0,"delta":{"content":"\\"usage\\":null"}}]}'] * 2,) * 2,
    ([b'{"id":"a","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'], []),
    # some servers count along in every chunk
    ([b'{"id":"a","choices":[{"index":0,"delta":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'],
     [b'{"id":"a","choices":[{"index":0,"delta":{"content":"x"}}]}']),
    # an empty list of choices that is no usage: Azure's first chunk
    ([b'{"id":"a","choices":[],"prompt_filter_results":[{"x":1}]}'],) * 2,
])
def test_usage_is_hidden_wherever_it_stands(gateway, provider, frames, expected):
    finish = b'{"id":"a","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'

    def answer(conn, req):
        conn.stream_head(req)
        for f in (*frames, finish, b"[DONE]"):
            conn.chunk(b"data: " + f + b"\n\n")
        conn.last_chunk()
    provider.script("up-frames", answer)
    with gateway.stream("up-frames") as s:
        events = s.rest()
    assert events == [*expected, finish, b"[DONE]"]


@pytest.mark.parametrize("model, head", [("up-big", b""), ("alias", b""), ("up-big", b'"backend":"up",'), ("rich", b'"stream":true,')],
                         ids=["as it came", "alias", "backend", "stream"])
def test_a_body_of_many_megabytes_passes(gateway, provider, model, head):
    """An image in base64, and text that must be unescaped."""
    image = '{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}' % ("QUJD" * 1500000)
    text = ",".join('{"type":"text","text":"%s"}' % ("line\\n" * 1000) for _ in range(200))
    body = b'{%b"model":"%b","messages":[{"role":"user","content":[%b]}]}' % (head, model.encode(), f"{image},{text}".encode())
    before = len(provider.requests)
    r = gateway.ask("/v1/chat/completions", body)
    assert r.status == 200, r
    request, = provider.requests[before:]
    want = json.loads(body)
    assert want.pop("backend", "up") == "up"
    want["model"] = {"alias": "gpt-test"}.get(model, model)
    if "stream" in want:
        want["stream_options"] = {"include_usage": True}
    assert json.loads(request.body) == want and (head or model == "alias" or request.body == body)


@pytest.mark.parametrize("body, model, usage", [
    (b'{"\\u006dodel":null,%s}', "gpt-test", None), (b'{"model":"up-1","stream":true,"\\u0073tream_options":null,%s}', "up-1", True),
    (b'{"model":"up-1","stream":true,"stream_options":{"\\u0069nclude_usage":false},%s}', "up-1", True)])
def test_a_member_with_an_escaped_name_is_that_member(gateway, provider, body, model, usage):
    before = len(provider.requests)
    r = gateway.ask("/v1/chat/completions", body % MESSAGES.encode())
    assert r.status == 200, r
    request, = provider.requests[before:]
    members = json.loads(request.body, object_pairs_hook=list)
    names = [name for name, _ in members]
    assert len(set(names)) == len(names) and dict(members)["model"] == model
    if usage:
        assert dict(dict(members)["stream_options"]) == {"include_usage": True}


def test_a_member_that_must_be_changed_and_stands_twice_is_refused(gateway, provider):
    before = len(provider.requests)
    for twice in ('"model":"up-1","model":"up-2"', '"model":"up-1","stream":true,"stream":true',
                  '"model":"up-1","backend":"up","backend":"up"',
                  '"model":"up-1","stream":true,"stream_options":{"include_usage":true,"include_usage":false}',
                  '"model":"up-1","messages":[]', '"model":"up-1","m\\u006fdel":"up-2"'):
        r = gateway.ask("/v1/chat/completions", f"{{{twice},{MESSAGES}}}".encode())
        assert r.status == 400 and r.json()["error"]["message"], (twice, r)
    assert len(provider.requests) == before


def test_nothing_else_of_the_client_reaches_the_upstream(gateway, provider):
    before = len(provider.requests)
    r = gateway.ask("/v1/chat/completions", gw.chat_body("up-heads"), ("Cookie", "a=secret"), ("X-Forwarded-For", "1.2.3.4"),
                    ("OpenAI-Organization", "org-client"), ("X-Custom", "client"), ("Accept", "text/html"), ("api-key", "client"))
    assert r.status == 200
    request, = provider.requests[before:]
    assert {n.lower() for n, _ in request.fields} <= {
        "host", "content-length", "content-type", "authorization", "accept", "accept-encoding", "user-agent", "traceparent", "tracestate",
        "x-request-id", "connection"}
    assert request.field("Authorization") == f"Bearer {gw.SECRET}" and request.field("Content-Type") == "application/json"
    assert request.field("Host") == f"127.0.0.1:{provider.port}"
    assert b"client" not in request.head and b"secret" not in request.head


@pytest.mark.parametrize("model", ["http://169.254.169.254/", "../../x", "a\r\nHost: b", "up-../../x", "up-x?y#z", "up-\r\nHost: evil",
                                   "up-http://evil/", "/etc/passwd", "up-%2e%2e%2f"])
def test_u10_no_field_of_a_request_chooses_a_host_or_a_path(gateway, provider, model):
    before = len(provider.requests)
    body = {**gw.chat_body(model), "api_base": "http://127.0.0.1:1/v1", "base_url": "http://127.0.0.1:1/v1", "url": "/evil"}
    r = gateway.ask("/v1/chat/completions", body)
    new = provider.requests[before:]
    assert r.status == (200 if new else r.status) and (new or r.status in (400, 404)), r
    for request in new:
        assert request.line == "POST /v1/chat/completions HTTP/1.1" and request.field("Host") == f"127.0.0.1:{provider.port}"
        assert request.json["model"] == model
    if not model.startswith("up-"):
        assert not new


@pytest.mark.parametrize("backend", ["http://127.0.0.1:1", "../up", "up/gpt-test", "nobody", "", 5, ["up"], "router", "http_client"])
def test_u10_a_backend_is_one_of_the_config_s_names(gateway, provider, backend):
    before = len(provider.requests)
    r = gateway.ask("/v1/chat/completions", {**gw.chat_body("up-1"), "backend": backend})
    assert r.status == 400 and "backend" in r.json()["error"]["message"] and not provider.requests[before:], r
