# SPDX-License-Identifier: Apache-2.0
"""State over reloads: a counter and an open file that go from an instance to its successor while requests run, and what must not disturb
them: starts that fail, storms of signals, files that change under the server, plugins that block, clients that send garbage or never
read."""
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from load import GATE, tiny

import chimera as kit

ROUNDS = 200 if "tsan" in kit.SANITIZERS else 1000


class Life:
    """A server with [t_life] whose reloads are asked for over the control socket, on one connection."""

    def __init__(self, start, tmp_path, sections=None, **kw):
        self.file, self.events = str(tmp_path / "open-file"), str(tmp_path / "events")
        self.c = start(self.config(sections), **kw)
        self.control = kit.Connection(self.c.address("control"))
        assert self.control.ask("GET", "/control/status").status == 200  # the server has taken the connection: it counts as a descriptor

    def config(self, sections=None, **life):
        return {**(sections or {}), "t_life": {"file": self.file, "events": self.events, **life}}

    def reload(self, sections=None, **life):
        """Writes the config and reloads: the answer of the control socket."""
        self.c.write(self.config(sections, **life))
        return self.control.ask("POST", "/control/reload").json()

    def info(self):
        return self.c.get("/life/info").json()

    def said(self):
        with open(self.events, encoding="ascii") as f:
            return f.read().splitlines()

    def serials(self, event):
        return [int(m[1]) for line in self.said() if (m := re.match(rf"{event} (\d+)\b", line))]


@pytest.fixture
def life(chimera, tmp_path):
    made = []

    def start(sections=None, **kw):
        made.append(Life(chimera, tmp_path, sections, **kw))
        return made[-1]
    yield start
    for one in made:
        one.control.close()


class Counting:
    """Clients on connections that they keep, which ask GET /life all the time and keep the numbers that they are told."""

    def __init__(self, address, clients=3):
        self.address, self.numbers, self.failed, self.ending = address, [], [], threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        kit.wait_for(lambda: len(self.numbers) >= 10 or self.failed, "the first answers")
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.ending.set()
        for t in self.threads:
            t.join(kit.DEADLINE)
            assert not t.is_alive(), "a client waits for an answer that does not come"

    def run(self):
        try:
            with kit.Connection(self.address) as c:
                while not self.ending.is_set():
                    r = c.ask("GET", "/life")
                    assert r.status == 200 and r.keeps, r
                    self.numbers.append(int(r.body))
        except (AssertionError, OSError) as e:
            self.failed.append(repr(e))


def test_a_counter_and_an_open_file_live_through_1000_reloads_under_load_half_of_them_of_itself(life):
    one = life()
    c, fixed = one.c, 0
    for i in range(10):  # what a first time costs is no leak
        fixed += i % 2
        assert one.reload(fixed=fixed)["result"] == "ok"
    kit.wait_for(lambda: c.metric("active_connections") <= 2, "only these connections")
    fds, threads, rss = c.descriptors(), c.threads(), c.rss()
    inode = os.stat(one.file).st_ino
    serial = one.info()["serial"]
    with Counting(c.address()) as load:
        for i in range(ROUNDS):
            fixed += i % 2  # every second time its section is another one, else the same
            answer = one.reload(fixed=fixed)
            assert answer["result"] == "ok", answer
        load.stop()
    n = len(load.numbers)
    assert load.failed == [] and n >= ROUNDS / 10, "no request fails"
    assert sorted(load.numbers) == list(range(1, n + 1)), "each answer has counted, once"
    with open(one.file, encoding="ascii") as f:
        assert [int(line) for line in f.read().split()] == list(range(1, n + 1))
    assert os.stat(one.file).st_ino == inode and one.info()["count"] == n
    assert one.info()["serial"] == serial + ROUNDS // 2, "a new instance for each change, and none without"
    kit.wait_for(lambda: len(one.serials("stop")) == one.info()["serial"] - 1, "all old instances to be stopped")
    assert one.serials("adopt") == list(range(2, one.info()["serial"] + 1))
    assert sorted(one.serials("retire")) == sorted(one.serials("stop")) == list(range(1, one.info()["serial"]))
    kit.wait_for(lambda: c.metric("active_connections") <= 2, "the load's connections to end")
    kit.wait_for(lambda: c.descriptors() <= fds, lambda: f"at most {fds} descriptors: {os.listdir(f'/proc/{c.pid}/fd')}")
    kit.wait_for(lambda: c.threads() <= threads, lambda: f"at most {threads} threads")  # one that looks at files comes and goes
    assert c.metric("chimera_hook_errors_total") == 0 and c.metric("chimera_misuse_total") == 0
    print(f"{ROUNDS} reloads, {n} answers, memory {rss >> 10} -> {c.rss() >> 10} KiB")
    if not kit.SANITIZERS:
        assert c.rss() - rss < ROUNDS * 1024, "less than a quarter of a page for each reload"
    one.control.close()
    c.stop()  # LeakSanitizer's word, where it is linked
    assert one.said()[-2:] == [f"total {n} of {n}", f"stop {serial + ROUNDS // 2}"], "the loops' own counters went along, too"


def test_a_reload_key_is_told_and_the_instance_goes_on(life):
    one = life()
    for live in (1, 2, 3):
        answer = one.reload(live=live)
        assert answer["result"] == "ok"
        assert (one.info()["serial"], one.info()["live"]) == (1, live)
    assert [line for line in one.said() if line.startswith("reload")] == [f"reload 1 live {n} rows 0" for n in (1, 2, 3)]
    assert one.reload({"t_life.row": {"n": 5}}, live=3)["result"] == "ok"
    assert one.said()[-1] == "reload 1 live 3 rows 1" and one.info()["rows"] == []
    assert one.reload({"t_life.row": {"n": 5}}, live=4, fixed=1)["result"] == "ok"
    assert one.info() == {"serial": 2, "count": 0, "fixed": 1, "live": 4, "rows": ["row"]}


def test_a_start_that_fails_on_reload_leaves_the_old_one_with_all_it_has(life):
    one = life({"t_echo": {}})
    numbers = [int(one.c.get("/life").body) for _ in range(5)]
    for i in range(20):
        answer = one.reload({"t_echo": {}}, fixed=i + 1, no_start="yes")
        assert answer["result"] == "failed" and any("did not start" in p for p in answer["problems"]), answer
    numbers += [int(one.c.get("/life").body) for _ in range(5)]
    assert numbers == list(range(1, 11))
    assert (one.info()["serial"], one.info()["fixed"]) == (1, 0)
    assert one.serials("adopt") == one.serials("retire") == one.serials("stop") == [], "a config that fails changes nothing"
    kit.wait_for(lambda: len(one.c.said("no_start = yes: it does not start", plugin="t_life")) == 20, "20 lines of the log")
    assert one.reload({"t_echo": {}}, fixed=1)["result"] == "ok"
    assert one.info()["count"] == 10 and one.serials("adopt") == [one.info()["serial"]]


def test_a_check_that_fails_starts_nothing(life):
    one = life()
    answer = one.reload(fixed=-1)
    assert answer["result"] == "failed" and any("fixed" in p and "must not be negative" in p for p in answer["problems"]), answer
    assert one.serials("start") == [1]


@tiny.needs_cc
def test_another_instance_that_fails_stops_what_was_started_before_it(life, tmp_path):
    folder, flag = kit.plugin_folder(str(tmp_path / "p")), tmp_path / "broken"
    tiny.build(folder, "t_moody", tiny.source("t_moody", 'struct conf { int64_t n; };\n'
               'static const struct ch_option opts[] = { CH_OPT(struct conf, n, INT, .help = "n") };\n'
               'static int start(struct ch_self *s, const struct ch_self *prev)\n'
               f'{{ (void)prev; if (access("{flag}", F_OK)) return CH_OK; ch_log(s, 0, CH_ERR, "not today"); return CH_ERROR; }}\n',
               ".start = start, .conf_size = sizeof(struct conf), .options = CH_TABLE(opts)"))
    sections = {"server": {"plugin_dir": folder}}
    one = life({**sections, "t_moody": {}})
    flag.write_text("")

    def both(n):  # t_life stands before t_moody, so it is started before it
        one.c.write({**one.config(sections, fixed=n), "t_moody": {"n": n}})
        return one.control.ask("POST", "/control/reload").json()["result"]
    assert both(1) == "failed"
    assert (one.serials("start"), one.serials("stop"), one.serials("adopt"), one.serials("retire")) == ([1, 2], [2], [], [])
    assert one.info()["serial"] == 1 and one.c.get("/life").body == b"1"
    flag.unlink()
    assert both(2) == "ok" and one.info() | {"rows": 0} == {"serial": 3, "count": 1, "fixed": 2, "live": 0, "rows": 0}


def test_what_an_instance_has_begun_it_ends_and_is_stopped_after_that(life):
    one = life()
    with one.c.connect() as s:
        s.send(kit.request_bytes("GET", "/life/hold"))
        kit.wait_for(lambda: one.c.metric("http_requests_in_progress") >= 2, "the request to begin")
        assert one.reload(fixed=1)["result"] == "ok" and one.reload(fixed=2)["result"] == "ok"
        assert one.info()["serial"] == 3
        kit.wait_for(lambda: one.serials("stop") == [2], "the one in between to be stopped")
        assert one.serials("retire") == [1, 2]
        assert one.c.get("/life/release").status == 200
        assert s.response().body == b"1", "the first instance answers what it was asked"
    kit.wait_for(lambda: one.serials("stop") == [2, 1], "the first to be stopped")


def test_a_storm_of_100_signals_is_few_reloads_and_no_request_notices(life):
    one = life()
    with Counting(one.c.address(), clients=2) as load:
        for i in range(100):
            one.c.signal(signal.SIGHUP)
        assert one.reload(live=77)["result"] == "ok"
        assert one.info()["live"] == 77
        load.stop()
    taken = one.c.metric("chimera_config_reloads_total", result="ok")
    assert load.failed == [] and 1 <= taken <= 101
    assert one.info()["serial"] == 1 and one.serials("adopt") == []


def test_a_storm_from_many_clients_of_the_control_socket_answers_each(life):
    one = life()
    conns = [kit.Connection(one.c.address("control")) for _ in range(30)]
    one.c.write(one.config(live=5))
    for s in conns:
        s.send(kit.request_bytes("POST", "/control/reload"))
    for s in conns:
        r = s.response()
        assert r.status == 200 and r.json()["result"] == "ok", r
        s.close()
    assert one.info()["live"] == 5 and one.c.metric("chimera_config_reloads_total", result="ok") <= 30


# ---- files that change under the server ----------------------------------------------------------------------------------------------

VERSIONED = '''
static int fn(struct ch_self *s, struct ch_ctx *c) { (void)s; return ch_respond(c, 200, 0, "%s", 3); }
static const struct ch_route routes[] = {{ .method = "GET", .pattern = "/version", .fn = fn }};
struct conf { int64_t n; };
static const struct ch_option opts[] = { CH_OPT(struct conf, n, INT, .help = "n") };
'''
FIELDS = ".routes = CH_TABLE(routes), .conf_size = sizeof(struct conf), .options = CH_TABLE(opts)"


@tiny.needs_cc
def test_a_so_that_is_replaced_under_the_running_server_is_not_taken_before_a_restart(chimera, tmp_path):
    folder = kit.plugin_folder(str(tmp_path / "p"))
    tiny.build(folder, "t_version", tiny.source("t_version", VERSIONED % "one", FIELDS))
    c = chimera({"server": {"plugin_dir": folder}, "t_version": {}})
    assert c.get("/version").body == b"one"
    fresh = str(tmp_path / "fresh")
    os.mkdir(fresh)
    tiny.build(fresh, "t_version", tiny.source("t_version", VERSIONED % "two", FIELDS))
    os.rename(os.path.join(fresh, "t_version.so"), os.path.join(folder, "t_version.so"))  # as a package manager does it
    assert c.get("/version").body == b"one"
    for n in (1, 2):
        c.write({"server": {"plugin_dir": folder}, "t_version": {"n": n}})
        with kit.Connection(c.address("control")) as s:
            assert s.ask("POST", "/control/reload").json()["result"] == "ok"
        assert c.get("/version").body == b"one", "the code that was loaded goes on"
    c.wait_said("config reloaded: generation 3")
    (line,) = c.said("t_version.so was replaced since it was loaded", plugin="t_version", lvl="warn")
    assert "a restart takes the new one" in line["msg"], "said once, not at each reload"
    c.stop()
    c.start()
    assert c.get("/version").body == b"two"


def test_a_so_that_is_gone_does_not_keep_a_reload(chimera, tmp_path):
    folder = kit.plugin_folder(str(tmp_path / "p"))
    c = chimera({"server": {"plugin_dir": folder}, "t_echo": {}})
    os.unlink(os.path.join(folder, "t_echo.so"))
    c.write({"server": {"plugin_dir": folder}, "t_echo": {}, "log": {"level": "debug"}})
    with kit.Connection(c.address("control")) as s:
        assert s.ask("POST", "/control/reload").json()["result"] == "ok", "it is loaded"
    assert c.get("/echo/x").header("X-Rest") == "x"


# ---- a plugin that blocks --------------------------------------------------------------------------------------------------------------

def test_a_plugin_that_blocks_a_loop_for_5_s_is_named_within_a_second_everywhere(chimera):
    c = chimera({"server": {"workers": 1}, "t_block": {}})
    patience, tries = 1 if not kit.SANITIZERS else 5, 5  # a busy machine is late now and then, but not each time
    assert c.get("/block?ms=0").status == 200
    for n in range(1, tries + 1):
        began = time.time()
        with c.blocked():
            line = kit.wait_for(lambda n=n: len(c.said("has been blocked for", plugin="t_block", lvl="error")) >= n
                                and c.said("has been blocked for", plugin="t_block")[-1], "the line of the log")
            assert "worker-0" in line["msg"] and "t_block's hook content" in line["msg"] and "use ch_offload" in line["msg"]
            assert c.metric("chimera_loop_blocked_total", plugin="t_block") == n
            took = time.time() - began
            if shutil.which(kit.CHIMERACTL):
                shown = subprocess.run([kit.CHIMERACTL, "-c", c.path, "plugins", "--live"], capture_output=True, text=True,
                                       timeout=kit.DEADLINE, check=True).stdout
                assert any("t_block" in x and "worker-0" in x for x in shown.splitlines()), shown
            kit.wait_for(lambda: c.metric("chimera_loops_stalled") == 1, "the stall to count")
            assert c.get("/health/live", kind="status").status == 503
        kit.wait_for(lambda: c.metric("chimera_loops_stalled") == 0, "the stall to be over")
        assert len(c.said("has been blocked for", plugin="t_block")) == n
        if took < patience:
            return
    raise AssertionError(f"log and metric named it after {took:.2f} s, the last of {tries} times, all over {patience} s")


def test_a_reload_waits_for_a_loop_that_is_blocked_and_says_so(chimera):
    c = chimera({"server": {"workers": 1, "startup_step_timeout": "3s"}, "t_block": {}})
    with c.blocked():
        kit.wait_for(lambda: c.metric("http_requests_in_progress") >= 2, "the request to begin")
        c.signal(signal.SIGHUP)
        c.wait_said("is not done after 3000 ms")
    c.wait_said("config reloaded")


# ---- the control socket ------------------------------------------------------------------------------------------------------------------

GARBAGE = [b"\0" * 1000, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"hello\n" * 1000, b"POST /control/reload HTTP/1.1\r\n\r\n",
           b"GET /control/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
           b"GET /control/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", b"G" * 100000]


def test_garbage_on_the_control_socket_is_refused_and_forgotten(life):
    one = life()
    c = one.c
    before = c.descriptors()
    rnd = kit.seeded()
    for data in [*GARBAGE, *(rnd.randbytes(rnd.randrange(1, 3000)) for _ in range(50))]:
        with kit.Connection(c.address("control"), timeout=kit.DEADLINE) as s:
            s.send(data)
            s.finish()
            got = s.rest()
            assert not got or got.startswith(b"HTTP/1.1 4") or got.startswith(b"HTTP/1.1 5"), got[:200]
    with kit.Connection(c.address("control")) as s:
        assert s.ask("GET", "/control/nosuch").status == 404
        assert s.ask("GET", "/control/reload").status == 405
        assert s.ask("POST", "/control/reload", b"what").status in (200, 400, 413)
    assert one.reload(live=1)["result"] == "ok" and one.info()["serial"] == 1
    kit.wait_for(lambda: c.descriptors() <= before, lambda: f"at most {before} descriptors")


def test_clients_of_the_control_socket_that_never_read_hold_up_nobody(life):
    one = life()
    c = one.c
    stuck = []
    for _ in range(8):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        s.connect(c.address("control"))
        s.setblocking(False)
        stuck.append(s)
    sent = 0
    for _ in range(200):
        for s in stuck:
            try:
                sent += s.send(kit.request_bytes("GET", "/control/plugins") * 5)
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                pass
    assert sent > 1000
    began, rss = time.monotonic(), c.rss()
    for i in range(10):
        assert one.reload(live=i)["result"] == "ok" and one.info()["live"] == i
    assert time.monotonic() - began < kit.DEADLINE / 3
    assert c.rss() - rss < 64 << 20
    for s in stuck:
        s.close()
    c.stop()


def test_a_client_that_leaves_before_its_reload_is_done_takes_nothing_with_it(life):
    one = life()
    one.c.write(one.config(live=9))
    for _ in range(20):
        s = kit.Connection(one.c.address("control"))
        s.send(kit.request_bytes("POST", "/control/reload"))
        s.close()
    kit.wait_for(lambda: one.info()["live"] == 9, "the reload")
    assert one.reload(live=10)["result"] == "ok"


# ---- a start that hangs, a folder that others may write ----------------------------------------------------------------------------------

@tiny.needs_cc
def test_a_start_that_crashes_in_check_mode_is_no_success(tmp_path):
    folder = kit.plugin_folder(str(tmp_path / "p"))
    tiny.build(folder, "t_crash", tiny.source("t_crash", "static int check(struct ch_self *s) { (void)s; abort(); }", ".check = check"))
    path = tmp_path / "c.ini"
    path.write_text(kit.config_text({"server": {"profile": "dev", "plugin_dir": folder, "state_dir": str(tmp_path)}, "t_crash": {}}))
    done = subprocess.run([kit.CHIMERAD, "-t", "-c", str(path)], capture_output=True, timeout=kit.DEADLINE, check=False,
            env=kit.clean_environment())
    assert done.returncode != 0


@tiny.needs_cc
def test_a_plugin_folder_that_became_writable_is_refused_at_the_next_load_and_the_old_config_goes_on(chimera, tmp_path):
    folder = kit.plugin_folder(str(tmp_path / "p"))
    tiny.build(folder, "t_gate", GATE)
    c = chimera({"server": {"plugin_dir": folder}, "t_echo": {}})
    os.chmod(folder, 0o777)
    c.write({"server": {"plugin_dir": folder}, "t_echo": {}, "t_gate": {"open": "x"}})
    with kit.Connection(c.address("control")) as s:
        answer = s.ask("POST", "/control/reload").json()
    assert answer["result"] == "failed" and any("may be written by everybody" in p for p in answer["problems"]), answer
    assert c.get("/echo/x").header("X-Rest") == "x"
    os.chmod(folder, 0o755)
