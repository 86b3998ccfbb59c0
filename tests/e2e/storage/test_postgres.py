# SPDX-License-Identifier: Apache-2.0
"""storage_postgres over a real PostgreSQL: what sql/1 and sink/1 promise, seen from both sides. Faults: test_postgres_faults.py."""
import json
import os
import signal
import subprocess

import pytest

import chimera as kit
from servers import PASSWORD, USER, Postgres


@pytest.fixture
def world(chimera, postgres):
    """start(**options of storage_postgres) -> World over a fresh database with one table."""
    postgres.psql(TABLE + f"ALTER TABLE things OWNER TO {USER};")

    def start(dsn=None, t=None, **options):
        options = {"migrate": "off", "pool_timeout": "10s", **options}  # a busy machine is no pool that is exhausted
        c = chimera({"storage_postgres": {"dsn": dsn or postgres.dsn, **options}, "t_sql": {}, "t_sink": {}, "prometheus": {},
                     "health": {}, **(t or {})})
        return World(c, postgres)

    return start


TABLE = """CREATE TABLE things (id bigint PRIMARY KEY, name text UNIQUE, weight double precision, good boolean, raw bytea, at timestamptz,
    key uuid, small smallint, CONSTRAINT light CHECK (weight < 1000));
"""


class World:
    def __init__(self, c, db):
        self.c, self.db = c, db
        kit.wait_for(lambda: self.ask("SELECT 1")["error"] == "ok", "the first answer of PostgreSQL")

    def post(self, path, **call):
        r = self.c.request("POST", path, body=json.dumps(call, ensure_ascii=False).encode())
        assert r.status == 200, r.body
        a = r.json()
        assert a["wrong"] is None, a
        return a

    def sql(self, *statements, **more):
        return self.post("/t/sql", statements=list(statements), **more)

    def ask(self, text, *values, **more):
        return self.sql(s(text, *values), **more)

    def metric(self, name):
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.c.get("/metrics").text.splitlines()
                   if line.startswith(name) and not line.startswith("#"))


def s(text, *values, want=-1):
    return {"text": text, "values": [list(v) for v in values], "want": want}


def test_a_row_comes_back_as_it_went(world):
    w = world()
    row = [["int", -5], ["text", "Ærø 𝄞 ' \" \\ ; --"], ["real", 0.1], ["bool", 1], ["blob", "00ff27"], ["time", 1767225600123456],
           ["uuid", "0190163d869070cb8f2c1f4f4f4f4f4f"], ["int", 7]]
    a = w.ask("INSERT INTO things VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", *row)
    assert (a["error"], a["counts"]) == ("ok", [1])
    a = w.ask("SELECT * FROM things WHERE id = $1", ["int", -5])
    assert a["rows"] == [[0, row]]
    assert w.db.psql("SELECT name, raw, at, key FROM things") == [
        ("Ærø 𝄞 ' \" \\ ; --", "\\x00ff27", w.db.psql("SELECT '2026-01-01 00:00:00.123456+00'::timestamptz")[0][0],
         "0190163d-8690-70cb-8f2c-1f4f4f4f4f4f")]


# ---- values ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind,cast,values", [
    ("int", "bigint", [0, -1, 2 ** 63 - 1, -2 ** 63, None]),
    ("real", "double precision", [0.0, -1.5, 1e308, 5e-324, 0.1, None]),
    ("bool", "boolean", [0, 1, None]),
    ("text", "text", ["", "x" * 100000, "𝄞é\u0001\u007f\n", "$1", "'; DROP TABLE things; --", None]),
    ("blob", "bytea", ["", "00", "ff" * 1000, None]),
    ("time", "timestamptz", [0, -62135596800000000, 253402300799999999, 946684800000000, 1, None]),
    ("uuid", "uuid", ["00" * 16, "ff" * 16, None])])
def test_values_of_every_type_come_back(world, kind, cast, values):
    w = world()
    for v in values:
        a = w.ask(f"SELECT CAST($1 AS {cast}), $1", [kind, v])
        assert a["rows"] == [[0, [[kind, v], [kind, v]]]], a


@pytest.mark.parametrize("expression,value", [
    ("CAST(7 AS smallint)", ["int", 7]), ("CAST(-7 AS integer)", ["int", -7]), ("CAST(1.5 AS real)", ["real", 1.5]),
    ("SUM(v) FROM (VALUES (CAST(9223372036854775807 AS bigint)), (-7)) AS t(v)", ["int", 9223372036854775800]),
    ("CAST('-9223372036854775808' AS numeric)", ["int", -2 ** 63]),
    ("CAST('9223372036854775808' AS numeric)", ["real", 9223372036854775808.0]),
    ("CAST('12345.625' AS numeric)", ["real", 12345.625]), ("CAST('-0.0001' AS numeric)", ["real", -0.0001]),
    ("CAST('100000000' AS numeric)", ["int", 100000000]), ("CAST('3.00' AS numeric)", ["int", 3]),
    ("CAST('NaN' AS numeric)", ["real", None]),
    ("CAST('2000-01-02' AS date)", ["time", 946771200000000]), ("CAST('infinity' AS timestamptz)", ["time", 253402300799999999]),
    ("CAST('x' AS varchar(3))", ["text", "x"]), ("COUNT(*) FROM things", ["int", 0]), ("CAST('NaN' AS double precision)", ["real", None]),
    ("CAST('127.0.0.1' AS inet)", ["blob", "022000047f000001"])])
def test_other_types_of_the_database_are_read_as_ours(world, expression, value):
    assert world().ask("SELECT " + expression)["rows"] == [[0, [value]]]


@pytest.mark.parametrize("value,why", [
    (["text*", "\0", 1], "NUL"), (["real", "nan"], "infin"), (["real", "inf"], "infin"), (["time", 2 ** 62], "year")])
def test_a_value_that_postgresql_cannot_hold_is_named_before_it_is_asked(world, value, why):
    a = world().sql(s("SELECT 1"), s("SELECT $1, $2", ["int", 1], value))
    assert (a["error"], a["at"], a["value"]) == ("value", 1, 2) and why in a["detail"], a


def test_a_value_that_postgresql_refuses_is_an_error_without_the_value(world):
    a = world().ask("INSERT INTO things (id, small) VALUES ($1, $2)", ["int", 1], ["int", 4711471])
    assert a["error"] == "value" and "4711471" not in a["detail"] and "22003" in a["detail"], a


def test_a_megabyte_of_text_comes_back_and_is_as_long_there(world):
    w = world()
    a = w.ask("INSERT INTO things (id, name) VALUES (1, $1) RETURNING length(name)", ["text*", "äöü€𝄞", 200000])
    assert a["error"] == "value", "an index entry is too large for PostgreSQL"
    a = w.ask("SELECT length($1), $1", ["text*", "äöü€𝄞", 200000], show=0)
    assert (a["error"], a["nrows"]) == ("ok", 1)


HOSTILE = ["'; DROP TABLE things; --", "\" OR \"\"=\"", "\\'; SELECT 1", "$1", "%s", "E'\\x00'", "/* */", "Robert'); DROP TABLE things;--"]


@pytest.mark.parametrize("text", HOSTILE)
def test_s11_hostile_text_is_a_value_and_nothing_else(world, text):
    w = world()
    assert w.ask("INSERT INTO things (id, name) VALUES (1, $1)", ["text", text])["error"] == "ok"
    assert w.ask("SELECT id FROM things WHERE name = $1", ["text", text])["rows"] == [[0, [["int", 1]]]]
    assert w.db.psql("SELECT name FROM things") == [(text,)]


# ---- statements and batches ------------------------------------------------------------------------------------------------


def test_parameters_may_repeat_and_come_in_any_order(world):
    a = world().ask("SELECT $2 || $1 || $2", ["text", "a"], ["text", "b"])
    assert a["rows"] == [[0, [["text", "bab"]]]]


def test_a_batch_is_all_or_nothing(world):
    w = world()
    a = w.sql(s("INSERT INTO things (id, name) VALUES (1, 'a')"), s("INSERT INTO things (id, name) VALUES (2, 'a')"))
    assert (a["error"], a["at"], a["constraint"]) == ("constraint", 1, "things_name_key")
    assert w.db.psql("SELECT count(*) FROM things") == [("0",)]
    a = w.sql(s("INSERT INTO things (id) VALUES (1), (2)"), s("SELECT id FROM things ORDER BY id"), s("UPDATE things SET good = true"),
              s("DELETE FROM things WHERE id = 1 RETURNING id"))
    assert a["counts"] == [2, 2, 2, 1]
    assert a["rows"] == [[1, [["int", 1]]], [1, [["int", 2]]], [3, [["int", 1]]]]


def test_a_demand_that_is_not_met_undoes_the_batch(world):
    w = world()
    w.ask("INSERT INTO things (id) VALUES (1)")
    for batch, at in (([s("UPDATE things SET good = true"), s("DELETE FROM things WHERE id = 9", want=1)], 1),
                      ([s("INSERT INTO things (id) VALUES (2)", want=2)], 0),
                      ([s("UPDATE things SET good = true", want=2), s("INSERT INTO things (id) VALUES (1)")], 0),
                      ([s("SELECT id FROM things", want=0)], 0)):
        a = w.sql(*batch)
        assert (a["error"], a["at"]) == ("count", at), a
        assert w.db.psql("SELECT id, good FROM things") == [("1", None)]
    a = w.sql(s("UPDATE things SET good = true WHERE id = 1", want=1), s("INSERT INTO things (id) VALUES (2)", want=1))
    assert a["counts"] == [1, 1], a
    assert w.sql(s("SELECT 1", want=1))["error"] == "ok"
    assert w.db.psql("SELECT count(*) FROM things WHERE good OR id = 2") == [("2",)]


def test_a_demand_in_a_batch_that_fails_otherwise_tells_the_failure(world):
    w = world()
    w.ask("INSERT INTO things (id) VALUES (1)")
    a = w.sql(s("UPDATE things SET good = true", want=1), s("INSERT INTO things (id) VALUES (1)"))
    assert (a["error"], a["at"], a["constraint"]) == ("constraint", 1, "things_pkey")
    assert w.db.psql("SELECT id, good FROM things") == [("1", None)]
    assert w.db.server.psql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == [("0",)]


@pytest.mark.parametrize("text,values,error,constraint", [
    ("SELECT nothing FROM things", [], "schema", None), ("SELECT 1 FROM nowhere", [], "schema", None),
    ("SELEC 1", [], "bad_request", None), ("SELECT 1 FROM", [], "bad_request", None),
    ("SELECT 1; SELECT 2", [], "bad_request", None), ("INSERT INTO things (id) VALUES (NULL)", [], "constraint", "things.id"),
    ("INSERT INTO things (id, weight) VALUES (1, 2000)", [], "constraint", "light"), ("SELECT $1 / 0", [["int", 1]], "value", None),
    ("SELECT 1 WHERE CAST('x' AS text) = $1", [["int", 1]], "bad_request", None),
    ("SELECT $2", [["int", 1]], "bad_request", None)])
def test_errors_are_told_apart(world, text, values, error, constraint):
    w = world()
    a = w.ask(text, *values)
    assert (a["error"], a["constraint"]) == (error, constraint), a
    assert w.ask("SELECT 1")["error"] == "ok"


def test_a_check_that_is_made_at_the_end_of_a_transaction_undoes_it(world):
    w = world()
    w.db.psql("ALTER TABLE things ADD CONSTRAINT late UNIQUE (weight) DEFERRABLE INITIALLY DEFERRED")
    a = w.sql(s("INSERT INTO things (id, weight) VALUES (1, 1)"), s("INSERT INTO things (id, weight) VALUES (2, 1)"))
    assert (a["error"], a["constraint"]) == ("constraint", "late"), a
    a = w.sql(s("INSERT INTO things (id, weight) VALUES (1, 1)", want=1), s("INSERT INTO things (id, weight) VALUES (2, 1)", want=1))
    assert (a["error"], a["constraint"]) == ("constraint", "late"), a
    assert w.db.psql("SELECT count(*) FROM things") == [("0",)]


def test_a_statement_whose_table_has_changed_can_be_tried_anew(world):
    w = world(pool_size=1, max_overflow=0)
    w.ask("INSERT INTO things (id) VALUES (1)")
    assert w.ask("SELECT * FROM things")["error"] == "ok"
    w.db.psql("ALTER TABLE things ADD COLUMN more text")
    answers = [w.ask("SELECT * FROM things")["error"] for _ in range(2)]
    assert answers in (["conflict", "ok"], ["ok", "ok"]), answers


def test_statements_past_the_prepared_ones_still_run(world):
    w = world(pool_size=1, max_overflow=0)
    for i in range(600):
        assert w.ask(f"SELECT {i}")["rows"] == [[0, [["int", i]]]]
    assert w.sql(*[s(f"SELECT {i}, 'batch'") for i in range(400)])["error"] == "ok"
    assert w.sql(*[s("INSERT INTO things (id) VALUES ($1)", ["int", i]) for i in range(1000)])["counts"] == [1] * 1000


def test_a_result_over_max_bytes_is_refused(world):
    w = world(statement_timeout="5m")
    a = w.ask("SELECT repeat('x', 1000) FROM generate_series(1, 100)", max_bytes=50000)
    assert a["error"] == "too_large" and a["nrows"] == 0, a
    a = w.ask("SELECT repeat('x', 200 * 1000 * 1000)", max_bytes=50000)
    assert a["error"] == "too_large", a
    a = w.ask("SELECT repeat('x', 1000) FROM generate_series(1, 3000000)", max_bytes=50000)
    assert a["error"] == "too_large", a
    assert w.ask("SELECT repeat('x', 1000) FROM generate_series(1, 7000)", show=0)["nrows"] == 7000


def test_a_call_that_is_given_up_stops_the_statement_at_the_server(world):
    w = world()
    a = w.ask("SELECT pg_sleep(20)", cancel_after_ms=50)
    assert a["error"] == "cancelled" and a["elapsed_us"] < 5e6, a
    assert w.ask("SELECT 1")["error"] == "ok"  # over a connection that the next one finds: it is to be given up when it runs
    a = w.ask("INSERT INTO things (id) SELECT 1 FROM pg_sleep(20)", cancel_after_ms=1000)
    assert a["error"] == "unknown", a
    a = w.sql(s("INSERT INTO things (id) SELECT 1 FROM pg_sleep(20)", want=1), cancel_after_ms=50)
    assert a["error"] == "cancelled", a
    kit.wait_for(lambda: w.db.psql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(20)%' AND state = 'active' "
                                   "AND pid <> pg_backend_pid()") == [("0",)], "the statements to end")
    assert w.ask("SELECT 1")["error"] == "ok"


def test_a_call_has_no_longer_than_it_may(world):
    w = world()
    a = w.ask("SELECT pg_sleep(20)", timeout_ms=100)
    assert a["error"] == "unavailable" and 0.05e6 < a["elapsed_us"] < 5e6, a
    a = w.ask("SELECT 1", timeout_ms=5000)
    assert a["error"] == "ok", a


def test_many_calls_at_once_share_the_pool(world):
    w = world(pool_size=2, max_overflow=1, pool_timeout="20s")
    body = json.dumps({"statements": [s("SELECT pg_backend_pid() FROM pg_sleep(0.02)")]})
    pids = set()
    connections = [kit.Connection(w.c.address()) for _ in range(20)]
    for k in connections:
        k.send(f"POST /t/sql HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    for k in connections:
        a = k.response().json()
        assert a["error"] == "ok", a
        pids.add(a["rows"][0][1][0][1])
        k.close()
    assert 1 <= len(pids) <= 3


# ---- sink ------------------------------------------------------------------------------------------------------------------

COLUMNS = [["row_id", "uuid"], ["time", "time"], ["note", "text?"], ["n", "int"], ["x", "real?"], ["ok", "bool?"], ["raw", "blob?"]]
ROWS_TABLE = f"""CREATE TABLE rows (row_id uuid PRIMARY KEY, time timestamptz NOT NULL, batch_id uuid NOT NULL, note text,
    n bigint NOT NULL, x double precision, ok boolean, raw bytea, CONSTRAINT few CHECK (n < 1000000)); ALTER TABLE rows OWNER TO {USER};"""


def uid(n):
    return f"{n:032x}"


def row(n, note="note", time=1767225600000000, number=None):
    return [uid(n), time, note, n if number is None else number, n / 2, n % 2 == 0, {"hex": "00ff"}]


@pytest.fixture
def sink(world, postgres):
    postgres.psql(ROWS_TABLE)

    def start(**kw):
        w = world(**kw)

        def append(rows, again=False, batch=1, **more):
            return w.post("/t/sink", op="append", table="rows", columns=COLUMNS, batch=uid(batch), again=again, rows=rows, **more)

        w.append = append
        w.count = lambda: int(w.db.psql("SELECT count(*) FROM rows")[0][0])
        return w

    return start


@pytest.mark.parametrize("again", [False, True])
def test_appended_rows_are_there_as_they_were_given(sink, again):
    w = sink()
    rows = [row(1), row(2, None), row(3, "Ærø\t\n\\N"), [uid(4), 0, "", -2 ** 63, None, None, None]]
    a = w.append(rows, again=again, batch=77)
    assert (a["outcome"], a["rows"]) == ("done", 4), a
    rows = w.db.psql("SET timezone TO 'UTC'; SELECT row_id, batch_id, time, note, n, x, ok, raw FROM rows ORDER BY row_id")
    assert [r[0] for r in rows] == [f"00000000-0000-0000-0000-{i:012x}" for i in range(1, 5)]
    assert {r[1] for r in rows} == {"00000000-0000-0000-0000-00000000004d"}
    assert [r[2:] for r in rows] == [
        ("2026-01-01 00:00:00+00", "note", "1", "0.5", "f", "\\x00ff"), ("2026-01-01 00:00:00+00", None, "2", "1", "t", "\\x00ff"),
        ("2026-01-01 00:00:00+00", "Ærø\t\n\\N", "3", "1.5", "f", "\\x00ff"),
        ("1970-01-01 00:00:00+00", "", "-9223372036854775808", None, None, None)]


def test_a_batch_that_comes_again_is_there_once(sink):
    w = sink()
    rows = [row(i) for i in range(1, 500)]
    assert w.append(rows)["rows"] == 499
    a = w.append(rows, again=True)
    assert (a["outcome"], a["rows"]) == ("done", 0), a
    a = w.append(rows)
    assert (a["outcome"], a["rows"]) == ("done", 0), "a batch that says it is new and is not"
    a = w.append([row(i) for i in range(400, 600)], batch=2)
    assert (a["outcome"], a["rows"]) == ("done", 100), a
    assert w.count() == 599


def test_a_large_batch_of_large_rows_goes_in_pieces(sink):
    w = sink()
    lengths = [1 + i * 7919 % 70000 for i in range(1, 31)]
    a = w.append([row(i, "ä" * n) for i, n in enumerate(lengths)])
    assert (a["outcome"], a["rows"]) == ("done", 30), a
    assert w.db.psql("SELECT sum(length(note)), sum(octet_length(note)) FROM rows") == [(str(sum(lengths)), str(2 * sum(lengths)))]
    a = w.append([row(i, "ä" * n) for i, n in enumerate(lengths)], again=True)
    assert (a["outcome"], a["rows"]) == ("done", 0), a


def test_rows_that_cannot_be_are_refused_by_number_and_the_others_are_not_there(sink):
    w = sink()
    a = w.append([row(1), row(2, {"hex": "61ff"}), row(3), row(4, {"hex": "610062"}), row(5, time=2 ** 61)])
    assert a["outcome"] == "refused" and [r[0] for r in a["refused"]] == [1, 3, 4], a
    assert "note" in a["refused"][0][1] and "time" in a["refused"][2][1]
    a = w.append([row(1), row(2), row(3, number=2000000), row(4)])
    assert a["outcome"] == "refused" and [r[0] for r in a["refused"]] == [2], a
    assert "few" in a["refused"][0][1] and "2000000" not in a["detail"]
    a = w.append([row(1), row(2), row(3, number=2000000), row(4)], again=True)
    assert a["outcome"] == "refused" and a["refused"] == [], a
    assert w.count() == 0
    assert w.append([row(1), row(2)])["outcome"] == "done"


def test_another_unique_key_refuses_its_row(sink):
    w = sink()
    w.db.psql("ALTER TABLE rows ADD UNIQUE (note)")
    a = w.append([row(1, "a"), row(2, "b"), row(3, "a")])
    assert a["outcome"] == "refused" and "rows_note_key" in a["detail"], a
    assert w.count() == 0


def test_a_column_of_another_type_is_cast(sink):
    w = sink()
    w.db.psql("ALTER TABLE rows ALTER n TYPE integer")
    assert w.append([row(1), row(2)])["outcome"] == "done"
    assert w.db.psql("SELECT n FROM rows ORDER BY n") == [("1",), ("2",)]


def test_a_missing_table_is_for_later(sink):
    w = sink()
    w.db.psql("ALTER TABLE rows RENAME TO gone")
    for again in (False, True):
        a = w.append([row(1)], again=again)
        assert a["outcome"] == "retry" and "chimeractl schema status" in a["detail"], a
    w.db.psql("ALTER TABLE gone RENAME TO rows")
    assert w.append([row(1)], again=True)["outcome"] == "done"


def test_rows_are_found_newest_first_and_expire(sink):
    w = sink()
    w.append([row(i, "even" if i % 2 == 0 else "odd", time=1767225600000000 + i) for i in range(1, 21)])

    def find(column, value, **more):
        return w.post("/t/sink", op="find", table="rows", columns=COLUMNS, column=column, value=value, **more)

    a = find(2, "even", limit=3)
    assert (a["outcome"], a["rows"]) == ("done", 3) and [r[3] for r in a["found"]] == [20, 18, 16], a
    assert [r[3] for r in find(0, uid(7))["found"]] == [7]
    assert find(2, "'; DROP TABLE rows; --")["found"] == []
    a = w.post("/t/sink", op="expire", table="rows", columns=COLUMNS, before=1767225600000000 + 11)
    assert (a["outcome"], a["rows"]) == ("done", 10), a
    assert w.db.psql("SELECT min(n), count(*) FROM rows") == [("11", "10")]


def test_expiry_takes_ten_thousand_rows_at_a_time(sink):
    w = sink()
    w.db.psql("INSERT INTO rows SELECT gen_random_uuid(), '2020-01-01', gen_random_uuid(), NULL, i FROM generate_series(1, 25000) i")
    gone = [w.post("/t/sink", op="expire", table="rows", columns=COLUMNS, before=1767225600000000)["rows"] for _ in range(4)]
    assert gone == [10000, 10000, 5000, 0]


# ---- migrations ------------------------------------------------------------------------------------------------------------


def chimeractl(c, *args):
    done = subprocess.run([kit.CHIMERACTL, "-c", c.path, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=kit.clean_environment(), timeout=kit.DEADLINE, check=False)
    assert PASSWORD not in done.stdout + done.stderr
    return done


def test_a_schema_that_is_behind_is_unhealthy_until_it_is_migrated(chimera, postgres):
    folder = os.path.join(kit.SRC, "migrations")
    c = chimera({"storage_postgres": {"dsn": postgres.dsn, "migrate": "check", "migrations": folder}, "t_sql": {}, "t_sink": {}})
    w = World(c, postgres)
    kit.wait_for(lambda: not w.ask("SELECT 1")["up"], "about.up to know")
    text = c.wait_said("check storage_postgres is unhealthy now: SELECT 1 took")["msg"]
    assert "chimeractl migrate up" in text and PASSWORD not in c.stderr()
    done = chimeractl(c, "run", "storage_postgres", "migrate", "up")
    assert done.returncode == 0, done.stderr
    assert postgres.psql("SELECT count(*) FROM inference_records") == [("0",)]
    kit.wait_for(lambda: w.ask("SELECT 1")["up"], "about.up")


def test_migrate_auto_brings_the_schema_up(chimera, postgres):
    folder = os.path.join(kit.SRC, "migrations")
    c = chimera({"storage_postgres": {"dsn": postgres.dsn, "migrate": "auto", "migrations": folder}, "t_sql": {}, "t_sink": {}})
    w = World(c, postgres)
    kit.wait_for(lambda: w.ask("SELECT count(*) FROM inference_records")["error"] == "ok", "the tables")
    assert w.ask("SELECT 1")["up"]


# ---- ways to connect -------------------------------------------------------------------------------------------------------


def test_dsns_of_every_kind_are_taken(chimera, postgres):
    port, name = postgres.server.port, postgres.name
    for options in ({"dsn": f"host=localhost port={port} dbname={name} user={USER} password={PASSWORD}"},
                    {"dsn": f"host={postgres.server.folder} port={port} dbname={name} user={USER}"},
                    {"dsn": f"postgresql://{USER}@127.0.0.1:{port}/{name}", "password": PASSWORD},
                    {"dsn": f"postgresql://{USER}:wrong@localhost:1,localhost:{port}/{name}?target_session_attrs=read-write",
                     "password": PASSWORD}):
        c = chimera({"storage_postgres": {**options, "migrate": "off"}, "t_sql": {}, "t_sink": {}})
        assert World(c, postgres).ask("SELECT current_setting('application_name')")["rows"] == [[0, [["text", "chimera"]]]]
        c.stop()


def test_tls_is_used_and_verified(chimera):
    with Postgres(tls="only") as server:
        db = server.database()
        plain = f"postgresql://{USER}:{PASSWORD}@localhost:{server.port}/{db.name}"
        for options in ({"dsn": db.dsn}, {"dsn": plain}, {"dsn": plain, "tls_mode": "verify-full", "tls_ca": server.ca_file}):
            c = chimera({"storage_postgres": {**options, "migrate": "off"}, "t_sql": {}, "t_sink": {}})
            w = World(c, db)
            a = w.ask("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert a["rows"] == [[0, [["bool", 1]]]], a
            a = w.ask("SELECT repeat('x', 100) FROM generate_series(1, 50000)", show=0)
            assert a["nrows"] == 50000
            c.stop()


def sessions(db):
    return {session[0] for session in db.server.sessions() if session[1] == db.name}


def test_a_reload_with_another_pool_keeps_answering(world):
    w = world(pool_size=2)
    before = sessions(w.db)
    with open(w.c.path, encoding="utf-8") as f:
        text = f.read()
    with open(w.c.path, "w", encoding="utf-8") as f:
        f.write(text.replace("pool_size = 2", "pool_size = 3"))
    w.c.signal(signal.SIGHUP)
    while not w.c.said("reloaded"):
        a = w.ask("SELECT 1")
        assert a["error"] == "ok", a
    kit.wait_for(lambda: not before & sessions(w.db), lambda: f"the old pool to be gone: {before}, {sessions(w.db)}")
    assert w.ask("SELECT 1")["error"] == "ok"


def test_metrics_tell_of_the_pool_and_of_statements(world):
    w = world()
    w.ask("INSERT INTO things (id) VALUES (1)")
    w.ask("SELECT nothing FROM things")
    assert w.metric('db_queries_total{operation="insert",table="things"}') == 1
    assert w.metric('chimera_db_errors_total{instance="storage_postgres",error="schema"}') == 1
    kit.wait_for(lambda: w.metric('chimera_db_connections{instance="storage_postgres",state="idle"}') >= 1, "an idle connection")
    assert w.metric('chimera_postgres_connects_total{result="ok"}') >= 1


def test_a_fault_of_the_seam_strikes_as_if_the_database_had_failed(world, sink):
    w = sink(t={"t_seam": {"strike": "yes"}})
    body = json.dumps({"statements": [s("INSERT INTO things (id) VALUES (1)")]})

    def struck(path, text, **fields):
        r = w.c.request("POST", path, body=text, headers=[("X-Fault", "storage"), *fields.items()])
        return r.json()

    a = struck("/t/sql", body, **{"X-Delay": "300", "X-Kind": "down"})
    assert a["error"] == "unavailable" and a["elapsed_us"] >= 0.3e6 and w.db.psql("SELECT count(*) FROM things") == [("0",)], a
    a = struck("/t/sql", body, **{"X-Delay": "200"})
    assert a["error"] == "ok" and a["elapsed_us"] >= 0.2e6, a
    text = json.dumps({"op": "append", "table": "rows", "columns": COLUMNS, "batch": uid(1), "again": False, "rows": [row(1)]})
    a = struck("/t/sink", text, **{"X-Delay": "0", "X-Kind": "down"})
    assert a["outcome"] == "retry" and w.count() == 0, a


def test_a_password_file_is_read_again_at_a_reload(chimera, postgres, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    c = chimera({"storage_postgres": {"dsn": f"host=127.0.0.1 port={postgres.server.port} dbname={postgres.name} user={USER}",
                                      "password": f"@{secret}", "migrate": "off"}, "t_sql": {}, "t_sink": {}})
    c.wait_said("database is degraded now")
    secret.write_text(PASSWORD + "\n")
    c.signal(signal.SIGHUP)
    assert World(c, postgres).ask("SELECT 1")["error"] == "ok"
    assert PASSWORD not in c.stderr()
