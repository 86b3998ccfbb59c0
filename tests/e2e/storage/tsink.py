# SPDX-License-Identifier: Apache-2.0
"""Calls of sink/1 through the test plugin t_sink, for the tests of sinks.

  s = Sink(c, "storage_clickhouse")           c: a Chimera with s.sections in its config
  s.append(rows, batch=…, again=True)         the answer as an object with attributes: outcome, detail, rows, refused, …
  s.find("label", "a"); s.expire(us); s.about()

Rows are lists of values in the order of COLUMNS; row(…) makes one by names.
"""
import json
import types
import uuid

NAME = "t_rows"
COLUMNS = [("row_id", "uuid"), ("time", "time"), ("label", "text"), ("note", "text?"), ("n", "int"), ("m", "int?"), ("x", "real?"),
           ("flag", "bool"), ("bytes", "blob"), ("ref", "uuid?"), ("seen", "time?")]
NOON = 1_790_000_000_000_000 // 86_400_000_000 * 86_400_000_000 + 43_200_000_000  # of a day in September 2026
DAY = 86_400_000_000

CLICKHOUSE = f"""CREATE TABLE {NAME} (row_id UUID, time Int64, batch_id UUID, label String, note Nullable(String), n Int64,
    m Nullable(Int64), x Nullable(Float64), flag UInt8, bytes String, ref Nullable(UUID), seen Nullable(Int64)) ENGINE = ReplacingMergeTree
    PARTITION BY toYYYYMMDD(toDateTime(greatest(0, least(intDiv(time, 1000000), 4102444800)), 'UTC')) ORDER BY (time, row_id)"""


def new_id():
    return str(uuid.uuid4())


def row(**values):
    """A row: what is not named has a value of its own, or null."""
    full = {"row_id": new_id(), "time": NOON, "label": "a", "n": 0, "flag": False, "bytes": {"hex": ""}, **values}
    assert set(full) <= {name for name, _ in COLUMNS}, full
    return [full.get(name) for name, _ in COLUMNS]


def rows(count, **values):
    return [row(time=NOON + i, n=i, **values) for i in range(count)]


class Sink:
    def __init__(self, chimera, name=NAME, columns=COLUMNS):
        self.chimera, self.name, self.columns = chimera, name, columns

    def call(self, op, **members):
        # In the order that t_sink asks for.
        body = {"op": op, "table": self.name, "columns": self.columns, **members}
        r = self.chimera.request("POST", "/t/sink", body=json.dumps(body))
        assert r.status == 200, r
        answer = types.SimpleNamespace(**r.json())
        assert not getattr(answer, "wrong", None), answer.wrong
        return answer

    def append(self, values, batch=None, again=False, **members):
        return self.call("append", batch=batch or new_id(), again=again, rows=values, **members)

    def make(self, count, batch=None, again=False, seed=1, start=NOON, **members):
        return self.call("append", batch=batch or new_id(), again=again, seed=seed, **{"from": start}, make=count, **members)

    def find(self, column, value, limit=1000, **members):
        at = [name for name, _ in self.columns].index(column)
        return self.call("find", column=at, value=value, limit=limit, **members)

    def expire(self, before):
        return self.call("expire", before=before)

    def about(self):
        return self.call("about")
