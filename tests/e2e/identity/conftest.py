# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of identity.

  store     a Store: a fresh database of SQLite or of a real PostgreSQL, which several servers may use
  start     start(store, **sections) -> Chimera with [identity] over it; keys of a section given as {section: {…}}
  provider  a server of models (../inference/provider.py)
"""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("storage", "inference", "config"):
    sys.path.append(os.path.join(HERE, "..", folder))

import chimera as kit  # noqa: E402
from provider import Provider  # noqa: E402
from servers import Postgres, postgres, postgres_server, sqlite  # noqa: E402,F401

KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"


class Sqlite:
    name = "storage_sqlite"

    def __init__(self, folder):
        self.folder, self.path = str(folder), os.path.join(str(folder), "shared.db")
        self.options = {"path": self.path}

    def rows(self, sql):
        return [tuple(None if v is None else v if isinstance(v, bytes) else str(v) for v in row) for row in sqlite(self.path, sql)]

    def change(self, sql):
        sqlite(self.path, sql)

    def files(self):
        return [os.path.join(self.folder, name) for name in os.listdir(self.folder) if name.startswith("shared.db")]


class Postgresql:
    name = "storage_postgres"

    def __init__(self, db):
        self.db, self.options = db, {"dsn": db.dsn}

    def rows(self, sql):
        return self.db.psql(sql)

    change = rows

    def files(self):
        self.db.server.psql("CHECKPOINT")
        return [os.path.join(folder, name) for folder, _, names in os.walk(self.db.server.data) for name in names]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "sqlite":
        folder = tmp_path / "database"
        folder.mkdir()
        return Sqlite(folder)
    return Postgresql(request.getfixturevalue("postgres"))


@pytest.fixture
def start(chimera, plugins):
    for name in ("identity", "t_owner", "storage_sqlite", "storage_postgres"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")

    def one(store, identity=None, **more):
        sections = {store.name: store.options, "identity": {"encryption_key": KEY, **(identity or {})}, "t_owner": {"keys": "identity"}, **more}
        c = chimera(sections)
        look_up = ("GET", "/t/key", None, [("X-Key", "ck_nobody")])
        kit.wait_for(lambda: c.request(*look_up).json()["error"] == "unknown", "the store to be there")
        return c

    return one


@pytest.fixture
def provider():
    p = Provider()
    yield p
    p.close()
