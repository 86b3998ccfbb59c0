# SPDX-License-Identifier: Apache-2.0
"""When the database goes away: nobody hears 401 or 500, what is known is served, and all heals."""
import pytest
from admin import ask, ctl, done, look_up, make_key
from databases import Postgresql
from ctl import needs_ctl
from servers import Postgres

import chimera as kit

ONCE = "postgresql"  # see ../conftest.py

pytestmark = needs_ctl


@pytest.fixture
def own():
    with Postgres() as server:
        yield server, Postgresql(server.database())


def unavailable(r):
    assert r.problem(503, "unavailable")
    assert int(r.header("Retry-After")) >= 1


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_while_the_database_is_away_known_keys_work_and_nothing_is_a_401(start, own, how):
    server, store = own
    c = start(store, identity={"store_timeout": "1s"}, storage_postgres={**store.options, "pool_timeout": "500ms"})
    _, secret = make_key(c, "alice")
    assert look_up(c, secret)["error"] == "ok"
    assert look_up(c, "ck_nobody")["error"] == "unknown"
    revision = c.get("/t/revision").json()
    getattr(server, how)()
    kit.wait_for(lambda: look_up(c, "ck_nobody")["error"] == "unavailable", "the server to see it")
    for _ in range(20):
        assert look_up(c, secret)["error"] == "ok"
        assert look_up(c, "ck_other")["error"] == "unavailable"
    assert c.get("/t/revision").json() == revision
    for method, target, body in (("GET", "/admin/users", {}), ("POST", "/admin/users", {"id": "bob"}), ("DELETE", "/admin/keys/x", {}),
                                 ("POST", "/admin/tokens", {"user": "a", "provider": "b", "access": "c"})):
        unavailable(ask(c, method, target, **body))
    assert c.get("/health", kind="status").status == 200
    kit.wait_for(lambda: c.metric("chimera_degraded", plugin="identity") >= 1 or c.said("store"), "the degradation")
    server.start() if how == "kill" else server.resume()
    kit.wait_for(lambda: look_up(c, "ck_other")["error"] == "unknown", "the store to be back")
    made = kit.wait_for(lambda: (r := ask(c, "POST", "/admin/users", id="carol")).status != 503 and r, "a connection that is well again")
    assert made.status == 201 and made.json()["id"] == "carol"
    assert look_up(c, secret)["error"] == "ok"


def test_counts_outlive_the_database(start, own):
    server, store = own
    c = start(store, identity={"flush_interval": "300ms"})
    server.kill()
    for _ in range(10):
        c.request("GET", "/t/revision", headers=[("X-Owner", "alice")])
    kit.wait_for(lambda: c.metric("chimera_identity_store_errors_total") >= 2, "a flush that fails")
    server.start()
    kit.wait_for(lambda: store.rows("SELECT requests FROM user_stats") == [("10",)], "the counts")


def test_a_server_starts_while_the_database_is_away(chimera, own, plugins):
    server, store = own
    if not kit.has_plugin(plugins, "t_owner"):
        pytest.skip("t_owner is not built")
    server.stop()
    c = chimera({store.name: store.options, "identity": {}, "t_owner": {"keys": "identity"}})
    assert look_up(c, "ck_x")["error"] == "unavailable"
    unavailable(ask(c, "GET", "/admin/keys"))
    server.start()
    kit.wait_for(lambda: ask(c, "GET", "/admin/keys").status == 200, "the store to come")
    assert ctl(c, "users", "add", "alice") == "user alice is there now\n"
