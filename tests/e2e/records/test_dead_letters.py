# SPDX-License-Identifier: Apache-2.0
"""Rows that a sink refuses: dlq.jsonl, and what `chimeractl dlq` does with them. The bad rows have a model that is no UTF-8."""
import json
import os

import chimera as kit
import ledger
import pytest


@pytest.fixture(params=["sqlite", "postgres", "clickhouse"])
def sink(request, plugins):
    """Each kind of sink, before its server is known."""
    if request.param == "sqlite":
        return lambda c: ledger.SQLite(c.state), {"storage_sqlite": {}}
    db = request.getfixturevalue(request.param)
    one = (ledger.Postgres if request.param == "postgres" else ledger.ClickHouse)(None, db)
    return lambda c: one, one.config()


def start(chimera, plugins, config, **more):
    return chimera(ledger.sections(plugins, config, t_ledger={}, **more))


def append(c, n, **query):
    words = "&".join(f"{k}={v}" for k, v in {"n": n, **query}.items())
    r = c.request("POST", "/t/ledger?" + words)
    assert r.status == 200, r
    return int(r.text)


def letters(c):
    with open(os.path.join(c.state, "journal", "dlq.jsonl"), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def test_bad_rows_are_letters_and_the_others_arrive(sink, chimera, plugins):
    of, config = sink
    c = start(chimera, plugins, config)
    assert append(c, 1000, bad=100) == 1000
    ledger.wait_shipped(c)
    have = {row["req_id"] for row in of(c).rows()}
    bad = {f"t-{k}" for k in range(99, 1000, 100)}
    assert have == {f"t-{k}" for k in range(1000)} - bad
    dead = letters(c)
    assert {letter["payload"]["req_id"] for letter in dead} == bad
    for letter in dead:
        assert letter["table"] == "inference_records" and letter["sink"] in config
        assert letter["row_id"] == letter["payload"]["row_id"]
        assert letter["payload"]["model"] == "bad \N{REPLACEMENT CHARACTER} model"
        assert "model" in letter["reason"]
    kit.wait_for(lambda: c.metric("chimera_ledger_dead_letters_total") == 10, "ten letters to be counted")
    assert c.metric("chimera_ledger_lost_total") == 0


def test_a_replay_brings_each_row_once(sink, chimera, plugins):
    of, config = sink
    c = start(chimera, plugins, config)
    append(c, 400, bad=4)
    ledger.wait_shipped(c)
    assert len(of(c).rows()) == 300
    done = ledger.ctl(c, "dlq", "replay", "all")
    assert done.returncode == 0 and "100 of 100 rows were replayed\n" in done.stdout, done.stderr
    again = ledger.ctl(c, "dlq", "replay")
    assert "0 of 0 rows were replayed\n" in again.stdout, again.stderr
    rows = of(c).rows()
    assert sorted(row["req_id"] for row in rows) == sorted(f"t-{k}" for k in range(400))
    listed = ledger.ctl(c, "dlq", "list").stdout
    assert listed.endswith("0 dead letters, 100 replayed\n")


def test_a_replay_that_was_killed_goes_on_without_doubling(sink, chimera, plugins):
    of, config = sink
    c = start(chimera, plugins, config)
    append(c, 4000, bad=2)
    ledger.wait_shipped(c)
    before = len(of(c).rows())
    assert before == 2000
    kit.subprocess.Popen([kit.CHIMERACTL, "-c", c.path, "dlq", "replay", "all"], env=kit.clean_environment(),
                         stdout=kit.subprocess.DEVNULL, stderr=kit.subprocess.DEVNULL)
    kit.wait_for(lambda: len(of(c).rows()) > before, "the first replayed rows")
    c.kill()
    c.start()
    done = ledger.ctl(c, "dlq", "replay", "all")
    assert done.returncode == 0, done.stderr
    rows = of(c).rows()
    assert sorted(row["req_id"] for row in rows) == sorted(f"t-{k}" for k in range(4000))


def test_one_is_shown_replayed_and_purged(chimera, plugins):
    c = start(chimera, plugins, {"storage_sqlite": {}})
    append(c, 30, bad=10)
    ledger.wait_shipped(c)
    first, second, third = (letter["row_id"] for letter in letters(c))
    shown = ledger.ctl(c, "dlq", "show", first)
    assert shown.returncode == 0 and '"req_id":"t-9"' in shown.stdout
    assert ledger.ctl(c, "dlq", "replay", first).returncode == 0
    assert ledger.ctl(c, "dlq", "show", first).returncode == 1
    assert ledger.ctl(c, "dlq", "purge", second).returncode == 0
    listed = ledger.ctl(c, "dlq", "list").stdout
    assert third in listed and first not in listed and second not in listed and "1 dead letter," in listed
    assert ledger.ctl(c, "dlq", "purge", "all").returncode == 0
    assert letters(c) == []


def test_without_the_server(chimera, plugins):
    c = start(chimera, plugins, {"storage_sqlite": {}})
    append(c, 20, bad=10)
    ledger.wait_shipped(c)
    c.stop()
    listed = ledger.ctl(c, "dlq", "list")
    assert "2 dead letters" in listed.stdout, listed.stderr
    done = ledger.ctl(c, "dlq", "replay")
    assert done.returncode == 0 and "2 of 2" in done.stdout, done.stderr
    assert len(ledger.SQLite(c.state).rows()) == 20


def test_a_hundred_thousand_do_not_starve_fresh_rows(chimera, plugins):
    n = 100000 if kit.HEAVY else 4000
    # These rows are old: nothing may expire them at that minute of the hour when such is looked for.
    c = start(chimera, plugins, {"storage_sqlite": {}}, records={"max_bytes": "1g", "retention": "off"})
    # As a sink that refused them all would have left them: written by hand.
    row = {name: None for name in ledger.COLUMNS}
    with open(os.path.join(c.state, "journal", "dlq.jsonl"), "w", encoding="utf-8") as f:
        for k in range(n):
            row_id = f"01900000-0000-7000-8000-{k:012x}"
            payload = {**row, "row_id": row_id, "time": "2026-01-02T03:04:05.000006Z", "req_id": f"d-{k}", "endpoint": "/", "method": "POST",
                       "status": 200, "tokens_in": k, "tokens_out": 0, "latency_ms": 0.5, "bytes_in": 0, "bytes_out": 0, "aborted": False}
            f.write(json.dumps({"time": "2026-01-02T03:04:05.000006Z", "sink": "storage_sqlite", "table": "inference_records",
                                "row_id": row_id, "reason": "by hand", "types": "utsssssssssisiirrriibss",
                                "payload": payload}) + "\n")
    replay = kit.subprocess.Popen([kit.CHIMERACTL, "-c", c.path, "dlq", "replay", "all"], env=kit.clean_environment(),
                                  stdout=kit.subprocess.PIPE, stderr=kit.subprocess.PIPE, text=True)
    sink = ledger.SQLite(c.state)
    kit.wait_for(lambda: len(sink.rows(columns=("row_id", "req_id"))) > 0, "the first replayed rows")
    waits = []
    while replay.poll() is None:
        req = f"fresh-{len(waits)}"
        c.request("POST", "/v1/ask", '{"prompt": "x"}', {**ledger.JSON, "X-Request-Id": req})
        begun = kit.time.monotonic()
        kit.wait_for(lambda: kit_count(sink, req), f"the fresh row {req}")
        waits.append(kit.time.monotonic() - begun)
    out, err = replay.communicate()
    assert replay.returncode == 0 and f"{n} of {n} rows were replayed\n" in out, err
    assert max(waits) < 10, waits
    assert len(sink.rows(columns=("row_id", "req_id"))) == n + len(waits)


def kit_count(sink, req_id):
    return ledger.sqlite(sink.path, "SELECT count(*) FROM inference_records WHERE req_id = ?", req_id)[0][0]


def test_rows_of_another_plugin_come_from_any_thread(chimera, plugins):
    c = start(chimera, plugins, {"storage_sqlite": {}})
    assert append(c, 5000, thread=1) == 5000
    assert append(c, 5000, first=5000) == 5000
    ledger.wait_shipped(c)
    assert len({row["req_id"] for row in ledger.SQLite(c.state).rows()}) == 10000
