# SPDX-License-Identifier: Apache-2.0
"""storage_sqlite in a real chimerad: values both ways, rows from all sides, options, commands, backup. Faults: test_sqlite_faults.py."""
import os
import signal
import sqlite3
import stat
import subprocess
import threading

import pytest

import chimera as kit
from servers import sqlite
from tsink import COLUMNS, NOON, Sink, row, rows
from tsql import Sql, statement

TYPES = {"uuid": "TEXT", "time": "INTEGER", "text": "TEXT", "int": "INTEGER", "real": "REAL", "bool": "INTEGER", "blob": "BLOB"}
T_ROWS = ("CREATE TABLE t_rows (" + ", ".join(f"{name} {TYPES[type.rstrip('?')]}{'' if type.endswith('?') else ' NOT NULL'}" for name, type
                                              in COLUMNS) + ", batch_id TEXT NOT NULL, PRIMARY KEY (row_id)) STRICT")
TABLES = [T_ROWS, "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT UNIQUE, v)"]


class World:
    """A chimerad with the plugin over a file that has TABLES."""

    def __init__(self, chimera, tmp_path, sections=None, **options):
        self.path = str(tmp_path / "db" / "test.db")
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        if not os.path.exists(self.path):
            for text in ["PRAGMA journal_mode=WAL", *TABLES]:
                sqlite(self.path, text)
        self.c = chimera({"storage_sqlite": {"path": self.path, "migrate": "off", **options}, "t_sql": {"sql": "storage_sqlite"},
                          "t_sink": {"sink": "storage_sqlite"}, **(sections or {})})
        self.sql, self.sink = Sql(self.c), Sink(self.c)

    def count(self, table="t_rows"):
        return sqlite(self.path, f"SELECT count(*) FROM {table}")[0][0]


@pytest.fixture
def world(chimera, tmp_path, plugins):
    if not kit.has_plugin(plugins, "storage_sqlite"):
        pytest.skip("storage_sqlite is not built")
    return lambda *sections, **options: World(chimera, tmp_path, *sections, **options)


# ---- values


VALUES = [["int", 2**63 - 1], ["int", -2**63], ["int", 0], ["real", 0.1], ["real", -1.5e300], ["text", ""],
          ["text", "it's \"q\" -- /* ; \\ $1 ?1"],
          ["text", "\U0001f409 ä\u0301\u200b"], ["text", "%s%n\x01\x7f"], ["blob", ""], ["blob", "0001ff27"],
          ["text", "'); DROP TABLE things; --"], ["text", "1' OR '1'='1"], ["text", "x\"; ATTACH 'y' AS z; --"], ["text", None]]


@pytest.mark.parametrize("value", VALUES, ids=[f"{t}-{i}" for i, (t, _) in enumerate(VALUES)])
def test_s11_a_value_goes_in_and_out_as_it_is(world, value):
    w = world()
    a = w.sql.run(statement("INSERT INTO things (v) VALUES ($1) RETURNING v", value),
                  statement("SELECT v FROM things WHERE v = $1 OR v IS NULL", value))
    assert a.error == "ok" and [r[1][0][1] for r in a.rows] == [value[1]] * 2, a
    stored = sqlite(w.path, "SELECT v FROM things")
    want = bytes.fromhex(value[1]) if value[0] == "blob" else value[1]
    assert stored == [(want,)] and w.count("things") == 1


def test_s11_an_injection_in_every_field_of_a_row_is_text(world):
    w = world()
    evil = "'), (1); DROP TABLE t_rows; --"
    wanted = row(label=evil, note=evil, bytes={"hex": evil.encode().hex()})
    assert w.sink.append([wanted]).outcome == "done"
    assert sqlite(w.path, "SELECT label, note, bytes FROM t_rows") == [(evil, evil, evil.encode())]
    found = w.sink.find("label", evil).found
    assert len(found) == 1 and found[0][2:4] == [evil, evil] and found[0][0] == wanted[0].replace("-", "")
    assert w.sink.find("label", "' OR 1=1 --").found == []


def test_a_megabyte_goes_in_and_out(world):
    w = world()
    text = "0123456789abcdeä" * 65536
    assert w.sql.ask("INSERT INTO things (v) VALUES ($1)", ["text*", "0123456789abcdeä", 65536]).error == "ok"
    assert sqlite(w.path, "SELECT v FROM things") == [(text,)]
    assert w.sql.rows("SELECT v FROM things") == [[text]]


@pytest.mark.parametrize("value", [["text", "a\0b"], ["real", "nan"], ["real", "inf"], ["time", 2**62]])
def test_a_value_that_cannot_be_stored_is_refused_by_its_number(world, value):
    w = world()
    a = w.sql.ask("INSERT INTO things (id, v) VALUES ($1, $2)", ["int", 1], value)
    assert (a.error, a.value) == ("value", 2) and "$2" in a.detail, a
    assert w.count("things") == 0


# ---- who sees what


def test_what_was_answered_is_seen_by_another_process_at_once(world):
    w = world()
    for i in range(50):
        assert w.sql.ask("INSERT INTO things (id) VALUES ($1)", ["int", i]).error == "ok"
        assert w.count("things") == i + 1


def test_many_clients_share_few_commits(world):
    w = world({"server": {"workers": 2}})
    errors = []

    def work(k):
        with w.c.connect() as connection:
            for i in range(40):
                body = '{"statements":[{"text":"INSERT INTO things (id) VALUES ($1)","values":[["int",%d]],"want":1}]}' % (k * 1000 + i)
                r = connection.ask("POST", "/t/sql", body=body)
                if r.json()["error"] != "ok":
                    errors.append(r.json())

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors and w.count("things") == 320
    assert 1 <= w.c.metric("chimera_sqlite_commits_total", instance="storage_sqlite") <= 320
    assert w.c.metric("db_queries_total", operation="insert", table="things") == 320
    kit.wait_for(lambda: w.c.metric("chimera_db_connections", instance="storage_sqlite", state="waiting") == 0, "nobody to wait")


def test_rows_of_a_batch_that_comes_again_are_there_once(world):
    w = world()
    batch, values = "01890000-0000-7000-8000-000000000001", rows(500)
    assert w.sink.append(values[:300], batch).rows == 300
    assert w.sink.append(values, batch, again=True).rows == 200
    assert w.sink.append(values, batch, again=True).rows == 0
    assert w.count() == 500


def test_expire_takes_old_rows_in_steps(world):
    w = world(timeout="60s")
    assert w.sink.make(12000).rows == 12000
    gone = [w.sink.expire(NOON + 86_400_000_000 * 4000).rows for _ in range(2)]
    assert gone == [10000, 2000] and w.count() == 0


# ---- options, files, health


def test_a_fresh_folder_is_migrated_without_a_word(chimera, plugins):
    if not kit.has_plugin(plugins, "storage_sqlite"):
        pytest.skip("storage_sqlite is not built")
    c = chimera({"storage_sqlite": {}, "t_sql": {"sql": "storage_sqlite"}})
    assert Sql(c).rows("SELECT COUNT(*) FROM inference_records") == [[0]]
    path = os.path.join(c.state, "chimera.db")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    kit.wait_for(lambda: "[+]storage_sqlite ok" in ready(c), lambda: ready(c))
    assert c.metric("chimera_schema_revision", instance="storage_sqlite", kind="current") >= 1
    words = [kit.CHIMERACTL, "--socket", c.address("control"), "run", "storage_sqlite", "schema", "status"]
    status = subprocess.run(words, capture_output=True, text=True, check=False)
    assert status.returncode == 0, status


def ready(c):
    return c.get("/ready?verbose", kind="status").text


def test_offline_commands_do_not_migrate_by_themselves(chimera, tmp_path, plugins):
    if not kit.has_plugin(plugins, "storage_sqlite"):
        pytest.skip("storage_sqlite is not built")
    c = chimera({"storage_sqlite": {}})
    path = os.path.join(c.state, "chimera.db")
    kit.wait_for(lambda: c.metric("chimera_schema_revision", instance="storage_sqlite", kind="current") >= 1, "the schema")
    c.stop()

    def ctl(*words):
        return subprocess.run([kit.CHIMERACTL, "-c", c.path, "--offline", "run", "storage_sqlite", *words], capture_output=True, text=True,
                              env=kit.clean_environment(), check=False)

    down = ctl("migrate", "down", "0", "--yes")
    assert down.returncode == 0, down
    assert [r[0] for r in sqlite(path, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '%records'")] == []
    status = ctl("migrate", "status")
    assert "pending" in status.stdout + status.stderr or status.returncode != 0, status
    assert [r[0] for r in sqlite(path, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '%records'")] == []
    up = ctl("migrate", "up")
    assert up.returncode == 0, up
    assert sqlite(path, "SELECT count(*) FROM inference_records") == [(0,)]


def test_a_reload_that_changes_it_loses_no_call(world):
    w = world()
    errors, stop = [], threading.Event()

    def work(k):
        i = 0
        while not stop.is_set():
            a = w.sql.ask("INSERT INTO things (id) VALUES ($1)", ["int", k * 100000 + i])
            if a.error != "ok":
                errors.append(a)
            i += 1
        counts.append(i)

    counts = []
    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    for n in range(1, 4):
        w.c.write({"storage_sqlite": {"path": w.path, "migrate": "off", "readers": n + 2}, "t_sql": {"sql": "storage_sqlite"},
                   "t_sink": {"sink": "storage_sqlite"}})
        w.c.signal(signal.SIGHUP)
        kit.wait_for(lambda n=n: len(w.c.said("reloaded")) >= n or w.c.said("config"), "the reload")
        before = w.count("things")
        kit.wait_for(lambda before=before: w.count("things") > before + 20, "it to go on")
    stop.set()
    for t in threads:
        t.join()
    assert not errors and w.count("things") == sum(counts)


# ---- backup, as docs/storage_sqlite.md tells


@pytest.mark.parametrize("how", [".backup '{to}'", "VACUUM INTO '{to}'"])
def test_a_backup_of_the_running_server_is_whole_and_can_be_restored(world, tmp_path, how, chimera):
    w = world(timeout="60s")
    w.sink.make(5000)
    stop = threading.Event()
    writer = threading.Thread(target=lambda: [w.sink.make(50, seed=i) for i in range(2, 2000) if not stop.is_set()])
    writer.start()
    to = str(tmp_path / "backup.db")
    done = subprocess.run(["sqlite3", w.path, how.format(to=to)], capture_output=True, text=True, check=False)
    stop.set()
    writer.join()
    assert done.returncode == 0, done
    assert sqlite(to, "PRAGMA integrity_check") == [("ok",)]
    have = sqlite(to, "SELECT count(*), count(DISTINCT row_id) FROM t_rows")[0]
    assert have[0] == have[1] and have[0] >= 5000 and have[0] % 50 == 0
    w.c.stop()
    assert not os.path.exists(w.path + "-wal")
    os.replace(to, w.path)
    again = World(chimera, tmp_path)
    assert again.sql.rows("SELECT COUNT(*) FROM t_rows") == [[have[0]]]


def test_the_file_after_sigterm_is_whole_and_has_no_log(world):
    w = world()
    w.sink.make(1000)
    w.c.stop()
    assert not os.path.exists(w.path + "-wal")
    with sqlite3.connect(f"file:{w.path}?mode=ro&immutable=1", uri=True) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*) FROM t_rows").fetchall() == [(1000,)]
