# SPDX-License-Identifier: Apache-2.0
"""A journal that is full, because its sink is down: what on_full says happens, each loss is counted, and afterwards all is well again."""
import chimera as kit
import ledger
import pytest

PAD = 100000  # bytes of a row: 8 MiB are full of some 80


@pytest.fixture
def down(chimera, plugins, postgres):
    """A server whose only sink cannot be reached, and how to heal it."""
    sink = ledger.Postgres(None, postgres)

    def start(on_full, **more):
        config = {"storage_postgres": {"dsn": f"postgresql://u:p@127.0.0.1:{kit.free_port()}/x"}}
        keys = {"max_bytes": "8m", "on_full": on_full, **more}
        c = chimera(ledger.sections(plugins, config, t_ledger={}, records=keys))

        def heal():
            c.write(ledger.sections(plugins, sink.config(), t_ledger={}, records=keys))
            c.signal(1)

        return c, heal

    return start, sink


def append(c, first, n=1):
    return int(c.request("POST", f"/t/ledger?n={n}&first={first}&pad={PAD}").text)


def full(c):
    """Is it so full that it says so? Before, too, a row may find no room for a moment, while the journal's thread makes a new segment."""
    return c.metric("chimera_ledger_full_ratio") > 0.8


def fill(c):
    """Appends until a row is not taken and it is full; how many were, and how many were not."""
    taken, refused = 0, 0

    def more():
        nonlocal taken, refused
        while append(c, taken):
            taken += 1
        refused += 1
        return full(c)
    kit.wait_for(more, "the journal to be full")
    return taken, refused


def ids(sink):
    return {row["req_id"] for row in sink.rows(columns=("row_id", "req_id"))}


def test_refuse_requests_loses_nothing(down):
    start, sink = down
    c, heal = start("refuse_requests", store_content="yes", content_max="256k")
    body = '{"prompt": "' + "x" * PAD + '"}'
    answered = []

    def refused():
        """The refusal when it is full."""
        while (r := c.request("POST", "/v1/ask", body, {**ledger.JSON, "X-Request-Id": f"r-{len(answered)}"})).status == 200:
            answered.append(f"r-{len(answered)}")
            assert len(answered) < 200
        r.problem(503, "overloaded")
        return full(c) and r

    r = kit.wait_for(refused, "the journal to be full")
    assert r.header("Retry-After") == "5" and "ledger is full" in r.json()["detail"]
    assert c.metric("chimera_ledger_lost_total") == 0
    c.wait_said("journal is degraded now")
    assert c.request("GET", "/health", kind="status").status in (200, 503)
    heal()
    kit.wait_for(lambda: c.request("POST", "/v1/ask", '{"prompt": "x"}', {**ledger.JSON, "X-Request-Id": "healed"}).status == 200, "room again")
    ledger.wait_shipped(c)
    assert set(answered) | {"healed"} <= ids(sink)
    assert c.metric("chimera_ledger_lost_total") == 0


def test_drop_new_counts_what_it_does_not_take(down):
    start, sink = down
    c, heal = start("drop_new")
    taken, refused = fill(c)
    assert 20 < taken < 90
    c.wait_metric("chimera_ledger_lost_total", refused, reason="full", sink="all")
    assert c.request("POST", "/v1/ask", '{"prompt": "x"}', ledger.JSON).status == 200  # work goes on
    heal()
    ledger.wait_shipped(c)
    assert {f"t-{k}" for k in range(taken)} <= ids(sink)


def test_drop_oldest_keeps_the_newest_and_counts_the_others(down):
    start, sink = down
    c, heal = start("drop_oldest")
    n = 0
    while n < 250:  # three times what fits; a row may find no room for a moment, while the oldest segment goes
        n += append(c, n)
    heal()
    ledger.wait_shipped(c)
    have = {int(i[2:]) for i in ids(sink) if i.startswith("t-")}
    assert max(have) == 249
    kit.wait_for(lambda: c.metric("chimera_ledger_lost_total", sink="storage_postgres") > 0, "the loss to be counted")
    assert c.metric("chimera_ledger_lost_total", reason="dropped", sink="storage_postgres") == 250 - len(have)
