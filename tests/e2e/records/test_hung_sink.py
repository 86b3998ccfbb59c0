# SPDX-License-Identifier: Apache-2.0
"""A database that takes connections and never answers: the server ends all the same, long before any timeout of a statement or of the
drain, and what could not be passed on is there once after the next start."""
import chimera as kit
import ledger
import pytest
import servers

LONG = "10m"  # of all that could end the wait: longer than any test


@pytest.fixture
def postgres_of_mine():
    with servers.Postgres() as server:
        yield server


def test_s9_a_database_that_hangs_does_not_hold_up_the_end_and_loses_no_row(chimera, plugins, postgres_of_mine):
    server, sink = postgres_of_mine, ledger.Postgres(postgres_of_mine)
    c = chimera(ledger.sections(plugins, sink.config(), storage_postgres={"statement_timeout": LONG, "pool_timeout": LONG},
                                identity={}, server={"drain_timeout": LONG}))

    def ask(name):
        r = c.request("POST", "/v1/ask", '{"prompt": "x"}', {**ledger.JSON, "X-Request-Id": name})
        assert r.status == 200, r

    ask("before")
    ledger.wait_one(sink, "before")
    server.pause()
    try:
        for i in range(20):
            ask(f"hung-{i}")
        c.stop()  # fails if it is not over within the harness's deadline
        assert "wait in the journal for storage_postgres and are sent after the next start" in c.stderr()
    finally:
        server.resume()
    c.start()
    for i in range(20):
        ledger.wait_one(sink, f"hung-{i}")
    ledger.one(sink.rows(), "before")
    assert len(sink.rows()) == 21
