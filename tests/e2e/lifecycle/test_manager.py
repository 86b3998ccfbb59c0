# SPDX-License-Identifier: Apache-2.0
"""What a service manager says and hears: sd_notify, the watchdog, sockets that it holds for us (FAULTS P19)."""
import os
import signal
import socket
import sys

import pytest
from load import Load, tiny

import chimera as kit

# Takes the place of the service manager: passes the sockets named by their descriptors on as 3, 4, …, LISTEN_PID set to the new program.
ACTIVATE = """
import fcntl, os, sys
fds, *words = sys.argv[1:]
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in fds.split(",")]
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.execvp(words[0], words)
"""


class Manager:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path if path[0] != "@" else "\0" + path[1:])
        self.sock.settimeout(kit.DEADLINE)

    def hear(self):
        return self.sock.recv(4096).decode().splitlines()

    def wait(self, word):
        """All that is heard before a message that holds `word`, and this."""
        heard = []
        while word not in (heard[-1] if heard else ()):
            heard.append(self.hear())
        return heard


@pytest.fixture
def manager(tmp_path):
    m = Manager(str(tmp_path / "n"))
    yield m
    m.sock.close()


def test_readiness_reload_and_end_are_notified(gated, manager, tmp_path):
    c = gated({}, env={"NOTIFY_SOCKET": str(tmp_path / "n")}, wait=False)
    assert manager.hear()[0] == "READY=1"
    c.wait_ready()
    c.signal(signal.SIGHUP)
    assert [m[0] for m in manager.wait("READY=1")] == ["RELOADING=1", "READY=1"]
    c.signal(signal.SIGTERM)
    assert manager.hear()[0] == "STOPPING=1"
    assert c.wait_exit() == 0


def test_a_reload_is_announced_with_its_time(gated, manager, tmp_path):
    c = gated({}, env={"NOTIFY_SOCKET": str(tmp_path / "n")})
    c.signal(signal.SIGHUP)
    (reloading,) = [m for m in manager.wait("RELOADING=1") if "RELOADING=1" in m]
    assert any(line.startswith("MONOTONIC_USEC=") for line in reloading), "sd_notify(3): RELOADING=1 comes with MONOTONIC_USEC"


def test_an_abstract_notify_socket_is_served(gated):
    m = Manager(f"@chimera-test-{os.getpid()}")
    gated({}, env={"NOTIFY_SOCKET": f"@chimera-test-{os.getpid()}"}, wait=False)
    assert m.hear()[0] == "READY=1"
    m.sock.close()


def test_the_watchdog_is_fed(gated, manager, tmp_path):
    gated({}, env={"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "200000"})
    manager.wait("READY=1")
    for _ in range(5):
        manager.wait("WATCHDOG=1")


def test_the_watchdog_of_another_process_is_not_ours(gated, manager, tmp_path):
    c = gated({}, env={"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"})
    manager.wait("READY=1")
    before = c.metric("chimera_loop_lag_seconds", loop="worker-0")
    kit.wait_for(lambda: c.metric("chimera_loop_lag_seconds", loop="worker-0") != before, "two heartbeats")
    c.stop()
    assert all(m == "STOPPING=1" or m.startswith("STATUS") for m in manager.hear())


def lag(c):
    return max(v for name, _, v in c.metrics() if name == "chimera_loop_lag_seconds")


@tiny.needs_cc
def test_a_stalled_worker_starves_the_watchdog_and_is_named(chimera, manager, tmp_path, with_gate):
    folder = kit.plugin_folder(str(tmp_path / "p"))
    go = tmp_path / "go"
    tiny.build(folder, "t_stall", tiny.source(
        "t_stall", "static int fn(struct ch_self *s, struct ch_ctx *c)\n"
        f'{{ while (access("{go}", F_OK)) usleep(1000); return ch_respond(c, 200, 0, "x", 1); }}\n'
        'static const struct ch_route routes[] = {{ .method = "GET", .pattern = "/stall", .fn = fn }};', ".routes = CH_TABLE(routes)"))
    c = chimera({"server": {"plugin_dir": folder}, "t_stall": {}}, env={"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "200000"})
    with c.connect() as s:
        s.send(kit.request_bytes("GET", "/stall"))
        line = c.wait_said("has been blocked for", plugin="t_stall")
        assert line["msg"].startswith("worker-")
        kit.wait_for(lambda: c.metric("chimera_loops_stalled") == 1, "the stall, which counts after a second")
        assert c.get("/health/live", kind="status").status == 503
        manager.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                manager.hear()
        seen = lag(c)
        kit.wait_for(lambda: lag(c) > seen + 0.5, "some more heartbeats")
        with pytest.raises(BlockingIOError):
            manager.hear()
        go.write_text("")
        assert s.response().status == 200
    manager.sock.settimeout(kit.DEADLINE)
    manager.wait("WATCHDOG=1")
    kit.wait_for(lambda: c.get("/health/live", kind="status").status == 200, "liveness to come back")


# ---- sockets ------------------------------------------------------------------------------------------------------------------------

def activated(gated, sockets, server, **kw):
    """A server that gets these sockets; start_again() starts it once more with them."""
    fds = ",".join(str(s.fileno()) for s in sockets)
    for s in sockets:
        s.set_inheritable(True)
    c = gated({"server": server}, wait=False, prefix=[sys.executable, "-c", ACTIVATE, fds], **kw)
    return c


@pytest.fixture(autouse=True)
def inheritable(monkeypatch):
    """chimera.py starts its children with closed descriptors, as it should: here some are passed on."""
    popen = kit.subprocess.Popen
    monkeypatch.setattr(kit.subprocess, "Popen", lambda *a, **kw: popen(*a, **{**kw, "close_fds": False}))


def tcp():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(1024)
    return s, "127.0.0.1:%d" % s.getsockname()[1]


def test_inherited_sockets_are_served_by_address_and_class(gated, tmp_path):
    (public, a), (status, b) = tcp(), tcp()
    path = str(tmp_path / "u.sock")
    with socket.socket(socket.AF_UNIX) as u:
        u.bind(path)
        u.listen()
        c = activated(gated, [status, public, u], {"listen": f"{a}, unix:{path}", "status_listen": b})
        c.wait_ready()
        assert c.get("/hello").status == 200 and c.get("/metrics", kind="status").status == 200
        assert c.address("public") == public.getsockname() and c.address("status") == status.getsockname()
        with kit.Connection(path) as s:
            assert s.ask("GET", "/hello").status == 200
        c.stop()
        assert os.path.exists(path), "the manager's socket file is not ours to remove"
    public.close()
    status.close()


def test_a_socket_that_no_key_names_is_a_warning(gated):
    (a, _), (b, address) = tcp(), tcp()
    c = activated(gated, [a, b], {"listen": address})
    c.wait_ready()
    assert c.said("1 inherited sockets are named by no listen key", lvl="warn")
    a.close()
    b.close()


def test_variables_for_another_process_are_not_ours(gated):
    s, address = tcp()
    c = gated({"server": {"listen": address}}, wait=False, env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    assert c.wait_exit() == 69, "the address is in use, by this test"
    s.close()
    c.stop(69)


def test_no_connection_is_refused_over_a_restart_under_load(gated):
    public, address = tcp()
    c = activated(gated, [public], {"listen": address, "drain_delay": "0s", "drain_timeout": "60s"})
    c.wait_ready()
    with Load(public.getsockname(), keeping=0, fresh=2) as load:
        for _ in range(5):
            good = load.good
            c.stop()
            c.start()
            kit.wait_for(lambda: load.good > good + 20, "answers of the next server")
        load.stop()
    assert load.refused == 0 and load.failed == [] and load.unserved == 0
    c.stop()
    public.close()
