# SPDX-License-Identifier: Apache-2.0
"""chimeractl: verbs without and with a server, for people and for programs, and its exit codes."""
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import ctl
import pytest
import tiny

import chimera as kit

pytestmark = ctl.needs_ctl
OK, USAGE, UNAVAILABLE, NOPERM, CONFIG_ERROR = 0, 64, 69, 77, 78
CONFIG = {"trace": {}, "dryrun": {}, "ask": {}}


@pytest.fixture
def run(server):
    """chimeractl with the config of the module's server: the result, whose exit code must be `code`."""
    def go(*args, code=OK, **kw):
        done = ctl.run_chimeractl("-c", server.path, *args, **kw)
        assert done.returncode == code, done
        if code != OK:
            assert done.stderr.startswith("chimeractl: ") and done.stderr.count("\n") == 1 and not done.stdout, done
        return done
    return go


def columns(text):
    """The words of a table that ends at an empty line."""
    return [line.split() for line in text.split("\n\n")[0].splitlines()]


# ---- without a server ----------------------------------------------------------------------------------------------------------

def test_check_says_what_the_daemon_says(run, server, tmp_path):
    assert run("check").stderr == f"{server.path}: ok\n"
    assert json.loads(run("--json", "check").stdout) == []
    (tmp_path / "bad.ini").write_text("[server]\nprofile = dev\nwrokers = 1\n[nosuch]\n")
    bad = ctl.run_chimeractl("-c", tmp_path / "bad.ini", "check")
    assert bad.returncode == CONFIG_ERROR
    assert bad.stderr == kit.run_chimerad("-c", tmp_path / "bad.ini", "-t").stderr and bad.stderr.count("error: ") == 2
    problems = json.loads(ctl.run_chimeractl("-c", tmp_path / "bad.ini", "--json", "check").stdout)
    assert [(p["level"], p["line"]) for p in problems] == [("error", 3), ("error", 4)]
    assert problems[0]["section"] == "server" and problems[0]["key"] == "wrokers" and "nosuch" in problems[1]["message"]


def test_dump_is_the_daemon_s(run, server):
    assert run("dump").stdout == kit.run_chimerad("-c", server.path, "-T").stdout
    dump = json.loads(run("dump", "--json").stdout)
    assert dump["server"]["profile"]["value"] == "dev"
    assert [i["id"] for i in dump["instances"]][-3:] == ["trace", "dryrun", "ask"]


def test_plugins_shows_hooks_services_and_routes_without_a_server(run):
    doc = json.loads(run("plugins", "--json", "-o", "server.control=/nowhere").stdout)
    by_id = {p["id"]: p for p in doc["plugins"]}
    assert by_id["dryrun"]["provides"] == ["inference/1"] and by_id["dryrun"]["abi"] == "0.5"
    assert list(doc["chains"]) == ["headers", "auth", "limit", "body", "content", "response", "end", "call", "call_end"]
    assert doc["chains"]["headers"] == ["trace"]
    assert {"method": "POST", "pattern": "/v1/ask", "id": "ask"} in doc["routes"]
    text = run("plugins").stdout
    assert columns(text)[0] == ["id", "plugin", "version", "abi", "provides", "summary"]
    assert ["headers", "trace"] in [line.split() for line in text.splitlines()]
    assert ["POST", "/v1/ask", "ask"] in [line.split() for line in text.splitlines()]


def test_plugins_live_is_what_the_server_has(run):
    live = json.loads(run("plugins", "--live", "--json").stdout)
    assert {h["id"] for h in live.pop("hooks")} <= {p["id"] for p in live["plugins"]}
    assert live == json.loads(run("plugins", "--json").stdout)


def test_plugins_live_tells_what_hooks_have_cost(run, server):
    def hooks():
        return {h["hook"]: h for h in json.loads(run("plugins", "--live", "--json").stdout)["hooks"] if h["id"] == "trace"}
    before = hooks()["headers"]
    for _ in range(400):
        server.get("/v1/nothing")
    after = hooks()
    assert 400 <= after["headers"]["calls"] - before["calls"] < 410 and after["headers"]["errors"] == 0
    assert all(h["stalled"] == [] for h in after.values())
    timed = [h for h in after.values() if h["timed"]]  # each 61st call of a loop, whosever it is
    assert timed and all(0 <= h["mean_seconds"] <= h["worst_seconds"] * 1.1 for h in timed)
    assert all(h["mean_seconds"] is None and h["worst_seconds"] is None for h in after.values() if not h["timed"])
    rows = [line.split() for line in run("plugins", "--live").stdout.split("\n\n")[3].splitlines()]
    assert rows[0] == "id hook calls errors over budget mean worst stalled now".split()
    assert [r[:2] for r in rows[1:]].count(["trace", "headers"]) == 1


def test_a_hook_that_blocks_a_loop_is_named_while_it_does(chimera):
    c = chimera({"server": {"workers": "1"}, "t_block": {}})

    def stalled():
        hooks = c.get("/control/plugins", kind="control").json()["hooks"]
        return [h for h in hooks if h["stalled"]]

    with c.blocked():
        (hook,) = kit.wait_for(stalled, "the stall")
        assert (hook["id"], hook["hook"], hook["stalled"]) == ("t_block", "content", ["worker-0"])
        text = ctl.run_chimeractl("-c", c.path, "plugins", "--live").stdout
        assert [line.split()[-1] for line in text.splitlines() if line.startswith("t_block  content")] == ["worker-0"]
    kit.wait_for(lambda: not stalled(), "the end of the stall")


def test_hooks_stand_in_the_order_of_their_chain(tmp_path):
    if not tiny.shutil.which(tiny.CC):
        pytest.skip("there is no compiler")
    folder = tmp_path / "p"
    folder.mkdir(mode=0o755)
    for name, hook in (("t_last", ".band = CH_LATE"), ("t_b", ""), ("t_a", '.before = "t_b"'), ("t_first", ".band = CH_EARLY")):
        tiny.build(folder, name, tiny.source(name, "static int fn(struct ch_self *s, struct ch_ctx *c) { return CH_OK; }\n"
                                             f"static const struct ch_hook hooks[] = {{{{ .phase = CH_P_AUTH, .fn = fn, {hook} }}}};",
                                             ".hooks = CH_TABLE(hooks)"))
    (tmp_path / "c.ini").write_text(f"[server]\nprofile = dev\nplugin_dir = {folder}\n[t_last]\n[t_b]\n[t_a]\n[t_first]\n")
    done = ctl.run_chimeractl("-c", tmp_path / "c.ini", "plugins")
    assert "auth      t_first, t_a, t_b, t_last\n" in done.stdout, done


def test_plugins_of_a_wrong_config_is_78(tmp_path):
    (tmp_path / "c.ini").write_text("[nosuch]\n")
    done = ctl.run_chimeractl("-c", tmp_path / "c.ini", "plugins")
    assert done.returncode == CONFIG_ERROR and "nosuch" in done.stderr and not done.stdout


def test_options_of_a_plugin_and_of_the_daemon(run):
    assert "answer_tokens" in run("options", "dryrun").stdout
    assert "CHIMERA__SERVER__DRAIN_TIMEOUT" in run("options", "server").stdout
    assert {o["name"] for o in json.loads(run("options", "log", "--json").stdout)["options"]} >= {"level", "target", "format", "access"}
    names = columns(run("options").stdout)
    assert [n[0] for n in names[:3]] == ["plugin", "server", "log"] and "dryrun" in [n[0] for n in names]
    assert {"dryrun", "server"} <= {p["plugin"] for p in json.loads(run("options", "--json").stdout)}


@pytest.mark.parametrize("name,words", [("dryrn", "did you mean dryrun"), ("qqqqqqqq", "dryrun, "), ("../dryrun", "there is no plugin"),
                                        (".", "there is no plugin")])
def test_options_of_a_wrong_name_tells_the_nearest(run, name, words):
    assert words in run("options", name, code=USAGE).stderr


def test_options_do_not_need_a_right_config(tmp_path, plugins):
    (tmp_path / "c.ini").write_text(f"[server]\nplugin_dir = {plugins}\nwrokers = 1\n[nosuch]\n")
    assert ctl.run_chimeractl("-c", tmp_path / "c.ini", "options", "dryrun").returncode == OK


def test_version(run):
    assert run("version").stdout.startswith("chimera ") and run("--version").stdout == run("version").stdout
    v = json.loads(run("version", "--json").stdout)
    assert v["abi"] == "0.5" and kit.run_chimerad("-V").stdout == f"chimerad {v['version']}\n"


def test_man_is_roff_for_each_plugin(plugins):
    done = ctl.run_chimeractl("-o", f"server.plugin_dir={plugins}", "-o", "server.profile=dev", "man")
    assert done.returncode == OK, done
    for name in ("server", "log", "dryrun", "trace"):
        assert f".SS [{name}]\n" in done.stdout
    assert "\n.TP\n.B drain_timeout\n" in done.stdout.replace("\\", "")


@pytest.mark.parametrize("args,words", [
    ([], "usage"), (["stats"], "did you mean status"), (["--nosuch", "status"], "nosuch"), (["status", "surplus"], "status"),
    (["log"], "level [LEVEL]"), (["log", "levle", "--socket", "/x"], "levle"),
    (["log", "level", "loud", "--socket", "/x"], "debug, info, warn and error"), (["log", "level", "info", "more"], "log"),
    (["-c"], "requires an argument"), (["check", "--live"], "--live"), (["-o"], "requires an argument"),
])
def test_a_wrong_command_line_is_64(args, words):
    done = ctl.run_chimeractl(*args)
    assert done.returncode == USAGE and words in done.stderr and not done.stdout, done


@pytest.mark.parametrize("verb", ["check", "dump", "plugins", "options", "status", "run", "reload", "log", "version", "help", "man"])
def test_each_verb_has_help(verb):
    for args in ([verb, "--help"], ["-h", verb]):
        done = ctl.run_chimeractl(*args)
        assert done.returncode == OK and done.stdout.startswith("usage: chimeractl") and f" {verb}" in done.stdout.splitlines()[0], done


def test_help_names_the_verbs_but_the_hidden_one():
    done = ctl.run_chimeractl("--help")
    assert done.returncode == OK and not done.stderr
    verbs = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and not line.strip().startswith("-")]
    assert verbs == ["check", "dump", "plugins", "options", "status", "run", "reload", "log", "version", "help", "COMMAND"]


def test_a_missing_config_is_78(tmp_path):
    for verb in (["check"], ["status"], ["plugins"], ["reload"], ["run"], ["run", "trace", "x"]):
        assert ctl.run_chimeractl("-c", tmp_path / "none.ini", *verb).returncode == CONFIG_ERROR


def test_output_that_cannot_be_written_is_no_success(server):
    with open("/dev/full", "w", encoding="ascii") as full:
        code = subprocess.run([kit.CHIMERACTL, "-c", server.path, "dump"], stdout=full, stderr=subprocess.DEVNULL, check=False).returncode
    assert code == 71


# ---- with a server --------------------------------------------------------------------------------------------------------------

def test_status(run, server):
    s = json.loads(run("status", "--json").stdout)
    assert s["state"] == "ready" and s["profile"] == "dev" and s["workers"] == kit.WORKERS and s["generation"] == 1
    assert {loop["name"] for loop in s["loops"]} == {"house", *(f"worker-{i}" for i in range(kit.WORKERS))}
    words = dict((line.split(None, 1) for line in run("status").stdout.split("\n\n")[0].splitlines()))
    assert words["state"] == "ready" and words["workers"] == str(kit.WORKERS) and words["version"] == s["version"]


def test_status_needs_no_right_config_but_its_server_section(run, server, tmp_path):
    (tmp_path / "c.ini").write_text(f"[server]\ncontrol = {ctl.control_path(server)}\nwrokers = 9\n[nosuch]\n")
    assert ctl.run_chimeractl("-c", tmp_path / "c.ini", "status").returncode == OK
    assert ctl.run_chimeractl("--socket", ctl.control_path(server), "status").returncode == OK


def test_the_log_level_is_shown_and_set_at_once(run, server):
    assert run("log", "level").stdout == "info\n"
    assert run("log", "level", "debug").stdout == "debug\n"
    assert json.loads(run("log", "level", "--json").stdout) == {"level": "debug"}
    assert run("log", "level", "info").stdout == "info\n"


def test_reload_shows_what_has_changed(chimera):
    c = chimera({"dryrun": {"latency": "1ms"}, "trace": {}})

    def reload(sections, *args, code=OK):
        c.write(sections)
        done = ctl.run_chimeractl("-c", c.path, *args, "reload")
        assert done.returncode == code, done
        return done
    done = reload({"dryrun": {"latency": "2ms"}, "trace": {}, "ask": {}, "server": {"write_timeout": "31s"}})
    assert done.stdout == ("~ [server] write_timeout: 30s -> 31s\n~ [dryrun] latency: 1ms -> 2ms\n+ [ask]\nreloaded: generation 2\n")
    done = reload({"dryrun": {"latency": "2ms"}, "ask": {}, "server": {"write_timeout": "31s"}})
    assert done.stdout == "- [trace]\nreloaded: generation 3\n" and not done.stderr
    doc = json.loads(reload({"dryrun": {"latency": "2ms"}, "ask": {}, "server": {"write_timeout": "31s"}}, "--json").stdout)
    assert doc["result"] == "ok" and doc["generation"] == 4 and doc["changes"] == []


def test_a_reload_that_is_refused_is_78_and_says_why(chimera):
    c = chimera({"dryrun": {}})
    c.write({"dryrun": {"latency": "5 parsecs"}, "server": {"wrokers": "3"}})
    wrong = kit.run_chimerad("-c", c.path, "-t").stderr
    done = ctl.run_chimeractl("-c", c.path, "--socket", ctl.control_path(c), "reload")
    assert done.returncode == CONFIG_ERROR and not done.stdout, done
    assert done.stderr == wrong + "chimeractl: the server has refused the new config and goes on with the old one, generation 1\n"
    done = ctl.run_chimeractl("--json", "--socket", ctl.control_path(c), "reload")
    assert done.returncode == CONFIG_ERROR and json.loads(done.stdout)["problems"] == wrong.splitlines() and not done.stderr


def test_colours_are_for_terminals_that_want_them(server):
    def through_a_terminal(**env):
        master, slave = pty.openpty()
        env = kit.clean_environment({"TERM": "xterm", **env})
        with subprocess.Popen([kit.CHIMERACTL, "-c", server.path, "status"], stdout=slave, env=env) as p:
            assert p.wait(kit.DEADLINE) == 0
        os.close(slave)
        data = os.read(master, 65536)
        os.close(master)
        return data
    assert b"\x1b[32mready" in through_a_terminal()
    assert b"\x1b" not in through_a_terminal(NO_COLOR="1")
    assert b"\x1b" not in through_a_terminal(TERM="dumb")


def test_without_a_server_it_is_69_and_says_why(chimera):
    c = chimera({"server": {"control": "control.sock"}})
    assert ctl.run_chimeractl("-c", c.path, "status").returncode == OK
    c.stop()
    for verb in (["status"], ["log", "level"], ["plugins", "--live"], ["reload"]):
        done = ctl.run_chimeractl("-c", c.path, *verb)
        assert done.returncode == UNAVAILABLE and ctl.control_path(c) in done.stderr and "does not run" in done.stderr, done
        assert done.stderr.count("\n") == 1 and not done.stdout


def test_a_socket_without_a_listener_is_69(tmp_path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "s"))
        assert ctl.run_chimeractl("--socket", tmp_path / "s", "status").returncode == UNAVAILABLE
    (tmp_path / "f").write_text("")
    assert ctl.run_chimeractl("--socket", tmp_path / "f", "status").returncode == UNAVAILABLE


@pytest.mark.parametrize("answer,words", [
    (b"220 mail.example.org ESMTP\r\n", "no HTTP"),
    (b"", "before its answer is whole"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", "no JSON"),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "before its answer is whole"),
])
def test_a_socket_that_is_not_ours_is_69(tmp_path, answer, words):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "s"))
        s.listen()

        def serve():
            peer, _ = s.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(answer)
        thread = threading.Thread(target=serve)
        thread.start()
        done = ctl.run_chimeractl("--socket", tmp_path / "s", "status")
        thread.join()
    assert done.returncode == UNAVAILABLE and words in done.stderr and done.stderr.count("\n") == 1, done


def test_a_server_that_hangs_is_given_up_after_five_seconds(chimera):
    c = chimera({"server": {"control": "control.sock"}})
    c.signal(signal.SIGSTOP)
    kit.wait_for(c.stopped, "all of its threads to stop")
    try:
        done = ctl.run_chimeractl("-c", c.path, "status")
    finally:
        c.signal(signal.SIGCONT)
    assert done.returncode == UNAVAILABLE and "does not answer within 5 s" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_a_socket_of_somebody_else_is_77(server):
    with tempfile.TemporaryDirectory() as folder:  # the build's own folder may be closed to others
        os.chmod(folder, 0o755)
        program = shutil.copy(kit.CHIMERACTL, folder)
        done = subprocess.run([program, "--socket", ctl.control_path(server), "status"], user=65534, group=65534, extra_groups=[],
                              capture_output=True, text=True, env=kit.clean_environment(), check=False, cwd="/")
    assert done.returncode == NOPERM and "not for this user" in done.stderr, done


def test_the_control_socket_is_its_owner_s_alone(server):
    assert os.stat(ctl.control_path(server)).st_mode & 0o777 == 0o600


def test_control_routes_answer_nowhere_else(server):
    for kind in ("public", "status"):
        assert server.get("/control/status", kind=kind).status in (403, 404)
