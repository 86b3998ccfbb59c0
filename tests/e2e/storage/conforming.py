# SPDX-License-Identifier: Apache-2.0
"""The conformance suites of storage over every adapter: how each is configured, and how a report is read."""
import os
import re

import pytest

import chimera as kit

MIGRATIONS = os.path.join(kit.SRC, "sdk", "conformance", "migrations")
SLACK = "5s" if kit.SANITIZERS else "2s"
LINE = re.compile(r"(not )?ok (\d+) - (\S+)(?: # SKIP (.*))?")
TABLES = {"migrate": "auto"}  # the suites' own, made by the adapter when it starts


def need(plugins, *names):
    for name in names:
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")


def adapter(request, name):
    """The sections of an adapter whose database is made for this test."""
    # That a machine is busy, or others wait for a connection, is no case of the suites.
    if name == "storage_sqlite":
        return {"storage_sqlite": {"path": "conform.db", "timeout": "60s", **TABLES}}
    if name == "storage_postgres":
        return {"storage_postgres": {"dsn": request.getfixturevalue("postgres").dsn, "pool_timeout": "30s",
                                     "connect_timeout": "20s", **TABLES}}
    db = request.getfixturevalue("clickhouse")
    return {"http_client": {},
            "storage_clickhouse": {"url": db.url, "database": db.name, "user": db.user, "password": db.password, "timeout": "60s",
                                   **TABLES}}


def start(chimera, plugins, suite, target, sections, **options):
    """A chimerad with the suite and the provider that it looks at."""
    need(plugins, suite, *(name.split(":")[0] for name in sections if name != "server"))
    return chimera({**sections, suite: {"target": target, "slack": SLACK, **options}}, env={"CHIMERA_MIGRATIONS": MIGRATIONS})


def report(c, suite, query=""):
    """Runs the suite: ({name: passed}, text). The report must be whole, and numbered without a gap."""
    with c.connect(timeout=20 * kit.DEADLINE) as connection:
        r = connection.ask("POST", f"/conform/{suite}" + query)
    assert r.status == 200, r
    first, *lines = r.text.splitlines()
    assert first == "TAP version 13"
    cases = [LINE.fullmatch(line) for line in lines if not line.startswith(("#", "1.."))]
    assert all(cases), r.text
    assert [int(m[2]) for m in cases] == list(range(1, len(cases) + 1)) and f"1..{len(cases)}" in lines, r.text
    assert len({m[3] for m in cases}) == len(cases), "a name stands for two cases"
    return {m[3]: not m[1] for m in cases}, r.text


def passes(c, suite, least, but=None):
    """All cases are there and pass; but: names that begin so may fail."""
    cases, text = report(c, suite)
    failed = [name for name, passed in cases.items() if not passed and not (but and name.startswith(but))]
    told = "\n".join(line for line in text.splitlines() if not line.startswith("ok "))
    assert not failed, f"{len(failed)} of {len(cases)} failed: {', '.join(failed)}\n{told}"
    assert len(cases) >= least


def notices(c, suite, case, says):
    """That case is there, fails, and says why."""
    cases, text = report(c, suite, "?case=" + case)
    assert cases.get(case) is False and says in text, text
