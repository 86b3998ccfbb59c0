# SPDX-License-Identifier: Apache-2.0
"""Calls of sql/1 through the test plugin t_sql: Sql(c).ask("SELECT $1", ["int", 5]) -> the answer as an object with attributes."""
import json
import types


def statement(text, *values, want=-1):
    return {"text": text, "values": [list(v) for v in values], "want": want}


class Sql:
    def __init__(self, chimera):
        self.chimera = chimera

    def run(self, *statements, **more):
        r = self.chimera.request("POST", "/t/sql", body=json.dumps({"statements": list(statements), **more}, ensure_ascii=False).encode())
        assert r.status == 200, r
        answer = types.SimpleNamespace(**r.json())
        assert answer.wrong is None, answer.wrong
        return answer

    def ask(self, text, *values, **more):
        return self.run(statement(text, *values), **more)

    def rows(self, text, *values):
        """[[value, …], …] of a statement that goes well."""
        a = self.ask(text, *values)
        assert a.error == "ok", a
        return [[v for _, v in row] for _, row in a.rows]
