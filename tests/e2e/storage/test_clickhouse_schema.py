# SPDX-License-Identifier: Apache-2.0
"""storage_clickhouse's health check, and its care for the schema; what kit/migrate does with it is in test_migrate.py."""
import os

import chimera as kit
import pytest
from servers import ClickHouse
from test_clickhouse import sections
from tsink import NOON, Sink, new_id

ONCE = True  # see ../conftest.py

MIGRATIONS = os.path.join(kit.SRC, "migrations")
COLUMNS = [("row_id", "uuid"), ("time", "time"), ("req_id", "text?"), ("owner", "text?"), ("source", "text"), ("item", "text"),
           ("kind", "text"), ("status", "text"), ("detail", "text?"), ("bytes", "int"), ("sha256", "text?"), ("latency_ms", "real?")]


@pytest.fixture(autouse=True)
def _built(plugins):
    for name in ("http_client", "storage_clickhouse", "t_sink"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")


def with_schema(db, migrate, **options):
    return {**sections(db, migrate=migrate, migrations=MIGRATIONS, **options), "health": {"check_interval": "100ms"}}


def tables(db):
    return [name for (name,) in db.query(f"SELECT name FROM system.tables WHERE database = '{db.name}' ORDER BY name")]


def health(c):
    found = c.request("GET", "/ready", kind="status").json()
    return next((check for check in found["components"] if check["name"] == "storage_clickhouse"), None)


def wait_health(c, status, words=""):
    return kit.wait_for(lambda: (h := health(c)) and h["status"] == status and words in h.get("message", ""),
                        lambda: f"{status} with '{words}', it is {health(c)}")


def test_auto_makes_the_tables_that_rows_go_to(chimera, clickhouse):
    c = chimera(with_schema(clickhouse, "auto"))
    kit.wait_for(lambda: {"inference_records", "ingestion_records"} <= set(tables(clickhouse)), "the tables")
    row = [new_id(), NOON, "r", None, "upload", "i", "file", "done", None, 5, None, 1.5]
    s = Sink(c, "ingestion_records", COLUMNS)
    kit.wait_for(lambda: s.append([row], again=True).outcome == "done", "the first row")
    assert clickhouse.query("SELECT source, bytes, latency_ms, toString(time_at) FROM ingestion_records") == [
        ["upload", 5, 1.5, "2026-09-21 12:00:00"]]
    wait_health(c, "healthy", "revision")
    assert c.metric("chimera_schema_revision", instance="storage_clickhouse", kind="current") == 1
    assert c.metric("chimera_schema_drift", instance="storage_clickhouse") == 0


def test_check_says_what_is_missing_and_changes_nothing(chimera, clickhouse):
    c = chimera(with_schema(clickhouse, "check"))
    wait_health(c, "unhealthy", "migrate up")
    assert "inference_records" not in tables(clickhouse)


def test_a_server_that_is_down_makes_its_check_unhealthy_and_comes_back(chimera):
    with ClickHouse() as server:
        db = server.database()
        c = chimera(with_schema(db, "auto"))
        wait_health(c, "healthy", "revision")
        server.kill()
        wait_health(c, "unhealthy")
        server.start()
        wait_health(c, "healthy", "revision")


def test_a_schema_waits_for_a_server_that_starts_later(chimera):
    with ClickHouse() as server:
        db = server.database()
        server.stop()
        c = chimera(with_schema(db, "auto"))
        wait_health(c, "unhealthy")
        server.start()
        wait_health(c, "healthy", "revision")
        assert "inference_records" in tables(db)
