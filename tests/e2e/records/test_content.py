# SPDX-License-Identifier: Apache-2.0
"""Prompts and answers are kept only if the operator says so, as they came and left, and never longer than he allows."""
import json

import ledger


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


def test_a_stream_is_kept_as_its_frames(chimera, plugins):
    c = chimera(ledger.sections(plugins, records={"store_content": "yes"}))
    r = ask(c, '{"prompt": "x", "stream": true}', "kept-2")
    assert r.chunked and r.text.count("data:") > 3
    assert ledger.wait_one(ledger.SQLite(c.state), "kept-2")["answer"] == r.text


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
