# SPDX-License-Identifier: Apache-2.0
"""Prompts and answers are kept only if the operator says so, as readable text, and never longer than he allows."""
import json

import ledger
import pytest


def ask(c, body, req_id):
    return c.request("POST", "/v1/ask", body, {**ledger.JSON, "X-Request-Id": req_id})


def test_nothing_is_kept_at_first(chimera, plugins):
    c = chimera(ledger.sections(plugins))
    ask(c, '{"prompt": "secret"}', "plain-1")
    row = ledger.wait_one(ledger.SQLite(c.state), "plain-1")
    assert (row["prompt"], row["answer"]) == (None, None)


def test_both_are_kept_as_they_were(chimera, plugins):
    c = chimera(ledger.sections(plugins, records={"store_content": "yes"}))
    body = json.dumps({"prompt": "h\u00e4llo \u20ac \U0001f600 \"quoted\""}, ensure_ascii=False)
    r = ask(c, body.encode(), "kept-1")
    row = ledger.wait_one(ledger.SQLite(c.state), "kept-1")
    assert row["prompt"] == body
    assert row["answer"] == r.text


def frames(r):
    return [json.loads(line[5:]) for line in r.text.split("\n") if line.startswith("data:") and "[DONE]" not in line]


def test_escapes_are_kept_as_what_they_stand_for(chimera, plugins):
    c = chimera(ledger.sections(plugins, records={"store_content": "yes"}))
    text = 'h\u00e4llo \U0001f600 "quoted"\n\x01\\u0040'
    ask(c, json.dumps({"prompt": text}, indent=2), "escapes-1")
    row = ledger.wait_one(ledger.SQLite(c.state), "escapes-1")
    assert row["prompt"] == '{  "prompt": "h\u00e4llo \U0001f600 \\"quoted\\"\\n\\u0001\\\\u0040"}'
    assert json.loads(row["prompt"]) == {"prompt": text}


def test_a_stream_is_kept_as_its_text(chimera, plugins):
    c = chimera(ledger.sections(plugins, records={"store_content": "yes"}))
    r = ask(c, '{"prompt": "x", "stream": true}', "kept-2")
    deltas = [f["delta"] for f in frames(r) if "delta" in f]
    assert r.chunked and len(deltas) > 3
    assert ledger.wait_one(ledger.SQLite(c.state), "kept-2")["answer"] == "".join(deltas)


@pytest.mark.parametrize("path, question, text", [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}, lambda choice: choice["delta"].get("content", "")),
    ("/v1/completions", {"prompt": "x"}, lambda choice: choice["text"]),
], ids=["chat", "completions"])
def test_a_stream_of_openai_s_is_kept_as_its_text(chimera, plugins, path, question, text):
    c = chimera(ledger.sections(plugins, records={"store_content": "yes"}, api_openai={}))
    r = c.request("POST", path, json.dumps({"model": "dryrun", "stream": True, **question}), {**ledger.JSON, "X-Request-Id": "openai-1"})
    pieces = [text(choice) for f in frames(r) for choice in f["choices"]]
    assert r.chunked and len([p for p in pieces if p]) > 3
    assert ledger.wait_one(ledger.SQLite(c.state), "openai-1")["answer"] == "".join(pieces)


def test_a_refused_request_too(chimera, plugins):
    c = chimera(ledger.sections(plugins, records={"store_content": "yes"}))
    r = ask(c, b'{"prompt": 7}', "kept-3")
    row = ledger.wait_one(ledger.SQLite(c.state), "kept-3")
    assert (row["prompt"], row["answer"]) == ('{"prompt": 7}', r.text)


def test_the_end_of_what_is_long_is_not(chimera, plugins):
    c = chimera(ledger.sections(plugins, records={"store_content": "yes", "content_max": "1k"}))
    body = '{"prompt": "' + "\u20ac" * 1000 + '"}'  # three bytes each
    ask(c, body.encode(), "cut-1")
    row = ledger.wait_one(ledger.SQLite(c.state), "cut-1")
    # 12 bytes, then (1024 - 12) / 3 = 337.3 characters
    assert row["prompt"] == '{"prompt": "' + "\u20ac" * 337


def test_what_is_no_text_is_made_text(chimera, plugins, postgres):
    """PostgreSQL takes no NUL and no invalid UTF-8: such a row must arrive all the same."""
    sink = ledger.Postgres(None, postgres)
    c = chimera(ledger.sections(plugins, sink.config(), records={"store_content": "yes"}))
    ask(c, b'{"prompt": "a\x00b\xff\xc3"}', "bytes-1")
    row = ledger.wait_one(sink, "bytes-1")
    assert row["status"] == 400
    assert row["prompt"] == '{"prompt": "ab\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"}'
