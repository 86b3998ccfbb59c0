# SPDX-License-Identifier: Apache-2.0
"""The process under pressure: no descriptors, no memory, signals, a plugin that blocks (FAULTS P1, P2, P4, P8)."""
import os
import random
import resource
import select
import shutil
import signal
import struct
import time

import chimera as kit
import pytest


def test_p1_without_descriptors_clients_get_503_and_the_server_recovers(chimera):
    c = chimera({"t_echo": {}, "server": {"workers": "1"}})
    probe = c.connect("status")
    assert probe.ask("GET", "/health/live").status == 200
    used = c.descriptors()
    resource.prlimit(c.pid, resource.RLIMIT_NOFILE, (used + 10, used + 10))
    held = []
    for _ in range(40):
        s = c.connect()
        s.send(kit.request_bytes("GET", "/"))
        held.append(s)
    cpu, begin = c.cpu(), time.monotonic()

    def somebody_was_refused():
        text = probe.ask("GET", "/metrics").text
        return [v for n, labels, v in kit.parse_metrics(text) if n == "chimera_http_rejected_total" and labels["code"] == "overloaded"
            and v >= 3]
    kit.wait_for(somebody_was_refused, "refusals for want of descriptors")
    seconds = time.monotonic() - begin
    if not kit.SANITIZERS:
        assert c.cpu() - cpu < 0.05 * seconds + 0.1, "a busy loop"
    c.wait_said("no file descriptors")
    silent, said = list(held), []

    def heard():
        for s in select.select(silent, [], [], 0)[0]:
            silent.remove(s)
            try:
                said.append(s.response().status)
            except kit.Closed:
                pass
        return said.count(200) >= 5
    kit.wait_for(heard, lambda: f"five that are served: {said}")
    assert set(said) <= {200, 503}
    for s in held:
        s.close()
    kit.wait_for(lambda: c.get("/").status == 200, "the server to take connections again")
    kit.wait_for(lambda: all(c.get("/").status == 200 for _ in range(5)), "the server to recover")
    probe.close()


class FailingMalloc:
    """The daemon's allocator with failmalloc.c before it; share(0.05) makes each twentieth allocation fail."""

    def __init__(self, tmp_path, seed):
        self.file = tmp_path / "failmalloc"
        self.seed = seed
        self.share(0)
        so = tmp_path / "failmalloc.so"
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "failmalloc.c")
        kit.subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(so), source], check=True, timeout=kit.DEADLINE)
        self.prefix = ["env", f"LD_PRELOAD={so}", f"FAILMALLOC={self.file}"]

    def share(self, share):
        with open(self.file, "r+b" if self.file.exists() else "wb") as f:  # in place: the daemon has it mapped
            f.write(struct.pack("=II", int(share * 65536), self.seed))


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_p2_failing_allocations_cost_requests_and_nothing_more(chimera, tmp_path, share):
    """A share of all mallocs fails; the daemon may refuse and drop, but neither die nor lie."""
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc to build failmalloc.c with")
    if kit.SANITIZERS:
        pytest.skip("a sanitizer has its own malloc")
    seed = random.randrange(2**31)
    print(f"seed {seed}")
    memory = FailingMalloc(tmp_path, seed)
    c = chimera({"t_echo": {}, "ask": {}, "dryrun": {}, "trace": {}, "t_stream": {}, "t_suspend": {}, "t_service": {}}, prefix=memory.prefix)
    memory.share(share)
    outcomes = {}
    for i in range(400):
        request = (("GET", "/", None), ("POST", "/", b"x" * 100000), ("POST", "/", [b"y" * 5000] * 20), ("POST", "/v1/ask",
            '{"prompt":"x"}'),
                   ("POST", "/v1/ask", '{"prompt":"x","stream":true}'), ("GET", "/stream?bytes=100000&chunk=1000&release=1", None),
                   ("GET", "/suspend/service?ms=1", None), ("GET", "/nowhere", None))[i % 8]
        try:
            r = c.request(*request)
            outcome = r.status
            if r.status == 200 and request[1] == "/":
                body = request[2] or b""
                assert r.body == (body if isinstance(body, bytes) else b"".join(body))
        except (kit.Closed, kit.BadAnswer, ConnectionError) as e:
            outcome = type(e).__name__
        assert c.alive, f"chimerad died at request {i} {request[:2]}:\n{c.stderr()}"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    print(outcomes)
    assert "BadAnswer" not in outcomes
    memory.share(0)
    kit.wait_for(lambda: c.get("/").status == 200, "the server to work again")
    assert outcomes.get(200, 0) > 20
    assert c.request("POST", "/v1/ask", '{"prompt":"x"}').status == 200
    kit.wait_for(lambda: c.metric("http_requests_in_progress") == 1, "all requests to have ended")
    kit.wait_for(lambda: c.metric("active_connections") == 1, "all connections to be gone")


def test_p4_sigpipe_is_ignored(chimera):
    c = chimera({"t_echo": {}, "t_stream": {}})
    c.signal(signal.SIGPIPE)
    for _ in range(20):
        with c.connect() as s:
            s.send(kit.request_bytes("GET", "/stream?bytes=1000000&chunk=1000") * 3)
            s.abort()
    assert c.get("/").status == 200 and c.alive


def test_p8_a_plugin_that_blocks_is_named_and_liveness_fails(chimera):
    c = chimera({"t_block": {}, "t_echo": {}})
    with c.blocked():
        line = c.wait_said("has been blocked", plugin="t_block")
        assert line["lvl"] == "error"
        assert "t_block" in line["msg"] and "content" in line["msg"] and "worker-" in line["msg"]
        kit.wait_for(lambda: c.get("/health/live", kind="status").status == 503, "liveness to fail, after a second")
        kit.wait_for(lambda: c.metric("chimera_loops_stalled") == 1, "one stall")  # a machine that stands still may make more
    kit.wait_for(lambda: c.get("/health/live", kind="status").status == 200, "liveness to come back")
    kit.wait_for(lambda: c.metric("chimera_loops_stalled") == 0, "the stall to end")
    assert len(c.said("has been blocked", plugin="t_block")) == 1, "said once"


def test_p8_other_workers_go_on_while_one_is_blocked(chimera):
    c = chimera({"t_block": {}, "t_echo": {}, "server": {"workers": "2"}})
    others = []

    def answered():
        others.append(c.connect())  # the kernel spreads connections over both workers
        others[-1].send(kit.request_bytes("GET", "/"))
        return select.select(others, [], [], 0.02)[0]

    with c.blocked():
        c.wait_said("has been blocked", plugin="t_block")
        (one, *_) = kit.wait_for(answered, "an answer of the other worker")
        assert one.response().status == 200
        for other in others:
            other.close()


def test_10000_idle_connections_survive(chimera):
    if not kit.HEAVY:
        pytest.skip("CHIMERA_HEAVY=1 runs this")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 10500:
        pytest.skip(f"only {hard} descriptors may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (10500, hard))
    try:
        c = chimera({"t_echo": {}, "server": {"keepalive_timeout": "10m"}})
        before = c.rss()
        conns = [c.connect() for _ in range(10000)]
        for s in conns:
            assert s.ask("GET", "/").status == 200
        each = (c.rss() - before) / len(conns)
        print(f"{each:.0f} bytes of resident memory for an idle connection")
        for s in conns[::97]:
            assert s.ask("GET", "/").status == 200
        assert c.metric("active_connections") == 10001
        if not kit.SANITIZERS:
            assert each <= 512
        for s in conns:
            s.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
