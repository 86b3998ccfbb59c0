# SPDX-License-Identifier: Apache-2.0
"""A row for each request, with its facts: a fresh checkout with no configuration of storage records to SQLite. Expected values are worked out
by hand from what was sent and answered."""
import json
import re
import time

import chimera as kit
import ledger
import pytest

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture
def server(chimera, plugins):
    return chimera(ledger.sections(plugins))


def ask(c, question, req_id, **headers):
    body = question if isinstance(question, str) else json.dumps(question)
    return body, c.request("POST", "/v1/ask", body, {**ledger.JSON, "X-Request-Id": req_id, **headers})


def test_a_whole_answer(server):
    before = time.time()
    body, r = ask(server, {"prompt": "hello there"}, "whole-1", traceparent="00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
    after = time.time()
    assert r.status == 200
    row = ledger.wait_one(ledger.SQLite(server.state), "whole-1")
    assert UUID7.fullmatch(row["row_id"])
    assert before * 1e6 - 1e5 <= row["time"] <= after * 1e6
    assert row["trace_id"] == "0123456789abcdef0123456789abcdef"
    assert (row["endpoint"], row["method"], row["status"], row["error_type"]) == ("/v1/ask", "POST", 200, None)
    assert (row["backend"], row["model"], row["asked"], row["owner"], row["tier"]) == ("dryrun", "dryrun", None, None, None)
    assert row["tokens_in"] == 2  # two words
    assert row["tokens_out"] == 16  # dryrun's answer_tokens
    assert r.json()["usage"] == {"prompt_tokens": 2, "completion_tokens": 16, "total_tokens": 18}
    assert (row["bytes_in"], row["bytes_out"], row["aborted"]) == (len(body), len(r.body), 0)
    assert 0 < row["first_byte_ms"] <= row["latency_ms"] <= (after - before) * 1000
    assert (row["cost"], row["prompt"], row["answer"]) == (None, None, None)


def test_a_stream(server):
    body, r = ask(server, {"prompt": "one two three", "stream": True}, "stream-1")
    assert r.status == 200 and r.chunked
    row = ledger.wait_one(ledger.SQLite(server.state), "stream-1")
    assert (row["status"], row["tokens_in"], row["tokens_out"], row["bytes_in"]) == (200, 3, 16, len(body))
    assert row["bytes_out"] == len(r.body)  # the frames, without the chunks around them
    assert row["aborted"] == 0


def test_a_wrong_question(server):
    body, r = ask(server, '{"prompt": 7}', "wrong-1")
    r.problem(400, "bad_request")
    row = ledger.wait_one(ledger.SQLite(server.state), "wrong-1")
    assert (row["status"], row["error_type"], row["backend"], row["tokens_in"], row["tokens_out"]) == (400, "bad_request", None, 0, 0)
    assert (row["bytes_in"], row["bytes_out"]) == (13, len(r.body))


def test_a_backend_that_fails(chimera, plugins):
    c = chimera(ledger.sections(plugins, dryrun={"fail": "100%"}))
    _, r = ask(c, {"prompt": "a b c"}, "failed-1")
    r.problem(503, "upstream_error")
    row = ledger.wait_one(ledger.SQLite(c.state), "failed-1")
    assert (row["status"], row["error_type"], row["aborted"], row["bytes_out"]) == (503, "upstream_error", 0, len(r.body))


def test_a_client_that_leaves(chimera, plugins):
    c = chimera(ledger.sections(plugins, dryrun={"latency": "1h"}))
    with c.connect() as s:
        body = '{"prompt": "x"}'
        s.send(kit.request_bytes("POST", "/v1/ask", body, {**ledger.JSON, "X-Request-Id": "left-1"}))
        kit.wait_for(lambda: c.metric("http_requests_in_progress") >= 2, "the request to be there")  # it, and the scrape
        s.abort()
    row = ledger.wait_one(ledger.SQLite(c.state), "left-1")
    assert (row["status"], row["bytes_in"], row["bytes_out"], row["first_byte_ms"]) == (499, len(body), 0, None)


def test_a_client_that_leaves_a_stream(chimera, plugins):
    c = chimera(ledger.sections(plugins, dryrun={"answer_tokens": 100000, "tokens_per_second": 20}))
    with c.connect() as s:
        s.send(kit.request_bytes("POST", "/v1/ask", '{"prompt": "x", "stream": true}', {**ledger.JSON, "X-Request-Id": "left-2"}))
        s.head()
        s.abort()
    row = ledger.wait_one(ledger.SQLite(c.state), "left-2")
    assert (row["status"], row["aborted"]) == (200, 1)
    assert row["first_byte_ms"] is not None


def test_a_request_of_another_route_leaves_none(server):
    server.get("/nothing")
    server.get("/health", kind="status")
    ask(server, {"prompt": "x"}, "last-1")
    ledger.wait_one(ledger.SQLite(server.state), "last-1")
    assert len(ledger.SQLite(server.state).rows()) == 1


def test_show_and_status(server):
    ask(server, {"prompt": "x"}, "shown-1")
    ledger.wait_one(ledger.SQLite(server.state), "shown-1")
    shown = ledger.ctl(server, "records", "show", "shown-1")
    assert shown.returncode == 0, shown.stderr
    assert "inference_records at storage_sqlite:" in shown.stdout and '  req_id            "shown-1"\n' in shown.stdout
    missing = ledger.ctl(server, "records", "show", "never-1")
    assert missing.returncode == 1 and "no row" in missing.stderr
    ledger.wait_shipped(server)
    status = ledger.ctl(server, "records", "status").stdout
    assert "storage_sqlite           up to row 1, 0 waiting" in status


def test_shown_without_the_server(server):
    ask(server, {"prompt": "x"}, "offline-1")
    server.stop()
    shown = ledger.ctl(server, "records", "show", "offline-1")
    assert shown.returncode == 0 and "offline-1" in shown.stdout, shown.stderr


def test_a_stop_ships_what_is_there(server):
    for i in range(50):
        ask(server, {"prompt": "x"}, f"stop-{i}")
    server.stop()
    assert len(ledger.SQLite(server.state).rows()) == 50


def test_a_second_server_in_the_same_folder_is_refused(server, chimera, plugins):
    done = kit.run_chimerad("-c", server.path, "-o", "server.listen=127.0.0.1:0", "-o", "server.control=off")
    assert done.returncode != 0
    assert "journal" in done.stderr
    ask(server, {"prompt": "x"}, "still-1")
    ledger.wait_one(ledger.SQLite(server.state), "still-1")


def test_one_changed_line_moves_it_to_postgresql(chimera, plugins, postgres):
    sink = ledger.Postgres(None, postgres)
    c = chimera(ledger.sections(plugins, sink.config()))
    body, r = ask(c, {"prompt": "hello there"}, "pg-1")
    row = ledger.wait_one(sink, "pg-1")
    assert (row["status"], row["tokens_in"], row["tokens_out"], row["bytes_in"], row["bytes_out"]) == (200, 2, 16, len(body), len(r.body))


def test_and_one_more_adds_clickhouse(chimera, plugins, clickhouse):
    sink = ledger.ClickHouse(None, clickhouse)
    c = chimera(ledger.sections(plugins, {"storage_sqlite": {}}, sink.config()))
    body, r = ask(c, {"prompt": "hello there"}, "ch-1")
    row = ledger.wait_one(sink, "ch-1")
    assert (row["status"], row["tokens_in"], row["tokens_out"], row["bytes_in"], row["bytes_out"]) == (200, 2, 16, len(body), len(r.body))
    assert row == ledger.wait_one(ledger.SQLite(c.state), "ch-1")


def test_a_schema_that_is_missing_heals_without_a_restart(chimera, plugins, postgres):
    sink = ledger.Postgres(None, postgres)
    config = sink.config()
    config["storage_postgres"]["migrate"] = "off"
    c = chimera(ledger.sections(plugins, config))
    ask(c, {"prompt": "x"}, "early-1")
    c.wait_said("sink storage_postgres is degraded now")
    done = ledger.ctl(c, "run", "storage_postgres", "migrate", "up")
    assert done.returncode == 0, done.stderr
    ledger.wait_one(sink, "early-1")


def test_reloads_under_load(chimera, plugins):
    c = chimera(ledger.sections(plugins))
    load = ledger.Load(c.address(), 2)
    for i in range(1000 if kit.HEAVY else 60):
        c.write(ledger.sections(plugins, records={"retention": f"{i % 9 + 1}d", "store_content": "no"}))
        c.signal(1)
        kit.wait_for(lambda: len(c.said("reloaded")) > i, "the reload")
    answered = load.stop()
    ledger.wait_shipped(c)
    assert c.metric("chimera_ledger_lost_total") == 0
    c.stop()
    assert ledger.compare(answered, [ledger.SQLite(c.state)]) >= len(answered) > 50
