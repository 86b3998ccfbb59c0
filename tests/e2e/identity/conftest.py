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
from databases import KEY, Postgresql, Sqlite  # noqa: E402,F401
from provider import Provider  # noqa: E402
from servers import Postgres, postgres, postgres_server  # noqa: E402,F401

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
