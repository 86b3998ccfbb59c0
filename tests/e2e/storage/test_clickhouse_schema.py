# SPDX-License-Identifier: Apache-2.0
"""storage_clickhouse's schema: brought up to date at the start, watched, and shown by chimeractl; and its health check."""
import os
import subprocess

import chimera as kit
import pytest
from servers import ClickHouse
from test_clickhouse import sections
from tsink import NOON, Sink, new_id

MIGRATIONS = os.path.join(kit.SRC, "migrations")
COLUMNS = [("row_id", "uuid"), ("time", "time"), ("req_id", "text?"), ("owner", "text?"), ("source", "text"), ("item", "text"), ("kind", "text"),
           ("status", "text"), ("detail", "text?"), ("bytes", "int"), ("sha256", "text?"), ("latency_ms", "real?")]


@pytest.fixture(autouse=True)
def _built(plugins):
    for name in ("http_client", "storage_clickhouse", "t_sink"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")


def with_schema(db, migrate, **options):
    return sections(db, migrate=migrate, migrations=MIGRATIONS, **options)


def tables(db):
    return [name for (name,) in db.query(f"SELECT name FROM system.tables WHERE database = '{db.name}' ORDER BY name")]


def health(c):
    found = c.request("GET", "/health", kind="status").json()
    return found["checks"].get("storage_clickhouse")


def wait_health(c, status, words=""):
    return kit.wait_for(lambda: (h := health(c)) and h["status"] == status and words in h.get("message", ""),
                        lambda: f"{status} with '{words}', it is {health(c)}")


def ctl(c, *args):
    r = subprocess.run([kit.CHIMERACTL, "-c", c.path, *args], capture_output=True, text=True, timeout=kit.DEADLINE, check=False)
    return r.returncode, r.stdout + r.stderr


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


def test_down_and_up_by_hand(chimera, clickhouse):
    c = chimera(with_schema(clickhouse, "check"))
    code, text = ctl(c, "migrate", "up")
    assert code == 0, text
    assert "inference_records" in tables(clickhouse)
    wait_health(c, "healthy")
    code, text = ctl(c, "migrate", "status")
    assert code == 0 and "0001" in text or "1" in text, text
    code, text = ctl(c, "schema", "status")
    assert code == 0, text
    code, text = ctl(c, "migrate", "down", "0", "--yes")
    assert code == 0, text
    assert "inference_records" not in tables(clickhouse)
    code, text = ctl(c, "migrate", "up")
    assert code == 0 and "inference_records" in tables(clickhouse), text


@pytest.mark.parametrize("sql,words", [("ALTER TABLE inference_records ADD COLUMN extra String", "extra"),
                                       ("ALTER TABLE inference_records MODIFY COLUMN tier Nullable(FixedString(9))", "tier"),
                                       ("ALTER TABLE ingestion_records DROP COLUMN detail", "detail")])
def test_drift_is_found_and_named(chimera, clickhouse, sql, words):
    c = chimera(with_schema(clickhouse, "auto"))
    wait_health(c, "healthy", "revision")
    clickhouse.query(sql)
    code, text = ctl(c, "schema", "status")
    assert code != 0 and words in text, text


def test_the_engine_and_the_key_are_part_of_it(chimera, clickhouse):
    c = chimera(with_schema(clickhouse, "auto"))
    wait_health(c, "healthy", "revision")
    for change in (("ReplacingMergeTree", "MergeTree"), ("ORDER BY (time, row_id)", "ORDER BY (time, req_id)")):
        made = clickhouse.query("SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'inference_records'")[0][0]
        clickhouse.query("DROP TABLE inference_records")
        assert change[0] in made, made
        clickhouse.query(made.replace(*change))
        code, text = ctl(c, "schema", "status")
        assert code != 0 and "inference_records" in text, text
        clickhouse.query("DROP TABLE inference_records")
        clickhouse.query(made)
        assert ctl(c, "schema", "status")[0] == 0


def test_two_servers_that_start_together_migrate_once(chimera, clickhouse):
    two = [chimera(with_schema(clickhouse, "auto"), wait=False) for _ in range(2)]
    for c in two:
        c.wait_ready()
        wait_health(c, "healthy", "revision")
    applied = clickhouse.query("SELECT count() FROM chimera_migrations")[0][0]
    assert applied == 1


def test_a_server_that_is_down_makes_its_check_unhealthy_and_comes_back(chimera):
    with ClickHouse() as server:
        db = server.database()
        c = chimera(with_schema(db, "auto"))
        wait_health(c, "healthy", "revision")
        server.stop()
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
