# SPDX-License-Identifier: Apache-2.0
"""The start: what hinders it is one sentence and an exit code, and it can always be ended."""
import json
import os
import pwd
import signal
import socket
import sqlite3
import stat
import sys
import time

import pytest
from load import tiny

sys.path += [os.path.join(os.path.dirname(__file__), "..", folder) for folder in ("config", "storage")]
from ctl import control_path  # noqa: E402
from servers import sqlite  # noqa: E402

import chimera as kit

UNAVAILABLE = 69


def start_of(body):
    return f"static int start(struct ch_self *s) {{ {body} }}"


def touch(path):
    return f'close(creat("{path}", 0600));'


@pytest.fixture
def folder(tmp_path):
    return kit.plugin_folder(str(tmp_path / "p"))


@tiny.needs_cc
def test_a_start_that_hangs_ends_with_the_name_of_its_step(chimera, folder):
    tiny.build(folder, "t_hang", tiny.source("t_hang", start_of("for (;;) pause(); return CH_OK;"), ".start = start"))
    c = chimera({"server": {"plugin_dir": folder, "startup_step_timeout": "3s"}, "t_hang": {}}, wait=False)  # no other step shall be it
    assert c.wait_exit() == UNAVAILABLE
    assert "the startup step 'start t_hang' is not done after 3000 ms" in c.stderr() and "startup_step_timeout" in c.stderr()
    c.stop(UNAVAILABLE)


@tiny.needs_cc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_a_signal_ends_a_start_that_hangs(chimera, folder, tmp_path, number):
    mark = tmp_path / "mark"
    tiny.build(folder, "t_hang", tiny.source("t_hang", start_of(touch(mark) + " for (;;) pause(); return CH_OK;"), ".start = start"))
    c = chimera({"server": {"plugin_dir": folder, "startup_step_timeout": "1h"}, "t_hang": {}}, wait=False)
    kit.wait_for(mark.exists, "the step to hang")
    c.signal(number)
    assert c.wait_exit() == 0
    assert not c.said("ready")


@tiny.needs_cc
def test_a_plugin_that_does_not_start_is_named_and_what_had_started_is_stopped(chimera, folder, tmp_path):
    mark = tmp_path / "stopped"
    tiny.build(folder, "t_first", tiny.source("t_first", f"static void stop(struct ch_self *s) {{ {touch(mark)} }}", ".stop = stop"))
    tiny.build(folder, "t_fails", tiny.source("t_fails", start_of('ch_log(s, 0, CH_ERR, "no luck today"); return CH_ERROR;'),
                                              ".start = start"))
    c = chimera({"server": {"plugin_dir": folder}, "t_first": {}, "t_fails": {}}, wait=False)
    assert c.wait_exit() == UNAVAILABLE
    assert c.said("no luck today", plugin="t_fails") and c.said("[t_fails] did not start")
    assert mark.exists() and not c.said("listening")
    c.stop(UNAVAILABLE)


def test_a_port_in_use_is_one_sentence(chimera):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        address = "127.0.0.1:%d" % s.getsockname()[1]
        c = chimera({"server": {"listen": address}}, wait=False)
        assert c.wait_exit() == UNAVAILABLE
    (line,) = [line for line in c.log if line.get("lvl") in ("error", "warn")]
    assert address in line["msg"] and "another process uses it" in line["msg"]
    c.stop(UNAVAILABLE)


def test_two_servers_do_not_share_a_port_by_mistake(chimera):
    first = chimera({})
    address = "%s:%d" % first.address()
    second = chimera({"server": {"listen": address}}, wait=False)
    assert second.wait_exit() == UNAVAILABLE and second.said(address + " cannot be listened on")
    second.stop(UNAVAILABLE)


def test_an_address_of_another_machine_is_one_sentence(chimera):
    c = chimera({"server": {"listen": "192.0.2.1:80"}}, wait=False)
    assert c.wait_exit() == UNAVAILABLE and c.said("192.0.2.1:80 cannot be listened on")
    c.stop(UNAVAILABLE)


def test_a_unix_socket_serves_clients(gated, tmp_path):
    path = str(tmp_path / "s" / "public.sock")
    c = gated({"server": {"listen": f"unix:{path}, 127.0.0.1:0"}})
    with kit.Connection(path) as s:
        assert s.ask("GET", "/hello").body == b"hello" and s.ask("GET", "/hello").status == 200
    assert c.said("listening", addr=f"unix:{path}")


@pytest.mark.parametrize("which", ["listen", "control"])
def test_the_socket_file_of_a_crash_is_replaced(gated, which):
    server = {"listen": "unix:public.sock" if which == "listen" else "127.0.0.1:0", "control": "control.sock"}
    c = gated({"server": server})
    path = c.address("public" if which == "listen" else "control")
    path = path if os.path.isabs(path) else os.path.join(c.folder, path)
    c.process.kill()
    c.process.wait()
    assert os.path.exists(path)
    c.start()
    with kit.Connection(path) as s:
        assert s.ask("GET", "/openapi.json").status in (200, 404)


def test_a_socket_file_that_somebody_serves_is_left_alone(gated, chimera):
    c = gated({"server": {"control": "control.sock"}})
    second = chimera({"server": {"control": c.address("control")}}, wait=False)
    assert second.wait_exit() == UNAVAILABLE and second.said("control.sock cannot be listened on")
    second.stop(UNAVAILABLE)
    with kit.Connection(c.address("control")) as s:
        assert s.ask("GET", "/control/status").json()["state"] == "ready"


def test_a_file_in_the_place_of_the_socket_is_not_removed(chimera, tmp_path):
    (tmp_path / "precious").write_text("data")
    c = chimera({"server": {"control": str(tmp_path / "precious")}}, wait=False)
    assert c.wait_exit() == UNAVAILABLE and (tmp_path / "precious").read_text() == "data"
    c.stop(UNAVAILABLE)


def test_what_is_sent_to_the_control_socket_does_not_disturb(gated):
    c = gated({"server": {"control": "control.sock"}})
    path = c.address("control")
    silent = [kit.Connection(path) for _ in range(20)]
    unread = []
    for _ in range(10):  # clients that ask without end and never read
        s = kit.Connection(path)
        s.sock.setblocking(False)
        try:
            for _ in range(10000):
                s.sock.send(kit.request_bytes("GET", "/control/plugins") * 10)
        except BlockingIOError:
            pass
        unread.append(s)
    for garbage in (b"\0" * 1000, b"GET / SPDY/9\r\n\r\n", os.urandom(5000), b"\x16\x03\x01\x02\x00", b"A" * 100000):
        with kit.Connection(path) as s:
            s.send(garbage)
            s.finish()
            s.rest()
    with kit.Connection(path) as s:
        assert s.ask("GET", "/control/status").json()["state"] == "ready"
        assert s.ask("POST", "/control/log-level", b"loud").status == 400
        assert s.ask("GET", "/control/log-level").json()["level"] == "info"
    assert c.get("/hello").status == 200
    kit.wait_for(lambda: c.metric("chimera_loops_stalled") == 0, "no loop to stand")  # but with the whole machine
    for s in silent + unread:
        s.close()


def test_start_to_ready(tmp_path, plugins, chimera):
    times = []
    for _ in range(3):
        begin = time.monotonic()
        c = chimera({"trace": {}, "dryrun": {}, "ask": {}})
        times.append(time.monotonic() - begin)
        inside = c.said("ready")[0]["startup_s"]
        c.stop()
    print(f"start to ready: {min(times) * 1e3:.1f} ms outside, {inside * 1e3:.1f} ms inside")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_what_a_server_makes_belongs_to_the_user_that_it_becomes(chimera, tmp_path):
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    c = chimera({"server": {"user": "nobody"}, "health": {}, "ask": {}, "dryrun": {}, "storage_sqlite": {}, "records": {}})
    nobody = pwd.getpwnam("nobody").pw_uid
    body = json.dumps({"model": "dryrun", "prompt": "hello"}).encode()
    assert c.request("POST", "/v1/ask", body, headers=[("Content-Type", "application/json")]).status == 200
    state = os.path.dirname(control_path(c))
    made = [os.path.join(folder, name) for folder, _, names in os.walk(state) for name in names]
    assert {os.path.basename(p) for p in made} >= {"chimera.db", "control.sock"}
    assert {p: os.stat(p).st_uid for p in made if os.stat(p).st_uid != nobody} == {}

    def row():
        try:
            return sqlite(os.path.join(state, "chimera.db"), "SELECT count(*) FROM inference_records") == [(1,)]
        except sqlite3.OperationalError:  # the table is made behind the start
            return False
    kit.wait_for(row, "the row in the database")
    assert c.get("/ready", kind="status").status == 200
