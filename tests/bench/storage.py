# SPDX-License-Identifier: Apache-2.0
"""What is kept: the ledger's price for a request, and rows per second into each database beside its own bulk load of the same rows."""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time

from measure import Row, generate, one_answer, warm
from servers import ENV, PATIENCE, SOURCE, Broken, Exchange, cpu_seconds, on_cpus, request, worker_seconds

TABLE = "inference_records"
MIGRATIONS = SOURCE / "migrations"


# ---- the ledger ------------------------------------------------------------------------------------------------------------


def ledger_part(maker, options):
    missing = [p for p in ("records", "storage_sqlite") if not maker.has(p)]
    if missing:
        return [Row("the usage ledger", "CPU per request", "us", [], skipped=f"the build has no {', '.join(missing)}")]
    maker.plugin("b_ledger")
    paths, got = ["/with", "/without"], {"/with": [], "/without": []}
    # Rows wait in the journal here, so that the writer of SQLite takes no part of the CPU that is measured.
    config = f"[b_ledger]\n[storage_sqlite]\nmigrations = {MIGRATIONS}\n[records]\nmax_bytes = 4g\n"
    with maker.chimera(config) as server:
        size = {path: sum(one_answer(server, request(path))) for path in paths}
        for i in range(max(options.many, 4)):
            for path in paths[:: -1 if i % 2 else 1]:
                req, pids = request(path), server.pids()
                warm(server, req, options.turns)
                before, all_before = worker_seconds(pids[0]), cpu_seconds(pids)
                r = generate(server, req, path, None, options.short, options)
                if r["bad"] or abs(r["bytes"] / r["requests"] / size[path] - 1) > 0.01:
                    raise Broken(f"{r['bad']} wrong answers of {r['requests']} to {path}; {server.account()}")
                got[path].append(((worker_seconds(pids[0]) - before) / r["requests"] * 1e6,
                                  (cpu_seconds(pids) - all_before) / r["requests"] * 1e6))
        lost = lost_rows(server)
    difference = lambda k: [a[k] - b[k] for a, b in zip(got["/with"], got["/without"])]
    part = "the usage ledger: a request that leaves a row, less one that does not"
    return [Row(part, "CPU of the worker", "us", difference(0), None, 1.0, True),
            Row(part, "CPU of the process, shipping to SQLite included", "us", difference(1)),
            Row(part, "rows lost", "", [lost], None, 0, True)]


def lost_rows(server):
    """What the ledger says of itself; None of it is measured time."""
    x = Exchange(server.port, request("/metrics"))
    with contextlib.closing(x):
        page = x.ask()[2].decode()
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("chimera_ledger_lost_total"))


# ---- sinks -----------------------------------------------------------------------------------------------------------------


def real_servers(folder="storage", name="servers"):
    """A module of tests/e2e that starts the real ones. ImportError: a Python package is missing."""
    os.environ.setdefault("CHIMERA_SRC", str(SOURCE))
    sys.path[:0] = [str(SOURCE / "tests/e2e" / x) for x in (folder, "storage", ".")]
    ours = sys.modules.pop("servers")  # theirs has the same name
    try:
        return importlib.import_module(name)
    finally:
        sys.modules["servers"] = ours


def shell(command, cpus=None, **kw):
    """Runs a command of a database's own; seconds."""
    began = time.monotonic()
    with on_cpus(cpus):
        done = subprocess.run(command, capture_output=True, timeout=300, check=False, env={**os.environ, **ENV}, **kw)
    took = time.monotonic() - began
    if done.returncode or b"rror" in done.stderr:
        raise Broken(f"{command[0]} failed: {done.stderr.decode(errors='replace')[-400:]}")
    return took, done.stdout


class Sqlite:
    name, plugin, tool = "SQLite", "storage_sqlite", "`.import` of sqlite3"

    def __init__(self, maker, real):
        self.real, self.cpus, self.path = real, maker.cpus, maker.folder / "bench.db"
        self.file = maker.folder / "rows.csv"
        real.program("sqlite3", "sqlite3")

    def config(self):
        return f"[storage_sqlite]\npath = {self.path}\nmigrate = auto\nmigrations = {MIGRATIONS}\n"

    def rows(self):
        return self.real.sqlite(str(self.path), f"SELECT count(*) FROM {TABLE}")[0][0]

    def clear(self):
        self.real.sqlite(str(self.path), f"DELETE FROM {TABLE}")
        self.real.sqlite(str(self.path), "PRAGMA wal_checkpoint(TRUNCATE)")

    def dump(self):
        shell(["sqlite3", "-csv", self.path, f".output {self.file}", f"SELECT * FROM {TABLE}"])

    def load(self):
        return shell(["sqlite3", "-csv", self.path, "PRAGMA synchronous=FULL", f".import {self.file} {TABLE}"], self.cpus)[0]

    def close(self):
        pass


class PostgreSql:
    name, plugin, tool = "PostgreSQL", "storage_postgres", "`\\copy` of psql"

    def __init__(self, maker, real):
        self.cpus, self.file = maker.cpus, maker.folder / "rows.copy"
        self.psql = real.postgres_program("psql")
        with on_cpus(None):
            self.server = real.Postgres(durable=True)
            self.server.start()
        self.db = self.server.database()

    def config(self):
        return f"[storage_postgres]\ndsn = {self.db.dsn}\nmigrate = auto\nmigrations = {MIGRATIONS}\n"

    def rows(self):
        return int(self.db.psql(f"SELECT count(*) FROM {TABLE}")[0][0])

    def clear(self):
        self.db.psql(f"TRUNCATE {TABLE}")

    def copy(self, how, cpus=None):
        return shell([self.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.db.dsn, "-c", f"\\copy {TABLE} {how} '{self.file}'"], cpus)[0]

    def dump(self):
        self.copy("TO")

    def load(self):
        return self.copy("FROM", self.cpus)

    def close(self):
        self.server.close()


class ClickHouse:
    name, plugin, tool = "ClickHouse", "storage_clickhouse", "`INSERT FORMAT TabSeparated` of clickhouse-client"

    def __init__(self, maker, real):
        self.cpus, self.file = maker.cpus, maker.folder / "rows.tsv"
        self.client = real.program("clickhouse-client", "clickhouse-client")
        with on_cpus(None):
            self.server = real.ClickHouse()
            self.server.start()
        self.db = self.server.database()

    def config(self):
        return (f"[http_client]\n[storage_clickhouse]\nurl = {self.db.url}\ndatabase = {self.db.name}\nuser = {self.db.user}\n"
                f"password = {self.db.password}\nmigrate = auto\nmigrations = {MIGRATIONS}\n")

    def rows(self):
        return self.db.query(f"SELECT count() FROM {TABLE}")[0][0]

    def clear(self):
        self.db.query(f"TRUNCATE TABLE {TABLE}")

    def run(self, query, cpus=None, **kw):
        return shell([self.client, "--port", str(self.server.tcp_port), "--user", self.db.user, "--password", self.db.password, "--database",
                      self.db.name, "--query", query], cpus, **kw)

    def dump(self):
        self.file.write_bytes(self.run(f"SELECT * FROM {TABLE} FORMAT TabSeparated")[1])

    def load(self):
        with open(self.file, "rb") as f:
            return self.run(f"INSERT INTO {TABLE} FORMAT TabSeparated", self.cpus, stdin=f)[0]

    def close(self):
        self.server.close()


def fill(server):
    """Seconds for one fill; a database that is not ready yet is asked again."""
    end = time.monotonic() + PATIENCE
    while True:
        x = Exchange(server.port, request("/fill"))
        with contextlib.closing(x):
            x.socket.settimeout(300)
            status, _, body = x.ask()
        if status == 200:
            return json.loads(body)["us"] / 1e6
        if time.monotonic() > end:
            raise Broken(f"/fill answers {status}: {body[:300]!r}; {server.account()}")
        time.sleep(0.05)


def compare(maker, engine, n, options):
    """Rows per second of both, in turn."""
    ours, theirs = [], []
    config = f"{engine.config()}[prometheus]\n[b_sink]\ntarget = {engine.plugin}\nrows = {n}\nbatch = 10000\n"
    with maker.chimera(config) as server:
        server.wait_ready(request("/up"))
        fill(server)
        engine.dump()
        for i in range(max(options.many, 3)):
            for which in (ours, theirs)[:: -1 if i % 2 else 1]:
                engine.clear()
                took = fill(server) if which is ours else engine.load()
                if engine.rows() != n:
                    raise Broken(f"{engine.name} has {engine.rows()} rows instead of {n}; {server.account()}")
                which.append(n / took)
    return ours, theirs


def sinks_part(maker, options):
    try:
        real = real_servers()
    except ImportError as e:
        return [Row("rows into databases", "all", "/s", [], skipped=f"{e.name} is missing: apt-get install python3-pytest python3-requests")]
    maker.plugin("b_sink")
    n, rows = 30000 if options.quick else 200000, []
    for kind in (Sqlite, PostgreSql, ClickHouse):
        part = f"{n:,} rows of {TABLE} in batches of 10,000, the database's own bulk load in the second column"
        what, engine = f"{kind.name}, beside {kind.tool}", None
        if not maker.has(kind.plugin):
            rows.append(Row(part, what, "/s", [], skipped=f"the build has no {kind.plugin}"))
            continue
        try:
            engine = kind(maker, real)
            ours, theirs = compare(maker, engine, n, options)
            rows.append(Row(part, what, "/s", ours, theirs, 0.7, least=True))
        except real.pytest.skip.Exception as e:
            rows.append(Row(part, what, "/s", [], skipped=str(e)))
        finally:
            if engine:
                engine.close()
    return rows
