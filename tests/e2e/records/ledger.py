# SPDX-License-Identifier: Apache-2.0
"""What the tests of the ledger share: a config, the rows as each kind of sink has them, and clients that remember what they were answered."""
import json
import os
import subprocess
import threading
import uuid

import chimera as kit
import pytest
from servers import sqlite

COLUMNS = ("row_id", "time", "req_id", "trace_id", "endpoint", "method", "backend", "model", "asked", "owner", "tier", "status", "error_type",
           "tokens_in", "tokens_out", "cost", "latency_ms", "first_byte_ms", "bytes_in", "bytes_out", "aborted", "prompt", "answer")
JSON = {"Content-Type": "application/json"}


def sections(plugins, *sinks, **more):
    """The config: a dryrun backend, /v1/ask, the ledger with SQLite alone, or with the sections of `sinks` ({name: keys}). Keyword arguments
    are further keys of sections, None leaves one out. Skips when a plugin is not built."""
    full = {"trace": {"trust_incoming": "always"}, "dryrun": {}, "ask": {}, "records": {}}
    for sink in sinks or ({"storage_sqlite": {}},):
        full.update(sink)
    for name, keys in more.items():
        name = name.replace("__", ".")
        full[name] = None if keys is None else {**(full.get(name) or {}), **keys}
    if full.get("storage_sqlite") is not None:  # a busy machine is no database that hangs
        full["storage_sqlite"] = {"timeout": "60s", **full["storage_sqlite"]}
    for name in full:
        if name not in ("server", "log") and "." not in name and not kit.has_plugin(plugins, name.split(":")[0]):
            pytest.skip(f"{name} is not built")
    return full


# ---- sinks ---------------------------------------------------------------------------------------------------------------


class SQLite:
    name = "storage_sqlite"

    def __init__(self, state):
        self.path = os.path.join(state, "chimera.db")

    def config(self):
        return {self.name: {}}

    def rows(self, table="inference_records", columns=COLUMNS):
        return [dict(zip(columns, row)) for row in sqlite(self.path, f"SELECT {', '.join(columns)} FROM {table} ORDER BY row_id")]


class Postgres:
    name = "storage_postgres"

    def __init__(self, server, db=None):
        self.server = server
        self.db = db or server.database()

    def config(self):
        return {self.name: {"dsn": self.db.dsn, "migrate": "auto"}}

    def rows(self, table="inference_records", columns=COLUMNS):
        types = {"status": int, "tokens_in": int, "tokens_out": int, "bytes_in": int, "bytes_out": int, "time": int, "cost": float,
                 "latency_ms": float, "first_byte_ms": float, "aborted": lambda v: int(v == "t")}
        names = ["(extract(epoch from time) * 1000000)::bigint" if c == "time" else c for c in columns]
        rows = self.db.psql(f"SELECT {', '.join(names)} FROM {table} ORDER BY row_id")
        return [{c: None if v is None else types.get(c, str)(v) for c, v in zip(columns, row)} for row in rows]


class ClickHouse:
    name = "storage_clickhouse"

    def __init__(self, server, db=None):
        self.server = server
        self.db = db or server.database()

    def config(self):
        db = self.db
        return {"http_client": {}, self.name: {"url": db.url, "database": db.name, "user": db.user, "password": db.password,
                                               "migrate": "auto", "batch_age": "200ms"}}

    def rows(self, table="inference_records", columns=COLUMNS):
        """As they lie there, without FINAL: a row that came twice is there twice."""
        names = ["toString(row_id)" if c == "row_id" else c for c in columns]
        rows = self.db.query(f"SELECT {', '.join(names)} FROM {table}", max_execution_time=60)
        return sorted((dict(zip(columns, row)) for row in rows), key=lambda row: row["row_id"])


def one(rows, req_id):
    """The one row of that request."""
    found = [row for row in rows if row["req_id"] == req_id]
    assert len(found) == 1, f"{len(found)} rows of {req_id}"
    return found[0]


def wait_one(sink, req_id):
    def probe():
        try:
            return [row for row in sink.rows() if row["req_id"] == req_id]
        except Exception:  # the table is not there yet
            return []

    kit.wait_for(probe, f"a row of {req_id}")
    return one(sink.rows(), req_id)


def wait_shipped(c):
    """Until no sink has rows to come."""
    kit.wait_for(lambda: c.metric("chimera_ledger_rows_total") >= 0 and c.metric("chimera_ledger_lag_rows") == 0 and lag(c) == 0,
                 lambda: f"all rows to be shipped:\n{ctl(c, 'records', 'status').stdout}")


def lag(c):
    """Rows that are not at some sink, as `records status` says at this moment: the metric is up to a second old."""
    done = ctl(c, "records", "status")
    waiting = [int(line.split(" waiting")[0].split()[-1]) for line in done.stdout.splitlines() if "+-->" in line]
    assert done.returncode == 0 and waiting, (done.stdout, done.stderr)
    return sum(waiting)


def ctl(c, *words):
    return subprocess.run([kit.CHIMERACTL, "-c", c.path, *words], capture_output=True, text=True, env=kit.clean_environment(),
                          timeout=kit.DEADLINE, check=False)


# ---- clients -------------------------------------------------------------------------------------------------------------


class Load:
    """Threads that ask all the time, each request by an X-Request-Id of its own; what was answered whole is in `answered` by that id:
    (status, bytes sent, bytes of the answer's body, prompt tokens). Errors of connections are the others' fault: the server is killed."""

    def __init__(self, address, threads=4):
        self.address, self.ending, self.answered, self.lock = address, threading.Event(), {}, threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(threads)]
        for t in self.threads:
            t.start()

    def run(self, number):
        count = 0
        while not self.ending.is_set():
            try:
                with kit.Connection(self.address, timeout=10) as c:
                    while not self.ending.is_set():
                        count += 1
                        self.ask(c, number, count)
            except (OSError, AssertionError):
                self.ending.wait(0.005)

    def ask(self, c, number, count):
        req_id = str(uuid.uuid4())
        words = (number + count) % 7 + 1
        question = {"prompt": " ".join(["word"] * words)}
        if count % 5 == 0:
            question["stream"] = True
        if count % 11 == 0:
            question["prompt"] = 7
        body = json.dumps(question)
        r = c.ask("POST", "/v1/ask", body, {**JSON, "X-Request-Id": req_id})
        with self.lock:
            self.answered[req_id] = (r.status, len(body), len(r.body), words if r.status == 200 else 0)

    def stop(self):
        self.ending.set()
        for t in self.threads:
            t.join()
        return self.answered


def compare(answered, sinks):
    """Each answered request has exactly one row in every sink, with what the client saw; all sinks have the same rows."""
    first = None
    for sink in sinks:
        rows = sink.rows()
        by_id, ids = {}, set()
        for row in rows:
            by_id.setdefault(row["req_id"], []).append(row)
            ids.add(row["row_id"])
        lost = [i for i in answered if i not in by_id]
        doubled = [i for i, found in by_id.items() if len(found) > 1]
        assert not lost and not doubled, f"{sink.name}: {len(lost)} lost, {len(doubled)} doubled of {len(answered)} answered: {lost[:3]} {doubled[:3]}"
        assert len(ids) == len(rows), sink.name
        for i, (status, sent, got, tokens) in answered.items():
            row = by_id[i][0]
            assert (row["status"], row["bytes_in"], row["bytes_out"], row["tokens_in"]) == (status, sent, got, tokens), (sink.name, row)
        if first is None:
            first = rows
        else:
            assert len(first) == len(rows), f"{sinks[0].name} has {len(first)} rows, {sink.name} {len(rows)}"
            for a, b in zip(first, rows):
                assert a == b, (sinks[0].name, sink.name)
    return len(first)
