# SPDX-License-Identifier: Apache-2.0
"""storage_sqlite when the disk, the file or a neighbour fails. Rows of FAULTS: S1, S2, S4, S5, S6, S7."""
import errno
import os
import resource
import shutil
import struct
import subprocess
import threading

import pytest

import chimera as kit
from servers import sqlite
from test_sqlite import TABLES, World, ready
from tsink import Sink, new_id, rows
from tsql import Sql


@pytest.fixture(autouse=True)
def built(plugins):
    if not kit.has_plugin(plugins, "storage_sqlite"):
        pytest.skip("storage_sqlite is not built")


@pytest.fixture
def small_disk(tmp_path):
    """mount(options) -> a folder on a file system of its own; mount again: remounted."""
    folder = tmp_path / "small"

    def mount(options):
        again = ["-o", "remount," + options] if folder.is_dir() else ["-o", options]
        folder.mkdir(exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", *again, "none", folder], capture_output=True, check=False).returncode:
            pytest.skip("a tmpfs cannot be mounted here")
        return folder

    yield mount
    subprocess.run(["umount", "-l", folder], capture_output=True, check=False)


class FailingDisk:
    """faildisk.c before the daemon's libc: what is below `folder` fails as set() says."""

    WORDS = ["sync", "write", "short", "slow", "syncs_failed", "writes_failed", "short_writes", "syncs"]

    def __init__(self, tmp_path, folder):
        if not shutil.which("gcc"):
            pytest.skip("there is no gcc to build faildisk.c with")
        if kit.SANITIZERS:
            pytest.skip("a sanitizer wants to be loaded first")
        self.file = tmp_path / "faildisk"
        self.file.write_bytes(bytes(4 * len(self.WORDS)))
        so = tmp_path / "faildisk.so"
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faildisk.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-o", so, source], check=True, timeout=kit.DEADLINE)
        self.prefix = ["env", f"LD_PRELOAD={so}", f"FAILDISK={self.file}", f"FAILDISK_FOLDER={folder}"]

    def set(self, word, value):
        with open(self.file, "r+b") as f:  # in place: the daemon has it mapped
            f.seek(4 * self.WORDS.index(word))
            f.write(struct.pack("=I", value))

    def __getattr__(self, word):
        with open(self.file, "rb") as f:
            return struct.unpack("=8I", f.read())[self.WORDS.index(word)]


class Over(World):
    """A World over a folder that is there already, or with words before the program."""

    def __init__(self, chimera, folder, prefix=(), **options):
        os.makedirs(folder, exist_ok=True)
        self.path = str(folder / "test.db")
        if not os.path.exists(self.path):
            for text in ["PRAGMA journal_mode=WAL", *TABLES]:
                sqlite(self.path, text)
        self.c = chimera({"storage_sqlite": {"path": self.path, "migrate": "off", **options}, "t_sql": {"sql": "storage_sqlite"},
                          "t_sink": {"sink": "storage_sqlite"}}, prefix=prefix)
        self.sql, self.sink = Sql(self.c), Sink(self.c)


def fill(w, batches=400):
    """Appends until it is refused: (rows acknowledged, the batch that was not and its answer)."""
    done = 0
    for seed in range(1, batches):
        batch = new_id()
        a = w.sink.make(200, batch, seed=seed)
        if a.outcome != "done":
            return done, (batch, seed), a
        done += a.rows
    raise AssertionError("it never got full")


def heals(w, batch, done):
    """The batch that was refused is taken in the end, once, and nothing that was acknowledged is missing."""
    kit.wait_for(lambda: w.sink.make(200, batch[0], again=True, seed=batch[1]).outcome == "done", lambda: w.c.stderr())
    assert w.count() == done + 200
    assert sqlite(w.path, "PRAGMA integrity_check") == [("ok",)]
    kit.wait_for(lambda: "storage_sqlite.disk" not in degraded(w.c), lambda: degraded(w.c))


def degraded(c):
    return "\n".join(line for line in ready(c).splitlines() if "degraded" in line)


# ---- S4


def test_s4_a_full_disk_refuses_writes_and_serves_reads_and_recovers(chimera, small_disk):
    folder = small_disk("size=2m")
    w = Over(chimera, folder, checkpoint="64k")
    done, batch, a = fill(w)
    assert a.outcome == "retry" and "disk is full" in a.detail and a.retry_ms > 0, a
    assert w.sql.ask("INSERT INTO things (v) VALUES ($1)", ["text*", "x", 100000]).error == "full"
    assert w.sql.rows("SELECT COUNT(*) FROM t_rows") == [[done]]
    assert "disk" in kit.wait_for(lambda: degraded(w.c), "that it is said")
    assert w.c.get("/health", kind="status").status == 200
    small_disk("size=32m")
    kit.wait_for(lambda: w.c.said("works again"), "it to heal by itself, without a call")
    heals(w, batch, done)


def test_s4_a_limit_of_file_sizes_is_like_a_full_disk(chimera, tmp_path):
    w = Over(chimera, tmp_path / "db", checkpoint="64k")
    soft, hard = resource.prlimit(w.c.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(w.c.pid, resource.RLIMIT_FSIZE, (1 << 20, hard))
    done, batch, a = fill(w)
    assert a.outcome == "retry" and ("cannot be written" in a.detail or "full" in a.detail), a
    assert w.sql.rows("SELECT COUNT(*) FROM t_rows") == [[done]]
    resource.prlimit(w.c.pid, resource.RLIMIT_FSIZE, (soft, hard))
    heals(w, batch, done)


def test_s4_a_server_that_starts_on_a_full_disk_recovers(chimera, small_disk):
    folder = small_disk("size=64k")
    with open(folder / "ballast", "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError as e:
            assert e.errno == errno.ENOSPC
    c = chimera({"storage_sqlite": {"path": str(folder / "new.db"), "migrate": "off"}, "t_sql": {"sql": "storage_sqlite"}})
    a = Sql(c).ask("SELECT 1")
    assert a.error in ("full", "unavailable"), a
    os.unlink(folder / "ballast")
    small_disk("size=8m")
    kit.wait_for(lambda: Sql(c).ask("SELECT 1").error == "ok", lambda: c.stderr())


# ---- S5


def test_s5_behind_a_failed_fsync_nothing_is_acknowledged(chimera, tmp_path):
    disk = FailingDisk(tmp_path, tmp_path / "db")
    w = Over(chimera, tmp_path / "db", prefix=disk.prefix)
    assert w.sink.make(100, seed=1).rows == 100
    assert disk.syncs > 0
    disk.set("sync", errno.EIO)
    batch = new_id()
    first = w.sink.make(50, batch, seed=2)
    assert first.outcome == "retry" and "fsync" in first.detail, first
    for i in range(5):
        a = w.sql.ask("INSERT INTO things (id) VALUES ($1)", ["int", i])
        assert a.error in ("unknown", "unavailable"), a
    assert disk.syncs_failed >= 1
    w.c.wait_said("database is degraded now")
    disk.set("sync", 0)
    kit.wait_for(lambda: w.sink.make(50, batch, again=True, seed=2).outcome == "done", lambda: w.c.stderr())
    assert w.count() == 150
    w.c.kill()  # the kernel has all: what is acknowledged must be in the file and its log
    assert sqlite(w.path, "PRAGMA integrity_check") == [("ok",)]
    assert w.count() == 150


def test_s5_each_answer_has_an_fsync_of_its_own_behind_it(chimera, tmp_path):
    disk = FailingDisk(tmp_path, tmp_path / "db")
    w = Over(chimera, tmp_path / "db", prefix=disk.prefix)
    assert w.sql.ask("SELECT 1").error == "ok"
    for i in range(10):
        before = disk.syncs
        assert w.sql.ask("INSERT INTO things (id) VALUES ($1)", ["int", i]).error == "ok"
        assert disk.syncs > before


def test_a_slow_disk_holds_up_calls_and_no_loop(chimera, tmp_path):
    disk = FailingDisk(tmp_path, tmp_path / "db")
    w = Over(chimera, tmp_path / "db", prefix=disk.prefix)
    assert w.sql.ask("SELECT 1").error == "ok"
    disk.set("slow", 3000)
    answers = []

    def insert(i):
        answers.append(w.sql.ask("INSERT INTO things (id) VALUES ($1)", ["int", i], timeout_ms=300))

    threads = [threading.Thread(target=insert, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    kit.wait_for(lambda: w.c.metric("chimera_db_connections", instance="storage_sqlite", state="in_use") >= 1, "the writer to be at it")
    lag = []
    while any(t.is_alive() for t in threads):
        a = w.sql.ask("SELECT COUNT(*) FROM things")
        assert a.error == "ok"
        lag.append(a.elapsed_us)
    for t in threads:
        t.join()
    errors = {a.error for a in answers}
    assert "unknown" in errors and errors <= {"unknown", "busy"}, answers
    assert all(280000 <= a.elapsed_us < 2900000 for a in answers), answers
    assert sorted(lag)[len(lag) // 2] < 100000
    assert all(v < 2 for n, _, v in w.c.metrics() if n == "chimera_loop_lag_seconds")  # a write takes longer
    disk.set("slow", 0)


# ---- S6


def test_s6_short_writes_are_completed(chimera, tmp_path):
    disk = FailingDisk(tmp_path, tmp_path / "db")
    w = Over(chimera, tmp_path / "db", prefix=disk.prefix, checkpoint="64k")
    disk.set("short", 1)
    for seed in range(1, 6):
        assert w.sink.make(500, seed=seed).rows == 500
    assert disk.short_writes > 10
    assert w.count() == 2500
    w.c.stop()
    assert sqlite(w.path, "PRAGMA integrity_check") == [("ok",)]


def test_s6_a_write_that_fails_leaves_no_half_of_a_batch(chimera, tmp_path):
    disk = FailingDisk(tmp_path, tmp_path / "db")
    w = Over(chimera, tmp_path / "db", prefix=disk.prefix)
    assert w.sink.make(100, seed=1).rows == 100
    disk.set("write", errno.EIO)
    batch = new_id()
    a = w.sink.make(3000, batch, seed=2)
    assert a.outcome == "retry" and "cannot be written" in a.detail, a
    assert w.sql.rows("SELECT COUNT(*) FROM t_rows") == [[100]]
    disk.set("write", 0)
    kit.wait_for(lambda: w.sink.make(3000, batch, again=True, seed=2).outcome == "done", lambda: w.c.stderr())
    assert w.count() == 3100


# ---- S7


def test_s7_a_file_locked_by_another_process_is_waited_for_off_the_loops(chimera, tmp_path):
    w = Over(chimera, tmp_path / "db", busy_timeout="300ms", timeout="2s")
    assert w.sql.ask("SELECT 1").error == "ok"
    other = subprocess.Popen(["sqlite3", w.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        other.stdin.write("BEGIN EXCLUSIVE;\nINSERT INTO things (id) VALUES (77);\nSELECT 'locked';\n")
        other.stdin.flush()
        assert other.stdout.readline() == "locked\n"
        a = w.sql.ask("INSERT INTO things (id) VALUES (1)")
        assert a.error == "conflict" and "Another process" in a.detail and a.elapsed_us >= 250000, a
        assert w.sink.append(rows(1)).outcome == "retry"
        assert w.sql.rows("SELECT COUNT(*) FROM things") == [[0]]
        w.c.wait_said("lock is degraded now")
        other.stdin.write("COMMIT;\n")
        other.stdin.flush()
        kit.wait_for(lambda: w.sql.ask("INSERT INTO things (id) VALUES (2)").error == "ok", "the lock")
    finally:
        other.stdin.close()
        other.wait(kit.DEADLINE)
    assert w.sql.rows("SELECT id FROM things ORDER BY id") == [[2], [77]]


def test_s7_a_damaged_file_is_said_and_kept(chimera, tmp_path):
    w = Over(chimera, tmp_path / "db")
    w.sink.make(200)
    w.c.stop()
    with open(w.path, "r+b") as f:
        good = f.read(100)
        f.seek(0)
        f.write(b"not a database" + bytes(86))
    with open(w.path, "rb") as f:
        damaged = f.read()
    again = Over(chimera, tmp_path / "db")
    a = again.sql.ask("SELECT 1")
    assert a.error == "unavailable" and "damaged" in a.detail and "backup" in a.detail, a
    assert again.sink.append(rows(1)).outcome == "retry"
    assert "damaged" in kit.wait_for(lambda: degraded(again.c), "that it is said")
    with open(w.path, "rb") as f:
        assert f.read() == damaged
    with open(w.path, "r+b") as f:
        f.write(good)
    kit.wait_for(lambda: again.sql.ask("SELECT 1").error == "ok", lambda: again.c.stderr())
    assert again.count() == 200


def test_s7_a_read_only_file_system_is_said_and_recovers(chimera, small_disk):
    folder = small_disk("size=16m")
    w = Over(chimera, folder)
    assert w.sink.make(100, seed=1).rows == 100
    w.c.stop()
    small_disk("ro")
    again = Over(chimera, folder)
    a = again.sql.ask("INSERT INTO things (id) VALUES (1)")
    assert a.error == "full" and "read-only" in a.detail, a
    assert again.c.get("/health", kind="status").status == 200
    small_disk("rw")
    kit.wait_for(lambda: again.sql.ask("INSERT INTO things (id) VALUES (1)").error == "ok", lambda: again.c.stderr())
    assert again.count() == 100


def test_s7_a_log_that_is_missing_costs_its_rows_and_nothing_else(chimera, tmp_path):
    w = Over(chimera, tmp_path / "db", checkpoint="1g")
    w.sink.make(100)
    w.c.kill()
    os.unlink(w.path + "-wal")
    again = Over(chimera, tmp_path / "db")
    assert again.sql.rows("SELECT COUNT(*) FROM t_rows") == [[0]]
    assert sqlite(w.path, "PRAGMA integrity_check") == [("ok",)]
    assert again.sink.make(100).rows == 100


# ---- S1, S2


def test_s1_kill_9_under_load_loses_nothing_that_was_answered(chimera, tmp_path):
    random = kit.seeded()
    folder, answered, unanswered = tmp_path / "db", set(), set()
    for cycle in range(6):
        w = Over(chimera, folder, checkpoint="64k")
        lock = threading.Lock()

        def work(k, w=w, cycle=cycle):
            for i in range(10000):
                seed = (cycle * 8 + k) * 10000 + i + 1
                try:
                    a = w.sql.ask("INSERT INTO things (id, name) VALUES ($1, $2)", ["int", seed], ["text", f"n{seed}"])
                except (AssertionError, OSError, ValueError):
                    with lock:
                        unanswered.add(seed)
                    return
                if a.error == "ok":
                    with lock:
                        answered.add(seed)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for t in threads:
            t.start()
        target = len(answered) + random.randrange(20, 200)
        kit.wait_for(lambda target=target: len(answered) >= target, "answers")
        w.c.kill()
        for t in threads:
            t.join()
        have = {r[0] for r in sqlite(w.path, "SELECT id FROM things")}
        assert answered <= have <= answered | unanswered
        assert sqlite(w.path, "PRAGMA integrity_check") == [("ok",)]


def test_s2_a_torn_or_flipped_log_gives_whole_batches_from_the_front(chimera, tmp_path):
    random = kit.seeded()
    w = Over(chimera, tmp_path / "db", checkpoint="1g")
    for seed in range(1, 21):
        assert w.sink.make(20, seed=seed).rows == 20
    w.c.kill()
    with open(w.path, "rb") as f:
        file = f.read()
    with open(w.path + "-wal", "rb") as f:
        log = f.read()
    for n in range(12):
        folder = tmp_path / f"torn{n}"
        os.mkdir(folder)
        damaged = bytearray(log)
        if n % 2:
            del damaged[random.randrange(len(log)):]
        else:
            damaged[random.randrange(32, len(log))] ^= 1 << random.randrange(8)
        path = str(folder / "test.db")
        for name, data in ((path, file), (path + "-wal", damaged)):
            with open(name, "wb") as f:
                f.write(data)
        again = Over(chimera, folder)
        have = again.sql.rows("SELECT COUNT(*) FROM t_rows")[0][0]
        assert have % 20 == 0 and have <= 400
        again.c.stop()
        assert sqlite(path, "PRAGMA integrity_check") == [("ok",)]
