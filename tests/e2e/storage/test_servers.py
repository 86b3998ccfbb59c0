# SPDX-License-Identifier: Apache-2.0
"""The servers that the tests of storage stand on do what servers.py says."""
import socket
import subprocess
import threading

import pytest
from servers import ClickHouse, ClickHouseError, Postgres, children, postgres_program, sqlite

ONCE = True  # see ../conftest.py


def test_each_test_has_a_fresh_postgres_database(postgres):
    assert postgres.psql("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, NULL), (2, 'a\nb\"c'); SELECT * FROM t ORDER BY a") == [
        ("1", None), ("2", 'a\nb"c')]


def test_and_so_has_the_next_one(postgres):
    assert postgres.psql("SELECT to_regclass('t')") == [(None,)]
    done = subprocess.run([postgres_program("psql"), "-X", "-At", "-c", "SELECT current_user", postgres.dsn], capture_output=True,
                          text=True)
    assert done.stdout == "chimera\n", done.stderr


def test_a_postgres_whose_port_was_taken_meanwhile_takes_another():
    server = Postgres()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the port is held for us: kit.free_port
        other.bind(("127.0.0.1", server.port))
        other.listen()
        taken = server.port
        with server:
            assert server.port != taken and server.psql("SELECT 1") == [("1",)]


def test_a_paused_postgres_answers_when_it_goes_on_and_a_killed_one_comes_back():
    with Postgres(max_connections=7, tls=True, durable=True) as pg:
        db = pg.database(icu_locale="en")
        assert pg.psql("SHOW max_connections; SHOW fsync; SHOW ssl") == [("7",), ("on",), ("on",)]
        assert db.psql("SELECT 'a' < 'B'") == [("t",)]
        db.psql("CREATE TABLE t AS SELECT 1 AS a")
        pg.pause()
        got = []
        t = threading.Thread(target=lambda: got.append(db.psql("SELECT a FROM t")))
        t.start()
        assert pg.alive and not got
        pg.resume()
        t.join()
        assert got == [[("1",)]]
        below = children(pg.pid)
        assert below
        pg.kill()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", pg.port)).close()
        pg.start()
        assert db.psql("SELECT a FROM t") == [("1",)]
        done = subprocess.run([postgres_program("psql"), "-X", "-At", "-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
                               db.dsn], capture_output=True, text=True)
        assert done.stdout == "t\n", done.stderr


def test_each_test_has_a_fresh_clickhouse_database(clickhouse):
    clickhouse.query("CREATE TABLE t (d Date, n UInt64, s Nullable(String)) ENGINE = MergeTree PARTITION BY d ORDER BY n")
    clickhouse.query("INSERT INTO t VALUES ('2020-02-29', 18446744073709551615, NULL)")
    assert clickhouse.query("SELECT * FROM t") == [["2020-02-29", 18446744073709551615, None]]
    with pytest.raises(ClickHouseError) as e:
        clickhouse.query("SELECT * FROM nowhere")
    assert e.value.code == 60


def test_a_killed_clickhouse_comes_back():
    with ClickHouse(max_memory_usage=123456789) as ch:
        db = ch.database()
        db.query("CREATE TABLE t (d Date) ENGINE = MergeTree PARTITION BY d ORDER BY d")
        db.query("INSERT INTO t VALUES ('2020-01-01')")
        assert ch.query("SELECT value FROM system.settings WHERE name = 'max_memory_usage'") == [["123456789"]]
        ch.kill()
        ch.start()
        assert db.query("SELECT count() FROM t") == [[1]]
        ch.restart()
        assert db.query("SELECT count() FROM t") == [[1]]


def test_sqlite_runs_one_statement_or_several(tmp_path):
    path = tmp_path / "a.db"
    assert sqlite(path, "CREATE TABLE t (a); INSERT INTO t VALUES (1);") == []
    assert sqlite(path, "SELECT a, $1 FROM t", "x;y;") == [(1, "x;y;")]
