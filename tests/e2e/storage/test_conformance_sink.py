# SPDX-License-Identifier: Apache-2.0
"""Each adapter passes the suite that every provider of sink/1 must pass: sdk/conformance, as docs/conformance.md tells to run it."""
import conforming
import pytest
from proxy import Proxy

ADAPTERS = ["storage_sqlite", "storage_postgres", "storage_clickhouse"]


def start(request, chimera, plugins, name, **options):
    sections = conforming.adapter(request, name)
    sections[name] |= options
    return conforming.start(chimera, plugins, "conform_sink", name, {"server": {"workers": 2}, **sections})


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_case_passes(request, chimera, plugins, name):
    c = start(request, chimera, plugins, name)
    conforming.passes(c, "sink", 70)
    assert not c.said("misuse"), c.stderr()


@pytest.mark.parametrize("name", ["storage_postgres", "storage_clickhouse"])
def test_every_case_passes_over_a_network_that_cuts_and_delays(request, chimera, plugins, name):
    db = request.getfixturevalue(name.split("_")[1])
    with Proxy(db.server.port) as proxy:
        proxy.slices = 10000
        proxy.latency = 0.002
        where = {"dsn": db.at(proxy.port)} if name == "storage_postgres" else {"url": db.at(proxy.port)}
        conforming.passes(start(request, chimera, plugins, name, **where), "sink", 70)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_second_run_finds_no_row_of_the_first(request, chimera, plugins, name):
    c = start(request, chimera, plugins, name)
    for _ in range(2):
        cases, text = conforming.report(c, "sink", "?case=again/the-same-batch,find/limit,append/all-types")
        assert len(cases) == 5 and all(cases.values()), text


def test_one_group_or_case_can_be_asked_for(request, chimera, plugins):
    c = start(request, chimera, plugins, "storage_sqlite")
    assert list(conforming.report(c, "sink", "?case=about/,append/one")[0]) == ["append/one", "about/itself"]
    assert conforming.report(c, "sink", "?case=no-such/")[0] == {}


def test_a_suite_without_its_tables_bails_out(chimera, plugins):
    bare = {"storage_sqlite": {"path": "bare.db", "migrate": "off"}}
    c = conforming.start(chimera, plugins, "conform_sink", "storage_sqlite", bare, slack="100ms")
    r = c.request("POST", "/conform/sink?case=about/")
    assert "\nBail out! " in r.text and "RETRY" in r.text and "\nok" not in r.text and "1.." not in r.text, r.text
