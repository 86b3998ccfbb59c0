# SPDX-License-Identifier: Apache-2.0
"""storage_clickhouse with a ClickHouse that is well: rows arrive once, as they were, and are found and expire."""
import re
import struct

import chimera as kit
import pytest
from tsink import CLICKHOUSE, COLUMNS, DAY, NAME, NOON, Sink, new_id, row, rows


def sections(db, **options):
    given = {"url": db.url, "database": db.name, "user": db.user, "password": db.password, "migrate": "off", **options}
    return {"http_client": {}, "storage_clickhouse": given, "t_sink": {"sink": "storage_clickhouse"}}


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
def sink(chimera, table):
    return Sink(chimera(sections(table)))


def count(db, final=False):
    return db.query(f"SELECT count() FROM {NAME}{' FINAL' if final else ''}")[0][0]


def test_a_batch_arrives_once(sink, table):
    values = rows(3)
    batch = new_id()
    a = sink.append(values, batch)
    assert (a.outcome, a.rows, a.detail) == ("done", 3, None), a
    assert table.query(f"SELECT row_id, time, n, batch_id FROM {NAME} ORDER BY n") == [
        [values[i][0], NOON + i, i, batch] for i in range(3)]
    a = sink.append(values, batch, again=True)
    assert (a.outcome, a.rows) == ("done", 0), a
    assert count(table) == 3, "the second time nothing was sent"


@pytest.mark.parametrize("compress", ["on", "off"])
@pytest.mark.parametrize("size", [1, 10000])
def test_small_and_large_batches_arrive_compressed_or_not(chimera, table, compress, size):
    s = Sink(chimera(sections(table, compress=compress)))
    a = s.make(size, seed=7)
    assert (a.outcome, a.rows) == ("done", size), a
    assert count(table) == size
    assert table.query(f"SELECT count(), max(time) FROM (SELECT DISTINCT row_id, time FROM {NAME})") == [[size, NOON + (size - 1) * 1000]]


def test_what_is_missing_of_a_batch_is_sent_again_and_nothing_else(sink, table):
    batch, values = new_id(), rows(5)
    assert sink.append(values, batch).rows == 5
    table.query(f"CREATE TABLE copy AS {NAME}")
    table.query(f"INSERT INTO copy SELECT * FROM {NAME} WHERE n IN (1, 3)")
    table.query(f"DROP TABLE {NAME}")
    table.query(f"RENAME TABLE copy TO {NAME}")
    a = sink.append(values, batch, again=True)
    assert (a.outcome, a.rows) == ("done", 3), a
    assert table.query(f"SELECT n, count() FROM {NAME} GROUP BY n ORDER BY n") == [[i, 1] for i in range(5)]


def test_a_batch_across_midnight_is_whole_in_both_days(sink, table):
    batch = new_id()
    midnight = NOON + DAY // 2
    values = [row(time=midnight + i, n=i) for i in range(-3, 3)]
    assert sink.append(values, batch).rows == 6
    assert table.query(f"SELECT partition, sum(rows) FROM system.parts WHERE active AND table='{NAME}' AND database='{table.name}' "
                       "GROUP BY partition ORDER BY partition") == [["20260921", 3], ["20260922", 3]]
    table.query(f"ALTER TABLE {NAME} DROP PARTITION 20260922")
    a = sink.append(values, batch, again=True)
    assert (a.outcome, a.rows) == ("done", 3), a
    assert count(table) == 6


INT64 = [0, 1, -1, 2**63 - 1, -2**63, 2**53 + 1]
TEXTS = ["", "a", "quo'te \" back\\slash \t tab \n line \r", "x" * 127, "x" * 128, "\U0001f984 four bytes",
         "%s %n {} ; -- DROP TABLE", "y" * 1_000_000]


def test_values_round_trip(sink, table):
    values = []
    for i, n in enumerate(INT64):
        values.append(row(n=n, m=n, x=[0.0, -0.0, 1e308, -1e-308, 0.1, 3.5][i], flag=bool(i % 2)))
    values += [row(label=t, note=t, n=100 + i, bytes={"hex": t[:300].encode().hex()}) for i, t in enumerate(TEXTS)]
    values.append(row(n=200, bytes={"hex": bytes(range(256)).hex()}, ref="00112233-4455-6677-8899-aabbccddeeff", seen=-62135596800000000))
    values.append(row(n=201, time=253402300799999999, seen=253402300799999999))
    values.append(row(n=202, time=-62135596800000000))
    a = sink.append(values)
    assert (a.outcome, a.rows) == ("done", len(values)), a
    got = {r[0].replace("-", ""): r for v in values for r in sink.find("row_id", v[0]).found}
    for v in values:
        r = got[v[0].replace("-", "")]
        for (name, _), want, have in zip(COLUMNS, v, r):
            if isinstance(want, dict):
                want = want["hex"]
            elif name in ("row_id", "ref") and want:
                want = want.replace("-", "")
            if name == "x" and want is not None:
                want, have = struct.pack("d", want + 0.0), struct.pack("d", have + 0.0)  # JSON has no -0
            assert have == (int(want) if name == "flag" else want), (name, want, have)
    assert table.query(f"SELECT toString(x) FROM {NAME} WHERE n = 1") == [["-0"]]
    assert table.query(f"SELECT label, note FROM {NAME} WHERE n = 105") == [[TEXTS[5], TEXTS[5]]], "the server reads the same text"


BAD = [("x", "nan", "is infinite or not a number"), ("x", "inf", "is infinite"),
       ("note", "a\0b", "UTF-8"), ("label", {"hex": "c3"}, "UTF-8"),
       ("flag", 2, "neither true"), ("time", 253402300800000000, "years 1 to 9999"), ("label", None, "null")]


@pytest.mark.parametrize("column,value,words", BAD, ids=[f"{c}-{i}" for i, (c, _, _) in enumerate(BAD)])
def test_a_value_that_no_column_takes_is_refused_by_its_row_and_name_and_nothing_is_sent(sink, table, column, value, words):
    values = rows(4)
    values[2][[name for name, _ in COLUMNS].index(column)] = value
    a = sink.append(values)
    assert a.outcome == "refused" and [r for r, _ in a.refused] == [2], a
    assert column in a.refused[0][1] and words in a.refused[0][1], a.refused
    assert count(table) == 0


INJECTIONS = ["'", "\\", "\\'", "' OR '1'='1", "'; DROP TABLE t_rows; --", "') FORMAT Null --", "a\tb\nc", "unhex('41')",
              "{x:String}", "%27", "`", "\u00e9"]


@pytest.mark.parametrize("text", INJECTIONS)
def test_s11_a_text_is_only_ever_compared_with(sink, table, text):
    sink.append([row(label=text, n=1), row(label="other", n=2), row(label=text + "x", n=3)])
    a = sink.find("label", text)
    assert a.outcome == "done" and [r[4] for r in a.found] == [1], a
    assert count(table) == 3


def test_what_is_found_is_newest_first_each_once_and_at_most_so_many(sink, table):
    values = rows(10, label="same")
    sink.append(values, new_id())
    sink.append(values, new_id())  # under another id: all come twice
    assert count(table) == 20 and count(table, final=True) == 10
    assert [r[4] for r in sink.find("label", "same").found] == list(range(9, -1, -1))
    assert [r[4] for r in sink.find("label", "same", limit=3).found] == [9, 8, 7]
    assert sink.find("label", "none").found == []
    a = sink.find("label", "z" * 300_000)
    assert (a.outcome, a.found) == ("done", []), a


def test_whole_days_expire(sink, table):
    for day in range(5):
        sink.append(rows(2, label=str(day)) if not day else [row(time=NOON + day * DAY, label=str(day))])
    a = sink.expire(NOON + 2 * DAY)
    assert (a.outcome, a.rows) == ("done", 3), a
    labels = table.query(f"SELECT DISTINCT label FROM {NAME} ORDER BY label")
    assert labels == [["2"], ["3"], ["4"]], "the day in which the moment lies stays"
    assert sink.expire(NOON + 2 * DAY).rows == 0
    assert sink.expire(-1).rows == 0


def test_a_table_that_is_partitioned_otherwise_does_not_expire(chimera, clickhouse):
    otherwise = "PARTITION BY intDiv(time, 864000000000) ORDER BY"
    clickhouse.query(re.sub(r"PARTITION BY .*\)\)? ORDER BY", otherwise, CLICKHOUSE.replace("\n", " ")))
    s = Sink(chimera(sections(clickhouse)))
    assert s.append(rows(2)).outcome == "done"
    a = s.expire(NOON + 100 * DAY)
    assert a.outcome == "retry" and "by hand" in a.detail, a
    assert count(clickhouse) == 2


def test_it_says_what_batches_it_likes(chimera, table):
    s = Sink(chimera(sections(table, batch_rows=123, batch_age="250ms")))
    a = s.about()
    assert (a.rows, a.age_ms) == (123, 250) and a.bytes >= 1 << 20


def test_the_password_is_in_no_log_and_no_url(chimera, table):
    c = chimera({**sections(table), "log": {"format": "json", "level": "debug"}})
    Sink(c).append(rows(1))
    assert table.password not in c.stderr()
    assert table.password not in table.server.log


def test_metrics_count_what_was_run(sink, table):
    sink.append(rows(2))
    c = sink.chimera
    assert c.metric("db_queries_total", operation="insert", table=NAME) == 1
    assert c.metric("db_query_duration_seconds_count", operation="insert", table=NAME) == 1
    kit.wait_for(lambda: c.metric("chimera_db_connections", instance="storage_clickhouse", state="in_use") == 0, "no question under way")
