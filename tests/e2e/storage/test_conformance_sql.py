# SPDX-License-Identifier: Apache-2.0
"""Each adapter passes the suite that every provider of sql/1 must pass: sdk/conformance, as docs/conformance.md tells to run it."""
import conforming
import pytest
from proxy import Proxy

import chimera as kit

ADAPTERS = ["storage_sqlite", "storage_postgres"]


def start(request, chimera, plugins, name, server=None, **options):
    sections = conforming.adapter(request, name)
    sections[name] |= options
    return conforming.start(chimera, plugins, "conform_sql", name, {"server": {"workers": 2, **(server or {})}, **sections})


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_case_passes(request, chimera, plugins, name):
    c = start(request, chimera, plugins, name)
    conforming.passes(c, "sql", 180)
    assert not c.said("misuse"), c.stderr()
    if name == "storage_postgres":
        server = request.getfixturevalue("postgres_server")
        kit.wait_for(lambda: all(state == "idle" for _, _, state, _ in server.sessions()),
                     lambda: f"no transaction and no given up statement to be left: {server.sessions()}")


@pytest.mark.parametrize("name, options", [("storage_sqlite", {"readers": 1, "statements": 10}),
                                           ("storage_postgres", {"pool_size": 1, "max_overflow": 0, "pool_timeout": "30s"})])
def test_every_case_passes_with_the_least_of_everything(request, chimera, plugins, name, options):
    conforming.passes(start(request, chimera, plugins, name, **options), "sql", 180)


def test_every_case_passes_over_a_network_that_cuts_and_delays(request, chimera, plugins):
    db = request.getfixturevalue("postgres")
    with Proxy(db.server.port) as proxy:
        proxy.slices = 1000
        proxy.latency = 0.002
        conforming.passes(start(request, chimera, plugins, "storage_postgres", dsn=db.at(proxy.port)), "sql", 180)


@pytest.mark.parametrize("name", ADAPTERS)
def test_races_pass_with_more_loops(request, chimera, plugins, name):
    c = start(request, chimera, plugins, name, {"workers": 4})
    cases, text = conforming.report(c, "sql", "?case=race/,open/begin")
    assert len(cases) == 8 and all(cases.values()), text


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_client_that_leaves_lets_go_of_its_call(request, chimera, plugins, name):
    c = start(request, chimera, plugins, name)
    conforming.report(c, "sql", "?case=no-such/")  # fills the table that makes it slow

    def slow():
        return c.get("/conform/sql/slow").json()

    leaving = [c.connect() for _ in range(3)]
    for connection in leaving:
        connection.send(b"POST /conform/sql/slow HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
    kit.wait_for(lambda: slow()["begun"] == 3, "three calls")
    for connection in leaving:
        connection.abort()
    kit.wait_for(lambda: slow() == {"begun": 3, "gone": 3, "freed": 3}, lambda: f"all calls to be let go: {slow()}")
    cases, text = conforming.report(c, "sql", "?case=batch/in-order,count/")
    assert len(cases) == 8 and all(cases.values()), text


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_server_that_stops_gives_up_a_slow_call(request, chimera, plugins, name):
    c = start(request, chimera, plugins, name, {"drain_timeout": "1s"})
    conforming.report(c, "sql", "?case=no-such/")
    with c.connect() as connection:
        connection.send(b"POST /conform/sql/slow HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
        kit.wait_for(lambda: c.get("/conform/sql/slow").json()["begun"] == 1, "the call")
        c.stop()


def test_one_group_or_case_can_be_asked_for(request, chimera, plugins):
    c = start(request, chimera, plugins, "storage_sqlite")
    assert list(conforming.report(c, "sql", "?case=rows/none,value/uuid")[0]) == [
        "value/uuid", "value/uuid-nil", "value/uuid-max", "value/uuid-null", "rows/none"]
    assert conforming.report(c, "sql", "?case=no-such/")[0] == {}


def test_a_suite_without_its_tables_bails_out(chimera, plugins):
    bare = {"storage_sqlite": {"path": "bare.db", "migrate": "off"}}
    c = conforming.start(chimera, plugins, "conform_sql", "storage_sqlite", bare, slack="100ms")
    r = c.request("POST", "/conform/sql?case=rows/none")
    assert "\nBail out! " in r.text and "SCHEMA" in r.text and "\nok" not in r.text and "1.." not in r.text, r.text
