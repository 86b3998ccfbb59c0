# SPDX-License-Identifier: Apache-2.0
"""storage_clickhouse with a ClickHouse that is down, slow, lost, wrongly set up, or handed rows that it cannot take (S10)."""
import json
import os
import threading
import time

import chimera as kit
import pytest
from proxy import Proxy
from servers import ClickHouse, ClickHouseError
from test_clickhouse import count, sections
from tsink import CLICKHOUSE, DAY, NAME, NOON, Sink, new_id, row, rows

ONCE = True  # see ../conftest.py


@pytest.fixture(autouse=True)
def _built(plugins):
    for name in ("http_client", "storage_clickhouse", "t_sink"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")


@pytest.fixture
def table(clickhouse):
    clickhouse.query(CLICKHOUSE)
    return clickhouse


@pytest.fixture
def own():
    """A server of the test's own, with the table."""
    with ClickHouse() as server:
        db = server.database()
        db.query(CLICKHOUSE)
        yield db


@pytest.fixture
def proxy(table):
    with Proxy(table.server.port) as p:
        yield p


def through(db, p, **options):
    return {**sections(db, **options), "storage_clickhouse": {**sections(db, **options)["storage_clickhouse"], "url": db.at(p.port)}}


def until_done(sink, values, batch):
    """Sends the batch again as records does; the answers but the last."""
    answers = []

    def done():
        answers.append(sink.append(values, batch, again=True))
        assert answers[-1].outcome != "refused", answers[-1]
        assert answers[-1].outcome == "done" or answers[-1].retry_ms > 0 and answers[-1].detail
        return answers[-1].outcome == "done"

    kit.wait_for(done, lambda: f"the batch to be done: {answers[-1:]}")
    return answers


def numbers(db, final=""):
    return [n for (n,) in db.query(f"SELECT n FROM {NAME} {final} ORDER BY n")]


def degraded(c):
    return [entry for entry in c.request("GET", "/ready?verbose", kind="status").json().get("degraded", [])]


def test_s10_down_at_the_start_is_degraded_and_healed_without_a_restart(chimera):
    with ClickHouse() as server:
        db = server.database()
        db.query(CLICKHOUSE)
        server.stop()
        c = chimera(sections(db))
        s, values, batch = Sink(c), rows(3), new_id()
        a = s.append(values, batch)
        assert a.outcome == "retry" and a.retry_ms > 0 and str(server.port) in a.detail, a
        kit.wait_for(lambda: c.metric("chimera_degraded", plugin="storage_clickhouse") == 1, "the metric of degraded things")
        server.start()
        until_done(s, values, batch)
        assert numbers(db) == [0, 1, 2]
        kit.wait_for(lambda: c.metric("chimera_degraded", plugin="storage_clickhouse") == 0, "recovery")


def test_s10_a_server_that_is_down_is_left_alone_and_costs_nobody_a_timeout(chimera, own):
    c = chimera(sections(own, timeout="400ms"))
    s = Sink(c)
    own.server.pause()
    took = [s.append(rows(1)).elapsed_us for _ in range(11)]
    assert took[0] > 350_000 and min(took[5:]) < 100_000, took
    own.server.resume()
    until_done(s, rows(1), new_id())


def test_s10_stopped_in_mid_insert_nothing_is_lost_or_doubled(chimera, own):
    """SIGSTOP: the request lies with the server, the outcome is not known, and the server may still do it when it goes on."""
    c = chimera(sections(own, timeout="1s"))
    s, values, batch = Sink(c), rows(50), new_id()
    until_done(s, rows(1, label="before"), new_id())
    own.server.pause()
    a = s.append(values, batch)
    assert a.outcome == "retry", a
    own.server.resume()
    until_done(s, values, batch)
    until_done(s, values, batch)
    assert [n for (n,) in own.query(f"SELECT n FROM {NAME} FINAL WHERE label = 'a' ORDER BY n")] == list(range(50))


def test_s10_killed_and_restarted_in_mid_insert(chimera, own):
    s = Sink(chimera(sections(own, timeout="2s")))
    batches = [(new_id(), rows(200, label=str(i))) for i in range(8)]
    sent = []

    def send():
        for batch, values in batches:
            sent.append(s.append(values, batch).outcome)

    t = threading.Thread(target=send)
    t.start()
    kit.wait_for(lambda: len(sent) >= 3, "the third batch")
    own.server.kill()
    own.server.start()
    t.join()
    for batch, values in batches:
        until_done(s, values, batch)
    assert set(sent) <= {"done", "retry"}, sent
    assert own.query(f"SELECT label, count(), uniqExact(row_id) FROM {NAME} GROUP BY label ORDER BY label") == [
        [str(i), 200, 200] for i in range(8)]


def test_an_insert_whose_answer_is_lost_is_there_once(chimera, table, proxy):
    s = Sink(chimera(through(table, proxy)))
    s.append(rows(1, label="before"))
    values, batch = rows(20), new_id()
    lost = proxy.lose_answer(after=b"INSERT")
    a = s.append(values, batch)
    assert lost.is_set() and a.outcome == "retry", a
    b = until_done(s, values, batch)[-1]
    assert b.rows == 0, "all were there"
    assert table.query(f"SELECT count() FROM {NAME} WHERE label = 'a'") == [[20]]


@pytest.mark.parametrize("compress", ["on", "off"])
def test_a_request_that_is_cut_on_its_way_is_completed(chimera, table, proxy, compress):
    s = Sink(chimera(through(table, proxy, compress=compress)))
    s.append(rows(1, label="before"))
    for cut_at in (100, 2000, 20000, 60000):
        values, batch = rows(300, label=f"cut{cut_at}", bytes={"hex": "%0400x" % (cut_at * 7919)}), new_id()
        proxy.reset(up=cut_at)
        s.append(values, batch)
        proxy.heal()
        until_done(s, values, batch)
        assert table.query(f"SELECT count(), uniqExact(row_id) FROM {NAME} WHERE label = 'cut{cut_at}'") == [[300, 300]]


def test_a_batch_that_still_runs_is_not_sent_twice(chimera, table, proxy):
    """The first try hangs on its way, with half of its bytes at the server: a query of that id runs, and the second try finds it."""
    s = Sink(chimera(through(table, proxy, compress="off")))
    s.append(rows(1, label="before"))
    batch, values = new_id(), rows(10)

    def run():
        with pytest.raises(ClickHouseError):  # it is killed
            table.query("SELECT sleepEachRow(1) FROM numbers(600)", query_id=batch, max_block_size=1)

    running = threading.Thread(target=run)
    running.start()
    kit.wait_for(lambda: table.query(f"SELECT count() FROM system.processes WHERE query_id = '{batch}'")[0][0], "the query of that id")
    a = s.append(values, batch, again=True)
    assert a.outcome == "retry" and "still works on this batch" in a.detail and a.retry_ms > 0, a
    a = s.append(values, batch)
    assert a.outcome == "retry" and "QUERY_WITH_SAME_ID" in a.detail, a
    table.query(f"KILL QUERY WHERE query_id = '{batch}' SYNC")
    running.join()
    until_done(s, values, batch)
    assert table.query(f"SELECT count() FROM {NAME} WHERE label = 'a'") == [[10]]


def test_an_answer_that_is_cut_or_garbled_is_no_success(chimera, table, proxy):
    s = Sink(chimera(through(table, proxy, timeout="2s")))
    s.append(rows(1, label="before"))
    for where in (0, 9, 40):
        values, batch = rows(5, label=f"g{where}"), new_id()
        proxy.corrupt(down=where)
        a = s.append(values, batch)
        assert a.outcome in ("retry", "done"), a
        proxy.heal()
        until_done(s, values, batch)
        assert table.query(f"SELECT count() FROM {NAME} WHERE label = 'g{where}'") == [[5]]


CASES = [({"password": "wrong-of-tests"}, ["code 193", "user", "password"]), ({"user": "nobody"}, ["code 192"]),
         ({"database": "not_there"}, ["UNKNOWN_DATABASE", "CREATE DATABASE"]),
         ({"url": "http://no-such-host.invalid:8123"}, ["no-such-host.invalid"])]


@pytest.mark.parametrize("options,words", CASES, ids=["password", "user", "database", "host"])
def test_what_is_wrongly_set_up_is_said_in_a_sentence_and_asked_again(chimera, table, options, words):
    c = chimera(sections(table, **options))
    a = Sink(c).append(rows(1))
    assert a.outcome == "retry" and all(w in a.detail for w in words), a
    assert "wrong-of-tests" not in c.stderr() and a.detail.endswith("."), a
    c.wait_metric("chimera_degraded", 1, plugin="storage_clickhouse")


def test_a_right_password_and_a_database_that_come_later_heal_it(chimera, own):
    name = "later"
    db = own.server
    c = chimera(sections(own, database=name))
    s, values, batch = Sink(c), rows(2), new_id()
    assert "UNKNOWN_DATABASE" in s.append(values, batch).detail
    db.query(f"CREATE DATABASE {name}")
    a = kit.wait_for(lambda: next((x for x in [s.append(values, batch, again=True)] if "no table" in (x.detail or "")), None),
                     "the next sentence")
    assert "migrate" in a.detail
    db.query(CLICKHOUSE, name)
    until_done(s, values, batch)


def test_a_missing_table_and_a_missing_column_are_said(chimera, clickhouse):
    s = Sink(chimera(sections(clickhouse)))
    a = s.append(rows(1))
    assert a.outcome == "retry" and NAME in a.detail and "chimeractl migrate up" in a.detail, a
    clickhouse.query(CLICKHOUSE)
    clickhouse.query(f"ALTER TABLE {NAME} DROP COLUMN m")
    a = kit.wait_for(lambda: next((x for x in [s.append(rows(1), again=True)] if "left alone" not in x.detail), None), "an answer")
    assert a.outcome == "retry" and "no column m" in a.detail, a
    clickhouse.query(f"ALTER TABLE {NAME} ADD COLUMN m Nullable(Int64)")
    until_done(s, rows(1), new_id())


def test_a_column_of_another_type_is_said_and_gets_no_nonsense(chimera, table):
    table.query(f"ALTER TABLE {NAME} DROP COLUMN n")
    table.query(f"ALTER TABLE {NAME} ADD COLUMN n Int32")
    s = Sink(chimera(sections(table)))
    a = s.append(rows(3))
    assert a.outcome == "retry" and "Int32" in a.detail and "Int64" in a.detail, a
    assert count(table) == 0


def test_a_table_that_is_dropped_while_we_run_heals(chimera, table):
    s = Sink(chimera(sections(table)))
    assert s.append(rows(2)).outcome == "done"
    table.query(f"DROP TABLE {NAME}")
    values, batch = rows(2), new_id()
    assert s.append(values, batch).outcome == "retry"
    table.query(CLICKHOUSE)
    until_done(s, values, batch)
    assert count(table) == 2


def test_a_column_that_may_be_null_from_now_on_does_not_mix_bytes_up(chimera, table):
    s = Sink(chimera(sections(table)))
    assert s.append(rows(2)).outcome == "done"
    table.query(f"ALTER TABLE {NAME} DROP COLUMN bytes")
    table.query(f"ALTER TABLE {NAME} ADD COLUMN bytes Nullable(String)")
    values, batch = rows(3, label="b", bytes={"hex": "ff" * 9}), new_id()
    a = s.append(values, batch)
    assert a.outcome in ("retry", "done"), a
    until_done(s, values, batch)
    assert table.query(f"SELECT hex(bytes), count() FROM {NAME} WHERE label = 'b' GROUP BY bytes") == [["FF" * 9, 3]]


def test_s10_a_row_that_only_the_server_cannot_take_is_refused_and_found_by_halving(chimera, table):
    """S10: an operator's own column computes something that fails for one row."""
    table.query(f"ALTER TABLE {NAME} ADD COLUMN as_number Int64 MATERIALIZED toInt64(label)")
    s = Sink(chimera(sections(table)))
    values = rows(8, label="17")
    values[5] = row(label="not a number", n=5)

    def send(part):
        a = s.append(part)
        if a.outcome == "done":
            return []
        assert a.outcome == "refused" and "dead letters" in a.detail and "not a number" not in a.detail, a
        assert count(table) + len(part) <= 8, "none of a refused batch is there"
        return part if len(part) == 1 else send(part[:len(part) // 2]) + send(part[len(part) // 2:])

    assert [r[4] for r in send(values)] == [5]
    assert numbers(table) == [0, 1, 2, 3, 4, 6, 7]


def test_a_view_that_fails_behind_the_table_does_not_send_rows_twice(chimera, table):
    table.query(f"CREATE MATERIALIZED VIEW v ENGINE = MergeTree ORDER BY k AS SELECT toInt64(label) AS k FROM {NAME}")
    c = chimera(sections(table))
    a = Sink(c).append(rows(4, label="none"))
    assert (a.outcome, a.rows) == ("done", 4), a
    assert count(table) == 4
    c.wait_said("materialized view")


def test_a_view_that_fails_behind_one_of_several_days_refuses_nothing(chimera, table):
    table.query(f"CREATE MATERIALIZED VIEW v ENGINE = MergeTree ORDER BY k AS SELECT toInt64(label) AS k FROM {NAME}")
    s = Sink(chimera(sections(table)))
    for i in range(10):  # how many of the days are written before the view is heard of is the server's affair
        values, batch = [row(n=k, time=NOON + k * DAY, label="none") for k in range(3)], new_id()
        first = s.append(values, batch)
        assert first.outcome == "done" or first.outcome == "retry" and "days" in first.detail, first
        until_done(s, values, batch)
        assert count(table) == 3 * (i + 1)


LIMITS = [({"max_memory_usage": 1000}, "code 241", "max_memory_usage"), ({"readonly": 1}, "code 164", "readonly")]


@pytest.mark.parametrize("settings,code,words", LIMITS, ids=["memory", "readonly"])
def test_a_limit_of_the_server_is_said_with_what_to_do(chimera, settings, code, words):
    with ClickHouse() as server:
        db = server.database()
        db.query(CLICKHOUSE)
        server.stop()
        server.settings.update(settings)
        server.start()
        s = Sink(chimera(sections(db)))
        a = s.make(5000)
        assert a.outcome == "retry" and code in a.detail and words in a.detail, a


def test_something_else_than_clickhouse_is_said(chimera, table):
    other = chimera({})
    s = Sink(chimera(sections(table, url=other.url())))
    a = s.append(rows(1))
    assert a.outcome == "retry" and "status 404" in a.detail and "url" in a.detail, a


def test_a_call_that_is_given_up_ends_soon_and_leaves_nothing_behind(chimera, own):
    c = chimera(sections(own, timeout="30s"))
    s = Sink(c)
    s.append(rows(1))
    own.server.pause()
    a = s.append(rows(3), cancel_after_ms=50)
    assert a.outcome == "retry" and a.why == "ready" and a.elapsed_us < 10_000_000, a
    a = s.append(rows(3), timeout_ms=100)
    assert a.outcome == "retry" and a.why == "ready" and a.elapsed_us < 10_000_000, a
    a = s.append(rows(3), deadline_ms=100)
    # The call and its ctx end at the same moment: whichever clock is looked at first.
    assert a.why in ("ready", "timeout") and a.elapsed_us < 10_000_000, a
    own.server.resume()
    for after in (0, 1, 3, 10):
        a = s.make(20000, cancel_after_ms=after, batch=new_id())
        assert a.outcome in ("retry", "done"), a
    kit.wait_for(lambda: c.metric("chimera_db_connections", instance="storage_clickhouse", state="in_use") == 0, "no question under way")


def test_clients_that_leave_take_their_calls_along(chimera, own):
    with Proxy(own.server.port, record=True) as p:
        c = chimera(through(own, p, timeout="30s"))
        body = {"op": "append", "table": NAME, "columns": Sink(c).columns, "batch": new_id(), "again": True, "make": 5000}
        own.server.pause()
        for i in range(3):
            with c.connect() as k:
                k.send(kit.request_bytes("POST", "/t/sink", json.dumps(body)))
                kit.wait_for(lambda: p.seen.count(b"system.columns") == i + 1, "the question")
            kit.wait_for(lambda: c.metric("chimera_db_errors_total", instance="storage_clickhouse", error="cancelled") == i + 1, "its end")
        own.server.resume()
        until_done(Sink(c), rows(1), new_id())


def test_s10_a_server_that_is_slow_is_waited_for_within_the_timeout(chimera, table, proxy):
    proxy.latency = 0.1
    s = Sink(chimera(through(table, proxy, timeout="20s")))
    assert s.append(rows(3)).outcome == "done"
    assert count(table) == 3


def test_a_batch_over_many_days_is_whole_after_a_loss_in_between(chimera, table, proxy):
    s = Sink(chimera(through(table, proxy)))
    values, batch = [row(time=NOON + i * DAY, n=i) for i in range(40)], new_id()
    proxy.lose_answer(after=b"INSERT")
    s.append(values, batch)
    table.query(f"ALTER TABLE {NAME} DROP PARTITION 20260925")
    until_done(s, values, batch)
    assert numbers(table) == list(range(40))


def test_a_password_that_is_put_right_on_the_server_heals_it(chimera, own):
    c = chimera(sections(own, password="the-new-one"))
    s, values, batch = Sink(c), rows(2), new_id()
    assert "code 193" in s.append(values, batch).detail
    path = f"{own.server.folder}/users.xml"
    with open(path, encoding="ascii") as f:
        text = f.read()
    with open(path, "w", encoding="ascii") as f:
        f.write(text.replace(own.password, "the-new-one"))
    os.utime(path, (time.time() + 5, time.time() + 5))  # it looks at the time of the file, to the second
    until_done(s, values, batch)


def test_a_fault_at_the_seam_delays_or_fails_a_call_and_leaves_the_server_out_of_it(chimera, table):
    c = chimera({**sections(table), "t_seam": {"strike": "yes"}})
    body = json.dumps({"op": "append", "table": NAME, "columns": Sink(c).columns, "batch": new_id(), "make": 1})
    a = c.request("POST", "/t/sink", body=body, headers={"X-Fault": "storage", "X-Kind": "timeout", "X-Delay": "20"}).json()
    assert a["outcome"] == "retry" and "timeout" in a["detail"] and a["elapsed_us"] >= 20000 and not a["wrong"], a
    assert count(table) == 0
    a = c.request("POST", "/t/sink", body=body).json()
    assert a["outcome"] == "done", a


def test_columns_may_be_words_of_sql(chimera, clickhouse):
    columns = [("row_id", "uuid"), ("order", "time"), ("from", "text"), ("select", "int?")]
    clickhouse.query("CREATE TABLE `table` (row_id UUID, `order` Int64, `from` String, `select` Nullable(Int64), batch_id UUID) ENGINE = "
                     "ReplacingMergeTree PARTITION BY toYYYYMMDD(toDateTime(intDiv(`order`, 1000000), 'UTC')) ORDER BY (`order`, row_id)")
    s, batch = Sink(chimera(sections(clickhouse)), "table", columns), new_id()
    values = [[new_id(), NOON, "x", None]]
    assert s.append(values, batch).rows == 1 and s.append(values, batch, again=True).rows == 0
    assert [r[2] for r in s.find("from", "x").found] == ["x"]
    assert s.expire(NOON + 9 * DAY).rows == 1


def test_s10_whatever_happens_on_the_way_each_row_is_there_once(chimera, own):
    """Forty batches over two days, cut, lost, corrupted and stopped at random; each is sent until it is done."""
    rng = kit.seeded()
    with Proxy(own.server.port) as p:
        s = Sink(chimera(through(own, p, timeout="500ms", compress=rng.choice(["on", "off"]))))
        want = 0
        for i in range(40):
            size = rng.choice([1, 3, 50, 400])
            values = [row(time=NOON + DAY // 2 + rng.choice([-1, 1]) * (want + n), n=want + n, label=str(i)) for n in range(size)]
            want += size
            batch = new_id()
            fault = rng.randrange(7)
            if fault == 0:
                p.reset(up=rng.randrange(1, 30000))
            elif fault == 1:
                p.reset(down=rng.randrange(1, 300))
            elif fault == 2:
                p.lose_answer()
            elif fault == 3:
                p.lose_answer(after=b"INSERT")
            elif fault == 4:
                own.server.pause()
            s.append(values, batch)
            own.server.resume()
            p.heal()
            until_done(s, values, batch)
    assert numbers(own, "FINAL") == list(range(want))
    assert own.query(f"SELECT label, uniqExact(batch_id) FROM {NAME} GROUP BY label HAVING uniqExact(batch_id) != 1") == []
