# SPDX-License-Identifier: Apache-2.0
"""The kill test: under load, kill -9 of chimerad and restarts of PostgreSQL and ClickHouse (SIGKILL and SIGTERM) at random moments. Every
answered request has exactly one row in every sink, with the same contents; none is lost, none is there twice."""
import os
import random
import threading
import time

import chimera as kit
import ledger
import servers

ROUNDS = int(os.environ.get("CHIMERA_KILL_ROUNDS", "") or 0) or (20 if kit.HEAVY else 3)


class Trouble:
    """Restarts databases, one after the other, until calm(). One thread for the whole test: a database ends with the thread that started it."""

    def __init__(self, rng, databases):
        self.random, self.databases, self.done, self.failure = random.Random(rng.random()), databases, [], None
        self.calming, self.is_calm, self.over = threading.Event(), threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.calming.wait(self.random.uniform(0.05, 0.8)):
                server = self.random.choice(self.databases)
                how = self.random.choice(("kill", "stop"))
                getattr(server, how)()
                self.done.append(f"{how} {type(server).__name__}")
                self.calming.wait(self.random.uniform(0, 0.5))
                server.start()
        except BaseException as e:  # told by calm(), in the test's own thread
            self.failure = e
        self.is_calm.set()
        self.over.wait()

    def calm(self):
        self.calming.set()
        self.is_calm.wait()
        if self.failure:
            raise self.failure

    def end(self):
        self.calming.set()
        self.over.set()
        self.thread.join()


def journal_lines(c):
    """What all its processes said of the journal."""
    return [line for line in c.stderr().splitlines() if "segment" in line or "journal" in line][-60:]


def test_no_row_is_lost_and_none_is_doubled(tmp_path, plugins):
    rng = kit.seeded()
    with servers.Postgres() as pg, servers.ClickHouse() as ch:
        c = kit.Chimera(tmp_path, plugins)
        sinks = [ledger.SQLite(c.state), ledger.Postgres(pg), ledger.ClickHouse(ch)]
        # A fixed port: the clients come back to it.
        port = kit.free_port()
        c.write(ledger.sections(plugins, *(s.config() for s in sinks), server={"listen": f"127.0.0.1:{port}"}))
        # Who is killed while it makes ClickHouse's tables leaves a lock for ten minutes (docs/migrations.md): that is not what this is about.
        c.start()
        for s in sinks:
            kit.wait_for(lambda s=s: c.metric("chimera_schema_revision", instance=s.name, kind="current") >= 1, f"the tables of {s.name}")
        c.stop()
        load = ledger.Load(("127.0.0.1", port))
        trouble = Trouble(rng, [pg, ch])
        try:
            for number in range(ROUNDS):
                c.start(wait=number == 0)
                time.sleep(rng.uniform(0.3, 2.5))  # the length of a round is chance, not a wait for something
                if rng.random() < 0.75:
                    c.kill()
                    how = "kill -9"
                else:
                    c.wait_ready()
                    c.stop()
                    how = "SIGTERM"
                print(f"round {number}: {how} after {len(load.answered)} answers; {', '.join(trouble.done)}")
                trouble.done.clear()
            c.start()  # a slow machine may have needed the rounds for its starts
            kit.wait_for(lambda: len(load.answered) > 100 * ROUNDS, lambda: f"{100 * ROUNDS} answers; there are {len(load.answered)}")
            c.kill()
            trouble.calm()
            answered = load.stop()
            c.start()
            ledger.wait_shipped(c)
            lost = [m for m in c.metrics() if m[0] == "chimera_ledger_lost_total" and m[2]]
            assert not lost, (lost, journal_lines(c))
            assert c.metric("chimera_ledger_dead_letters_total") == 0
            c.stop()
            rows = ledger.compare(answered, sinks)
        finally:
            load.stop()
            trouble.end()
            c.kill()
    print(f"{len(answered)} answered, {rows} rows in each of {len(sinks)} sinks")
    assert len(answered) > 100 * ROUNDS
