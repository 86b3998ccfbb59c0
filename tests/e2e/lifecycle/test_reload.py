# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: the new config whole or not at all, and no request notices (FAULTS P4, P5)."""
import json
import os
import signal

import pytest
from load import GATE, Load, tiny

import chimera as kit

ROUNDS = 200 if kit.SANITIZERS else 1000


class Reloads:
    """Counts reloads by the log's lines, of which it reads each once."""

    def __init__(self, c):
        self.c, self.at, self.tail, self.good, self.bad, self.reasons = c, 0, b"", 0, 0, []
        self.look()

    def look(self):
        with open(self.c.errors_path, "rb") as f:
            f.seek(self.at)
            data = f.read()
        self.at += len(data)
        *lines, self.tail = (self.tail + data).split(b"\n")
        for line in lines:
            self.good += b'"msg":"config reloaded' in line
            self.bad += b'"msg":"reload refused' in line
            if b'"lvl":"error"' in line and b"reload refused" not in line:
                self.reasons.append(json.loads(line)["msg"])
        return self.good, self.bad

    def hup(self):
        """One SIGHUP, and waits until it is processed. True: taken."""
        good, bad = self.look()
        self.c.signal(signal.SIGHUP)
        kit.wait_for(lambda: self.look() != (good, bad), "the reload")
        assert self.good + self.bad == good + bad + 1
        return self.good > good


def generation(c):
    with kit.Connection(c.address("control")) as s:
        return s.ask("GET", "/control/status").json()["generation"]


def breakages(c, whole):
    """Ways to have a broken file: functions that make it."""
    def huge():
        with open(c.path, "wb") as f:
            f.truncate(100 << 20)

    def text(t):
        return lambda: c.write(t)
    return [text(whole[: whole.index("[t_gate]") + 5]), text(whole + "[nosuch]\n"), text(whole + "[dryrun]\nlatency = 5 parsecs\n"),
            text(whole.replace("profile = dev", "profile =")), text(whole + "\0\1\2\n"), huge, lambda: os.unlink(c.path),
            text("what\n" * 1000)]


def test_a_thousand_reloads_half_of_them_broken_under_load_fail_no_request_and_leak_nothing(gated):
    c = gated({"dryrun": {}, "ask": {}, "trace": {}})
    c.args = []  # write() must not add to them: this process runs
    with open(c.path, encoding="utf-8") as f:
        whole = f.read()
    broken = breakages(c, whole)
    reloads = Reloads(c)
    for i in range(2 * len(broken)):  # what a first time costs is no leak
        (broken[i % len(broken)] if i % 2 else lambda: c.write(whole))()
        reloads.hup()
    kit.wait_for(lambda: c.metric("active_connections") == 1, "only this one connection")
    fds, rss, threads, first = c.descriptors(), c.rss(), c.threads(), generation(c)
    good0, bad0 = reloads.look()
    with Load(c.address(), keeping=1, fresh=1) as load:
        for i in range(ROUNDS):
            if i % 2:
                broken[i // 2 % len(broken)]()
                assert not reloads.hup(), f"round {i}: a broken file was taken"
            else:
                c.write(whole)
                assert reloads.hup(), f"round {i}: a good file was refused: {reloads.reasons[-1:]}"
        load.stop()
    assert load.failed == [] and load.refused == 0 and load.unserved == 0
    assert (reloads.good - good0, reloads.bad - bad0) == (ROUNDS // 2, ROUNDS // 2)
    assert generation(c) >= first + ROUNDS // 2
    assert c.metric("chimera_config_reloads_total", result="ok") == reloads.good
    assert c.metric("chimera_config_reloads_total", result="failed") == reloads.bad
    assert c.metric("chimera_config_reload_failed") == 1
    kit.wait_for(lambda: c.metric("active_connections") == 1, "the load's connections to end")
    kit.wait_for(lambda: c.descriptors() <= fds, lambda: f"at most {fds} descriptors: {os.listdir(f'/proc/{c.pid}/fd')}")
    kit.wait_for(lambda: c.threads() <= threads, lambda: f"at most {threads} threads")  # one that looks at files comes and goes
    print(f"{ROUNDS} reloads, {load.good} answers, memory {rss >> 10} -> {c.rss() >> 10} KiB")
    if not kit.SANITIZERS:
        assert c.rss() - rss < ROUNDS * 2048, "less than half a page for each reload"


def test_a_storm_of_signals_is_fewer_reloads(gated):
    c = gated()
    for _ in range(200):
        c.signal(signal.SIGHUP)
    c.write({**c.sections, "log": {"level": "debug"}})
    c.signal(signal.SIGHUP)
    kit.wait_for(lambda: level(c) == "debug", "the last config")
    c.wait_said("config reloaded")
    assert 1 <= len(c.said("config reloaded")) <= 201 and c.get("/hello").status == 200


def level(c):
    with kit.Connection(c.address("control")) as s:
        return s.ask("GET", "/control/log-level").json()["level"]


def test_a_refused_reload_says_file_line_and_key_and_changes_nothing(gated):
    c = gated({"log": {"level": "info"}})
    before = generation(c)
    c.write({**c.sections, "log": {"level": "debug", "access": "sometimes"}})
    c.signal(signal.SIGHUP)
    c.wait_said("the old config goes on unchanged")
    (line,) = c.said("[log] access = sometimes")
    assert line["lvl"] == "error" and line["msg"].startswith(c.path + ":") and "all, errors, off" in line["msg"]
    assert level(c) == "info" and generation(c) == before and c.metric("chimera_config_reload_failed") == 1
    c.write({**c.sections, "log": {"level": "debug"}})
    c.signal(signal.SIGHUP)
    c.wait_said("config reloaded")
    assert level(c) == "debug" and c.metric("chimera_config_reload_failed") == 0


@pytest.mark.parametrize("key,value", [("listen", "127.0.0.1:1"), ("status_listen", "127.0.0.1:1"), ("control", "other.sock"),
                                       ("workers", "7"), ("profile", "prod"), ("offload_threads", "9"), ("state_dir", "/tmp")])
def test_what_takes_a_restart_is_refused_by_name(gated, key, value):
    c = gated()
    c.write({**c.sections, "server": {**c.sections["server"], key: value}})
    c.signal(signal.SIGHUP)
    c.wait_said("reload refused")
    (line,) = c.said(f"[server] {key}")
    assert "takes a restart" in line["msg"]
    assert c.get("/hello").status == 200


# An option of a plugin in C, whose change gives the instance a successor.
OPTION = ('struct conf { int64_t n; };\n'
          'static const struct ch_option options[] = { CH_OPT(struct conf, n, INT, .help = "Changes") };\n')


@tiny.needs_cc
def test_a_plugin_that_does_not_start_again_leaves_the_old_one(gated, tmp_path):
    flag = tmp_path / "broken"
    folder = kit.plugin_folder(str(tmp_path / "p"))
    tiny.build(folder, "t_gate", GATE)
    tiny.build(folder, "t_moody", tiny.source(
        "t_moody", OPTION + "static int start(struct ch_self *s, const struct ch_self *p)\n"
        f'{{ if (access("{flag}", F_OK)) return CH_OK; ch_log(s, 0, CH_ERR, "not today"); return CH_ERROR; }}\n'
        "static int fn(struct ch_self *s, struct ch_ctx *c) { return ch_respond(c, 200, 0, s->id, 7); }\n"
        'static const struct ch_route routes[] = {{ .method = "GET", .pattern = "/moody", .fn = fn }};',
        ".conf_size = sizeof(struct conf), .options = CH_TABLE(options), .start = start, .routes = CH_TABLE(routes)"))
    c = gated({"server": {"plugin_dir": folder}, "t_moody": {}})
    flag.write_text("")
    c.write({**c.sections, "t_moody": {"n": 1}})
    c.signal(signal.SIGHUP)
    c.wait_said("reload refused")
    assert c.said("not today", plugin="t_moody") and c.said("[t_moody] did not start")
    assert c.get("/moody").body == b"t_moody"


def test_plugins_come_and_go_by_reload_while_their_requests_run_on(gated):
    c = gated({"dryrun": {}, "ask": {}})
    with c.connect() as s:
        s.send(kit.request_bytes("GET", "/gate"))
        while b"first " not in s.buffer:
            assert s.more()
        c.write({"server": c.sections["server"], "dryrun": {}})
        c.signal(signal.SIGHUP)
        c.wait_said("config reloaded")
        assert c.get("/hello").status == 404 and c.get("/gate").status == 404
        c.open_gate()
        assert s.response().body == b"first last", "the old generation's request"
    c.write(c.sections)
    c.signal(signal.SIGHUP)
    kit.wait_for(lambda: c.get("/hello").status == 200, "the plugin to be back")


def test_reload_during_the_drain_is_too_late(gated):
    c = gated({"server": {"drain_delay": "0s", "drain_timeout": "60s"}})
    with c.connect() as s:
        s.send(kit.request_bytes("GET", "/gate"))
        while b"first " not in s.buffer:
            assert s.more()
        c.signal(signal.SIGTERM)
        c.wait_said("draining: no new connections")
        c.signal(signal.SIGHUP)
        assert c.get("/health/live", kind="status").status == 200
        c.open_gate()
        assert s.response().body == b"first last"
    assert c.wait_exit() == 0 and not c.said("config reloaded")


@tiny.needs_cc
def test_a_reload_that_hangs_is_named_and_does_not_keep_the_server_from_ending(gated, tmp_path):
    flag = tmp_path / "hang"
    folder = kit.plugin_folder(str(tmp_path / "p"))
    tiny.build(folder, "t_gate", GATE)
    tiny.build(folder, "t_hang", tiny.source(
        "t_hang", OPTION + f'static int start(struct ch_self *s, const struct ch_self *p) {{ while (!access("{flag}", F_OK)) usleep(1000); return CH_OK; }}',
        ".conf_size = sizeof(struct conf), .options = CH_TABLE(options), .start = start"))
    c = gated({"server": {"plugin_dir": folder, "startup_step_timeout": "3s"}, "t_hang": {}})  # of each step of the start, too
    flag.write_text("")
    c.write({**c.sections, "t_hang": {"n": 1}})
    c.signal(signal.SIGHUP)
    c.wait_said("the reload's step 'start t_hang' is not done after 3000 ms")
    assert c.get("/hello").status == 200, "the old config goes on"
    c.signal(signal.SIGTERM)
    assert c.wait_exit() == 0 and c.said("stopping without a drain")
