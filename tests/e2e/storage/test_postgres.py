# SPDX-License-Identifier: Apache-2.0
"""storage_postgres over a real PostgreSQL: what sql/1 and sink/1 promise, seen from both sides. Faults: test_postgres_faults.py."""
import json
import os

import pytest

import chimera as kit
from servers import PASSWORD, USER, Postgres


@pytest.fixture
def world(chimera, postgres):
    """start(**options of storage_postgres) -> World over a fresh database with one table."""
    postgres.psql(TABLE + f"ALTER TABLE things OWNER TO {USER};")

    def start(dsn=None, t=None, **options):
        options = {"migrate": "off", **options}
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
        r = self.c.request("POST", path, body=json.dumps(call))
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
