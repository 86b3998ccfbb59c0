# SPDX-License-Identifier: Apache-2.0
"""Migrations and drift over the three real engines, by chimeractl with and without a server: docs/migrations.md says what is promised."""
import glob
import hashlib
import os
import shutil
import subprocess
import time

import pytest

import chimera as kit
from servers import USER, postgres_program, sqlite

ONCE = True  # see ../conftest.py

ENGINES = {"sqlite": "storage_sqlite", "postgresql": "storage_postgres", "clickhouse": "storage_clickhouse"}
FILES = os.path.join(kit.SRC, "migrations")
TABLES = {"inference_records", "ingestion_records"}
IDLE_TABLE = {"sqlite": "CREATE TABLE {} (a INTEGER) STRICT", "postgresql": "CREATE TABLE {} (a bigint)",
              "clickhouse": "CREATE TABLE IF NOT EXISTS {} (a Int64) ENGINE = MergeTree ORDER BY a"}
DROP = "DROP TABLE IF EXISTS {}"

pytestmark = pytest.mark.skipif(not shutil.which(kit.CHIMERACTL), reason=f"there is no {kit.CHIMERACTL}")


def numbered(folder):
    """The names of a folder's migrations, in order."""
    return sorted(os.path.basename(p)[:-len(".up.sql")] for p in glob.glob(os.path.join(folder, "*.up.sql")))


class Store:
    """A fresh database of one engine, a folder of migrations of its own, and a config that no server runs yet."""

    def __init__(self, engine, request, tmp_path, plugins):
        self.engine, self.plugin, self.path = engine, ENGINES[engine], str(tmp_path / "test.db")
        if not kit.has_plugin(plugins, self.plugin):
            pytest.skip(f"{self.plugin} is not built")
        self.db = None if engine == "sqlite" else request.getfixturevalue("postgres" if engine == "postgresql" else "clickhouse")
        self.files = str(tmp_path / "migrations")
        shutil.copytree(FILES, self.files)
        self.folder = os.path.join(self.files, engine)
        self.env = {"CHIMERA_MIGRATIONS": self.files}
        self.names = numbered(self.folder)
        self.plugins, self.tmp_path, self.servers = plugins, tmp_path, []
        self.idle = self.server()

    def sections(self, **options):
        own = {"migrate": "off", **options}
        if self.engine == "sqlite":
            return {self.plugin: {"path": self.path, **own}}
        if self.engine == "postgresql":
            return {self.plugin: {"dsn": self.db.dsn, **own}}
        return {"http_client": {}, self.plugin: {"url": self.db.url, "database": self.db.name, "user": self.db.user,
                                                 "password": self.db.password, **own}}

    def server(self, profile="dev", **options):
        """A Chimera that is not started."""
        folder = self.tmp_path / f"server{len(self.servers)}"
        folder.mkdir()
        c = kit.Chimera(folder, self.plugins, {"server": {"profile": profile}, **self.sections(**options)}, env=self.env)
        self.servers.append(c)
        return c

    def close(self):
        for c in self.servers:
            if c.process:
                c.stop()

    def ctl(self, *words, code=0, of=None):
        """chimeractl: (stdout, stderr)."""
        done = subprocess.run([kit.CHIMERACTL, "-c", (of or self.idle).path, *words], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, env=kit.clean_environment(self.env), timeout=kit.DEADLINE, check=False)
        assert not kit.REPORTS.search(done.stderr.encode()), done.stderr
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout, done.stderr

    def run(self, sql):
        if self.engine == "sqlite":
            return [tuple(map(str, row)) for row in sqlite(self.path, sql)]
        if self.engine == "postgresql":
            return self.db.psql(f"SET ROLE {USER}; {sql}")
        return [tuple(map(str, row)) for row in self.db.query(sql)]

    def tables(self):
        ask = {"sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
               "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
               "clickhouse": "SELECT name FROM system.tables WHERE database = currentDatabase()"}
        return {name for name, in self.run(ask[self.engine])}

    def begin(self, *words):
        """chimeractl that goes on beside the test: its Popen, with stdout as text."""
        return subprocess.Popen([kit.CHIMERACTL, "-c", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                env=kit.clean_environment(self.env), text=True)

    def applied(self, owner="chimera"):
        """{name: checksum}, as the version table has it."""
        if self.engine != "clickhouse":
            return dict(self.run(f"SELECT name, checksum FROM chimera_migrations WHERE owner = '{owner}' ORDER BY number"))
        return dict(self.run(f"SELECT argMax(name, change), argMax(checksum, change) FROM chimera_migrations WHERE owner = '{owner}' "
                             "GROUP BY number HAVING argMax(applied, change) = 1 ORDER BY number"))

    def put(self, name, *statements):
        """Writes a file into the engine's folder."""
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(s + ";\n" for s in statements))
        return path

    def put_pair(self, name, up, down):
        self.put(name + ".down.sql", *down)
        return self.put(name + ".up.sql", *up)

    @property
    def next(self):
        return f"{len(numbered(self.folder)) + 1:04d}"


@pytest.fixture(params=ENGINES)
def store(request, tmp_path, plugins):
    s = Store(request.param, request, tmp_path, plugins)
    yield s
    s.close()


# ---- there and back ----------------------------------------------------------------------------------------------------------


def lines_of(path):
    with open(path, encoding="utf-8") as f:
        return {line.strip() for line in f if line.strip() and not line.startswith("#")}


@pytest.mark.parametrize("live", [False, True], ids=["offline", "live"])
def test_up_down_0_and_up_again(store, live):
    of = store.server().start() if live else store.idle
    n = len(store.names)
    out, _ = store.ctl("migrate", "status", of=of)
    assert f"chimera: revision 0 of {n}\n" in out and f"  pending {store.names[0]} of chimera\n" in out
    store.ctl("schema", "status", code=1, of=of)
    out, _ = store.ctl("migrate", "up", of=of)
    assert [line for line in out.splitlines() if line.startswith("applying")] == [f"applying {name} of chimera" for name in store.names]
    assert TABLES <= store.tables()
    sums = {}
    for name in store.names:
        with open(os.path.join(store.folder, name + ".up.sql"), "rb") as f:
            sums[name] = hashlib.sha256(f.read()).hexdigest()
    assert store.applied() == sums
    out, _ = store.ctl("schema", "status", of=of)
    assert out == f"chimera: revision {n} of {n} ({store.names[-1]})\n"
    out, _ = store.ctl("migrate", "up", of=of)
    assert out == f"nothing to do: chimera is at revision {n}\n"
    out, _ = store.ctl("migrate", "down", "0", of=of)
    back = [f"taking back {name} of chimera" for name in store.names[::-1]]
    assert [line for line in out.splitlines() if line.startswith("taking")] == back
    assert store.tables() == {"chimera_migrations"} and store.applied() == {}
    store.ctl("schema", "status", code=1, of=of)
    store.ctl("migrate", "up", of=of)
    store.ctl("schema", "status", of=of)
    assert store.applied() == sums and TABLES <= store.tables()


def test_schema_txt_is_what_the_migrations_leave_behind(store):
    store.ctl("migrate", "up")
    out, _ = store.ctl("schema", "show")
    assert set(out.splitlines()) == lines_of(os.path.join(store.folder, "schema.txt"))


def test_one_step_back_and_to_a_number(store):
    more = [f"{len(store.names) + i:04d}_more{i}" for i in (1, 2)]
    for i, name in enumerate(more):
        store.put_pair(name, [IDLE_TABLE[store.engine].format(f"more{i}")], [DROP.format(f"more{i}")])
    first = str(len(store.names) + 1)
    store.ctl("migrate", "up", first)
    assert "more0" in store.tables() and "more1" not in store.tables()
    store.ctl("migrate", "up")
    store.ctl("migrate", "down")
    assert "more0" in store.tables() and "more1" not in store.tables()
    _, err = store.ctl("migrate", "up", "77", code=1)
    assert "there is no migration 0077 of chimera" in err
    store.ctl("migrate", "down", "1")
    assert list(store.applied()) == store.names[:1]


def test_a_dry_run_prints_the_statements_and_changes_nothing(store):
    out, _ = store.ctl("migrate", "up", "--dry-run")
    assert "CREATE TABLE" in out and "inference_records" in out and "nothing was changed" in out
    assert store.tables() == set()
    store.ctl("migrate", "up")
    before = store.applied()
    out, _ = store.ctl("migrate", "down", "0", "--dry-run")
    assert "DROP TABLE IF EXISTS inference_records;" in out
    assert store.applied() == before and TABLES <= store.tables()


def test_down_in_prod_needs_a_yes(store):
    store.ctl("migrate", "up")
    prod = store.server(profile="prod")
    _, err = store.ctl("migrate", "down", "0", code=1, of=prod)
    assert "--yes" in err and TABLES <= store.tables()
    store.ctl("migrate", "down", "0", "--yes", of=prod)
    assert not TABLES & store.tables()


def test_new_writes_the_next_pair_of_files(store):
    number = store.next
    out, _ = store.ctl("migrate", "new", "add_region")
    for way in ("up", "down"):
        path = os.path.join(store.folder, f"{number}_add_region.{way}.sql")
        assert os.path.exists(path) and path in out.splitlines()
    _, err = store.ctl("migrate", "up", code=1)
    assert f"{number}_add_region.up.sql holds no statement" in err and store.tables() == set()
    store.ctl("migrate", "new", "--owner", "mine", "begin")
    assert os.path.exists(os.path.join(store.folder, "mine", "0001_begin.up.sql"))
    _, err = store.ctl("migrate", "new", "Add Region", code=1)
    assert "a-z" in err


def test_a_plugin_has_migrations_of_its_own(store):
    store.ctl("migrate", "up")
    store.put_pair("mine/0001_begin", [IDLE_TABLE[store.engine].format("mine_things")], [DROP.format("mine_things")])
    show = {"sqlite": ["table mine_things strict", "column mine_things.a integer"],
            "postgresql": ["table mine_things", "column mine_things.a bigint"],
            "clickhouse": ["table mine_things", "column mine_things.a Int64", "engine mine_things MergeTree ORDER BY a"]}[store.engine]
    with open(os.path.join(store.folder, "mine", "schema.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join(show))
    _, err = store.ctl("schema", "status", code=1)
    assert "1 pending, 0 unknown, 0 changed, 0 drifted" in err
    store.ctl("migrate", "up")
    assert list(store.applied("mine")) == ["0001_begin"]
    out, _ = store.ctl("schema", "status")
    assert "mine: revision 1 of 1 (0001_begin)\n" in out
    store.run({"sqlite": "ALTER TABLE mine_things ADD COLUMN b INTEGER", "postgresql": "ALTER TABLE mine_things ADD COLUMN b bigint",
               "clickhouse": "ALTER TABLE mine_things ADD COLUMN b Int64"}[store.engine])
    out, _ = store.ctl("schema", "status", code=1)
    assert "drift: extra column mine_things.b" in out
    store.ctl("migrate", "down", "0", "--owner", "mine")
    assert "mine_things" not in store.tables() and TABLES <= store.tables()
    store.ctl("migrate", "up")
    shutil.rmtree(os.path.join(store.folder, "mine"))
    out, _ = store.ctl("schema", "status", code=1)
    assert "unknown 0001_begin of mine" in out


# ---- what goes wrong -----------------------------------------------------------------------------------------------------------


def test_a_migration_that_fails_half_way_says_where_and_can_be_mended(store):
    store.ctl("migrate", "up")
    before, sums = store.ctl("schema", "show")[0], store.applied()
    name = store.next + "_half"
    path = store.put_pair(name, [IDLE_TABLE[store.engine].format("half_a"), "-- why\n" + IDLE_TABLE[store.engine].format("half_b"),
                                 "INSERT INTO half_a\n  SELECT nowhere FROM half_b", IDLE_TABLE[store.engine].format("half_c")],
                          [DROP.format(t) for t in ("half_c", "half_b", "half_a")])
    _, err = store.ctl("migrate", "up", code=1)
    assert f"{path}: statement 3 (line 4: INSERT INTO half_a) failed: " in err
    assert "nowhere" in err.split("failed: ")[1]  # the engine's own words
    assert store.applied() == sums
    if store.engine == "clickhouse":
        assert "Statements 1 to 2 of its 4 stay" in err and {"half_a", "half_b"} <= store.tables()
    else:
        assert "Nothing of it was kept" in err and store.ctl("schema", "show")[0] == before
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("nowhere", "a"))
    store.ctl("migrate", "up")
    assert {"half_a", "half_b", "half_c"} <= store.tables() and list(store.applied()) == [*store.names, name]


def test_an_applied_file_that_was_changed_stops_everything(store):
    store.ctl("migrate", "up")
    path = os.path.join(store.folder, store.names[0] + ".up.sql")
    with open(path, "rb") as f:
        was = hashlib.sha256(f.read()).hexdigest()
    with open(path, "a", encoding="utf-8") as f:
        f.write("-- one line more\n")
    with open(path, "rb") as f:
        now = hashlib.sha256(f.read()).hexdigest()
    store.put_pair(store.next + "_later", [IDLE_TABLE[store.engine].format("later")], [DROP.format("later")])
    for verb in ("up", "down"):
        _, err = store.ctl("migrate", verb, code=1)
        assert path in err and was in err and now in err
    assert "later" not in store.tables() and store.applied()[store.names[0]] == was
    out, _ = store.ctl("schema", "status", code=1)
    assert f"  changed {path}: it was applied as {store.names[0]} with SHA-256 {was}, and the file has {now} now\n" in out


def test_what_a_newer_version_has_applied_is_told_and_left_alone(store):
    name = store.next + "_newer"
    store.put_pair(name, [IDLE_TABLE[store.engine].format("newer")], [DROP.format("newer")])
    store.ctl("migrate", "up")
    for path in glob.glob(os.path.join(store.folder, name + "*")):
        os.unlink(path)
    out, _ = store.ctl("schema", "status", code=1)
    assert f"chimera: revision {len(store.names) + 1} of {len(store.names)} ({name})\n  unknown {name} of chimera" in out
    store.ctl("migrate", "up")
    _, err = store.ctl("migrate", "down", "0", code=1)
    assert name in err and "newer" in store.tables()


def test_files_without_order_are_refused_before_anything_is_run(store):
    store.put("0009_far.up.sql", "SELECT 1")
    store.put("0009_far.down.sql", "SELECT 1")
    _, err = store.ctl("migrate", "up", code=1)
    assert f"a migration 0009_far and none with the number {len(store.names) + 1:04d}" in err and store.tables() == set()


# ---- several at once -------------------------------------------------------------------------------------------------------------


def test_several_that_start_together_apply_once(store):
    # Each takes a while, so that all are there when the first begins.
    for i in range(5):
        store.put_pair(f"{len(store.names) + 1 + i:04d}_slow{i}", [IDLE_TABLE[store.engine].format(f"slow{i}")], [DROP.format(f"slow{i}")])
    names = numbered(store.folder)
    started = [store.begin(store.idle.path, "migrate", "up") for _ in range(4)]
    said = [p.communicate(timeout=kit.DEADLINE) for p in started]
    assert [p.returncode for p in started] == [0] * 4, said
    done = [line for out, _ in said for line in out.splitlines() if line.startswith("  done")]
    assert len(done) == len(names), said
    assert list(store.applied()) == names
    if store.engine == "clickhouse":
        assert store.run("SELECT count() FROM chimera_migrations") == [(str(len(names)),)]
        assert "chimera_migrating" not in store.tables()
    store.ctl("schema", "show")


@pytest.mark.parametrize("store", ["postgresql", "clickhouse"], indirect=True)
def test_two_servers_that_start_together_apply_once(store):
    two = [store.server(migrate="auto").start(wait=False) for _ in range(2)]
    for c in two:
        c.wait_ready()
        wait_up(c, store)
    said = [line["msg"] for c in two for line in c.log if "applying 0001_initial" in line.get("msg", "")]
    assert list(store.applied()) == store.names
    assert len(said) == 1, said
    store.ctl("schema", "status")


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_whoever_waits_for_the_lock_and_is_interrupted_applies_nothing(store):
    c = store.server().start()
    holder = subprocess.Popen([postgres_program("psql"), "-X", "-q", "-At", store.db.dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True)
    holder.stdin.write("SELECT 1 WHERE pg_try_advisory_lock(27980824710574689);\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "1\n"
    asker = store.begin(c.path, "migrate", "up")
    assert asker.stdout.readline() == "waiting for another server that is migrating this database\n"
    asker.kill()
    asker.wait()
    c.wait_said("command migrate: ")
    holder.communicate("")
    c.stop()  # it waits for the work's end
    assert store.tables() <= {"chimera_migrations"}
    store.ctl("migrate", "up")
    assert list(store.applied()) == store.names


@pytest.mark.parametrize("store", ["clickhouse"], indirect=True)
def test_a_dead_servers_lock_is_taken_over_after_ten_minutes(store):
    store.run("CREATE TABLE chimera_migrating (x UInt8) ENGINE = Memory")
    file, = glob.glob(os.path.join(store.db.server.folder, "data", "metadata", store.db.name, "chimera_migrating.sql"))
    os.utime(file, (time.time() - 500,) * 2)
    asker = store.begin(store.idle.path, "migrate", "up")
    assert asker.stdout.readline() == "waiting for another server that is migrating this database\n"
    assert TABLES.isdisjoint(store.tables())
    os.utime(file, (time.time() - 700,) * 2)
    assert asker.wait(kit.DEADLINE) == 0, asker.stdout.read()
    assert list(store.applied()) == store.names and "chimera_migrating" not in store.tables()


# ---- drift -------------------------------------------------------------------------------------------------------------------------

INGESTION = ("CREATE TABLE ingestion_records (row_id UUID, time Int64, batch_id UUID, req_id Nullable(String), owner Nullable(String), "
             "source String, item String, kind String, status String, detail Nullable(String), bytes Int64, sha256 Nullable(String), "
             "latency_ms Nullable(Float64), time_at DateTime ALIAS toDateTime(intDiv(time, 1000000))) ")
DRIFT = {
    "sqlite": {
        "extra column inference_records.region text": ["ALTER TABLE inference_records ADD COLUMN region TEXT"],
        "missing index inference_records_time on inference_records (time)": ["DROP INDEX inference_records_time"],
        'changed column ingestion_records.kind: expected "text not null", found "integer"': [
            "ALTER TABLE ingestion_records DROP COLUMN kind", "ALTER TABLE ingestion_records ADD COLUMN kind INTEGER"],
        "missing table ingestion_records strict": ["DROP TABLE ingestion_records"],
    },
    "postgresql": {
        "extra column inference_records.region text": ["ALTER TABLE inference_records ADD COLUMN region text"],
        'missing index inference_records_time on inference_records btree ("time")': ["DROP INDEX inference_records_time"],
        'changed column inference_records.status: expected "bigint not null", found "text not null"': [
            "ALTER TABLE inference_records ALTER COLUMN status TYPE text"],
        'changed column inference_records.req_id: expected "text collate C not null", found "text collate C"': [
            "ALTER TABLE inference_records ALTER COLUMN req_id DROP NOT NULL"],
        'changed column inference_records.owner: expected "text collate C", found "text"': [
            "ALTER TABLE inference_records ALTER COLUMN owner TYPE text"],
        "missing key inference_records btree (row_id)": ["ALTER TABLE inference_records DROP CONSTRAINT inference_records_pkey"],
        "missing table ingestion_records": ["DROP TABLE ingestion_records"],
    },
    "clickhouse": {
        "extra column inference_records.region String": ["ALTER TABLE inference_records ADD COLUMN region String"],
        'changed column inference_records.model: expected "Nullable(String)", found "String"': [
            "ALTER TABLE inference_records MODIFY COLUMN model String"],
        "missing column inference_records.tier Nullable(String)": ["ALTER TABLE inference_records DROP COLUMN tier"],
        'changed engine ingestion_records: expected "ReplacingMergeTree PARTITION': [
            "DROP TABLE ingestion_records",
            INGESTION + "ENGINE = MergeTree "
            "PARTITION BY toYYYYMMDD(toDateTime(greatest(0, least(intDiv(time, 1000000), 4102444800)), 'UTC')) ORDER BY (time, row_id)"],
        'ORDER BY (time, row_id)", found "ReplacingMergeTree PARTITION BY toYYYYMM(toDateTime(intDiv(time, 1000000))) ORDER BY row_id"': [
            "DROP TABLE ingestion_records",
            INGESTION + "ENGINE = ReplacingMergeTree "
            "PARTITION BY toYYYYMM(toDateTime(intDiv(time, 1000000))) ORDER BY row_id"],
        "missing table ingestion_records": ["DROP TABLE ingestion_records"],
    },
}
CASES = [(engine, finding) for engine, cases in DRIFT.items() for finding in cases]


@pytest.mark.parametrize("store,finding", CASES, indirect=["store"], ids=[f"{e}-{' '.join(f.split()[:3])}" for e, f in CASES])
def test_drift_is_found(store, finding):
    store.ctl("migrate", "up")
    for statement in DRIFT[store.engine][finding]:
        store.run(statement)
    out, err = store.ctl("schema", "status", code=1)
    told = [line for line in out.splitlines() if line.startswith("  drift: ")]
    assert len(told) == 1 and finding in told[0], out
    assert "0 pending, 0 unknown, 0 changed, 1 drifted" in err
    store.ctl("migrate", "status")  # this one only shows it


def test_tables_that_are_not_ours_are_no_drift(store):
    store.ctl("migrate", "up")
    store.run(IDLE_TABLE[store.engine].format("somebody_elses"))
    store.ctl("schema", "status")


# ---- a server shows it ---------------------------------------------------------------------------------------------------------------


def health(c, store):
    """The adapter's check, as /ready has it: its object, or an empty one before it ran."""
    components = c.request("GET", "/ready", kind="status").json()["components"]
    return next((x for x in components if x["name"] == store.plugin), {"status": "", "message": ""})


def wait_up(c, store):
    n = len(store.names)
    kit.wait_for(lambda: (h := health(c, store))["status"] == "healthy" and h["message"].endswith(f"schema revision {n} of {n}"),
                 lambda: f"{health(c, store)}\n{c.stderr()}")


def output(c, store):
    """What /health says of it."""
    checks = c.request("GET", "/health", headers=[("Accept", "application/health+json")], kind="status").json()["checks"]
    return checks[store.plugin + ":responseTime"][0].get("output")


def test_a_server_shows_revision_and_drift_and_heals_by_migrate_up(store):
    n = len(store.names)
    c = store.server(migrate="check").start()
    kit.wait_for(lambda: "migrate up" in health(c, store)["message"], lambda: f"{health(c, store)}\n{c.stderr()}")
    assert health(c, store)["status"] == "unhealthy" and f"schema revision 0 of {n}: run chimeractl migrate up" in output(c, store)
    assert c.metric("chimera_schema_revision", instance=store.plugin, kind="current") == 0
    assert c.metric("chimera_schema_revision", instance=store.plugin, kind="expected") == n
    store.ctl("migrate", "up", of=c)
    wait_up(c, store)
    c.wait_metric("chimera_schema_revision", n, instance=store.plugin, kind="current")
    kit.wait_for(lambda: c.metric("chimera_schema_drift", instance=store.plugin) == 0, "no drift")
    for statement in next(iter(DRIFT[store.engine].values())):
        store.run(statement)
    store.ctl("schema", "status", code=1, of=c)
    assert c.metric("chimera_schema_drift", instance=store.plugin) == 1
    kit.wait_for(lambda: health(c, store)["status"] == "degraded", lambda: f"{health(c, store)}\n{c.stderr()}")
    assert f"schema revision {n} of {n}" in output(c, store) and "region" in output(c, store)


def test_a_server_with_auto_brings_a_fresh_database_up(store):
    c = store.server(migrate="auto").start()
    wait_up(c, store)
    assert list(store.applied()) == store.names and TABLES <= store.tables()
    store.ctl("schema", "status", of=c)
