# SPDX-License-Identifier: Apache-2.0
"""Everything at once: clients that ask all the plugins of the tests, wrong things among them, and leave when they like, while the config
changes under them. The server must be there at the end, answer in whole HTTP all the time, drain, and (under a sanitizer) have nothing to
report."""
import json
import random
import threading
import time

import chimera as kit
from test_misuse import ALLOWED, WRONG

SECONDS = 60 if kit.HEAVY else 8
CLIENTS = 6
CONFIG = {"t_misuse": {}, "t_service": {}, "dryrun": {"tokens_per_second": "1000", "answer_tokens": 20}, "trace": {}, "ask": {},
        "t_call": {},
          "t_call:second": {"path": "/second", "infer_path": "/second/infer"}, "t_suspend": {}, "t_stream": {}, "t_hooks": {}, "t_loop": {},
          "t_span": {}, "t_thread": {}, "t_cron": {}, "t_seam": {}, "t_degraded": {}, "log": {"access": "off"}}
OPTIONAL = ["t_span", "t_seam", "t_hooks", "t_degraded", "t_cron", "t_loop"]
WORDS = [None, "answer", "wait", "wait-answer", "refuse", "edit", "error", "wait-error", "hang"]
TARGETS = ["/suspend/thread?ms=3", "/suspend/offload?ms=2", "/suspend/service?ms=2", "/suspend/service?ms=-1&timeout=5",
        "/suspend?timeout=4",
           "/suspend/task?ms=3&here=1", "/suspend/task?ms=-1&timeout=3", "/stream?bytes=200000&chunk=5000",
           "/stream?bytes=100000&chunk=1000&release=1&length=1", "/stream?bytes=1000&after=cut", "/loop/post", "/loop/turn?n=20",
                   "/loop/watch?n=50000",
           "/loop/timer?ms=2", "/ctx/deadline?ms=3", "/span/wait?ms=3", "/thread", "/thread/post", "/resolve?host=localhost", "/secret",
                   "/seam/kv",
           "/degraded?what=a&thread=1&times=3", "/degraded/list", "/call", "/call/infer", "/life", "/life/info", "/cron"]


class Soak:
    def __init__(self, c, life, rnd):
        self.c, self.life, self.end = c, life, time.monotonic() + SECONDS
        self.asked, self.left, self.reloads, self.wrong = 0, 0, 0, []
        seeds = [rnd.random() for _ in range(CLIENTS)]
        self.threads = [threading.Thread(target=self.client, args=(random.Random(s),), daemon=True) for s in seeds]
        self.threads.append(threading.Thread(target=self.reloader, args=(random.Random(rnd.random()),), daemon=True))

    def run(self):
        for t in self.threads:
            t.start()
        for t in self.threads:
            t.join(SECONDS + 2 * kit.DEADLINE)
            assert not t.is_alive(), f"a client waits for an answer that does not come; {self.c.alive}"

    def enough(self):
        return self.asked > 100 and self.left > 10 and self.reloads > 10

    def goes_on(self):
        """Until the time is over, or on a slow machine until enough was done in it."""
        now = time.monotonic()
        return self.c.alive and (now < self.end or not self.enough() and now < self.end + kit.DEADLINE)

    def one(self, rnd):
        """(a request, whether it never ends by itself)."""
        kind = rnd.randrange(10)
        if kind < 4:
            return kit.request_bytes("GET", "/misuse?how=" + rnd.choice([*WRONG, *ALLOWED])), False
        word = rnd.choice(WORDS)
        fields = {"X-Call": rnd.choice(["", "t_call:", "second:"]) + word} if word else {}
        if kind < 6:
            body = json.dumps({"messages": [{"role": "user", "content": "x"}], "stream": rnd.random() < 0.5})
            return kit.request_bytes("POST", "/v1/ask", body, {"Content-Type": "application/json", **fields}), word == "hang"
        target = rnd.choice(TARGETS)
        return kit.request_bytes("GET", target, headers=fields), word == "hang" and target.startswith("/call")

    def client(self, rnd):
        while self.goes_on():
            try:
                with self.c.connect() as s:
                    while self.exchange(s, rnd):
                        pass
            except kit.BadAnswer as e:
                self.wrong.append(repr(e))
            except (kit.Closed, OSError):
                pass  # cut on purpose, by an answer that was begun and broken

    def exchange(self, s, rnd):
        """One request; False: the connection is used up."""
        data, endless = self.one(rnd)
        s.send(data)
        self.asked += 1
        if not endless and rnd.random() > 0.25:
            return s.response().keeps and rnd.random() > 0.1
        self.left += 1
        time.sleep(rnd.random() * 0.006)
        if rnd.random() < 0.7:
            s.abort()
        else:
            s.finish()
            s.rest()
        return False

    def config(self, rnd):
        conf = {name: dict(keys) for name, keys in CONFIG.items()}
        conf["t_life"] = {**self.life, "fixed": rnd.randrange(3), "live": rnd.randrange(3), "no_start": "yes" if rnd.random() < 0.1
                else "no"}
        if rnd.random() < 0.3:
            conf["dryrun"]["answer_tokens"] = rnd.randrange(10, 30)  # a new provider, and so new users of it
        if rnd.random() < 0.3:
            conf["t_thread"]["key"] = str(rnd.randrange(4))
        if rnd.random() < 0.3:
            conf["t_cron"]["line"] = f"{rnd.randrange(60)} * * * *"
        if rnd.random() < 0.3:
            del conf[rnd.choice(OPTIONAL)]
        if rnd.random() < 0.05:
            conf["nosuch"] = {}
        return conf

    def reloader(self, rnd):
        with kit.Connection(self.c.address("control")) as control:
            while self.goes_on():
                self.c.write(self.config(rnd))
                try:
                    r = control.ask("POST", "/control/reload")
                except (AssertionError, OSError) as e:
                    self.wrong.append(f"reload: {e!r}")
                    return
                if r.status != 200 or r.json()["result"] not in ("ok", "failed"):
                    self.wrong.append(repr(r))
                self.reloads += 1
                time.sleep(rnd.random() * 0.05)


def test_everything_at_once_under_changing_configs(chimera, tmp_path):
    life = {"file": str(tmp_path / "open-file")}
    c = chimera({**CONFIG, "t_life": life}, args=["-o", "server.drain_timeout=30s"])
    c.address()  # the log is read here once, not by all threads
    c.address("control")
    soak = Soak(c, life, kit.seeded())
    soak.run()
    print(f"{soak.asked} requests, {soak.left} clients left, {soak.reloads} reloads")
    assert c.alive, c.stderr()[-4000:]
    assert not soak.wrong, soak.wrong[:5]
    assert soak.enough()
    kit.wait_for(lambda: c.metric("http_requests_in_progress") == 1, "no request to be left but this one")
    c.stop()
    assert not c.said("does not end") and not c.said("drain_timeout is nearly over")
