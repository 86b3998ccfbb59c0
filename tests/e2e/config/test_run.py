# SPDX-License-Identifier: Apache-2.0
"""Commands of plugins: chimeractl run in the server, and without one in a process that starts only what is needed."""
import errno
import fcntl
import hashlib
import json
import os
import pty
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time

import ctl
import pytest

import chimera as kit

pytestmark = ctl.needs_ctl
OK, REFUSED, USAGE, UNAVAILABLE, BROKEN, OSERR, CONFIG_ERROR, SIGNALLED = 0, 1, 64, 69, 70, 71, 78, 130
CONFIG = {"t_service": {}, "t_command": {"service": "t_service"}, "t_command:other": {}}
VERBS = ["echo", "slow", "refuse", "broken", "big", "flood", "live", "offline", "all", "twice", "loops", "ticks", "deaf", "far"]


class Running:
    """A chimeractl that runs while the test looks."""

    def __init__(self, path, *args, stdout=subprocess.PIPE):
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen([kit.CHIMERACTL, "-c", path, *map(str, args)], stdin=subprocess.DEVNULL, stdout=stdout,
                                        stderr=subprocess.PIPE, env=kit.clean_environment(), bufsize=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self):
        assert select.select([self.process.stdout], [], [], kit.DEADLINE)[0], "waited in vain for a line"
        return self.process.stdout.readline().decode()

    def end(self):
        """Exit code, the rest of the output, errors."""
        out, err = self.process.communicate(timeout=kit.DEADLINE)
        assert not kit.REPORTS.search(err), err.decode()
        return self.process.returncode, (out or b"").decode(), err.decode()


def go(c, *args, code=OK, **kw):
    done = ctl.run_chimeractl("-c", c.path, *args, **kw)
    assert done.returncode == code, done
    return done


@pytest.fixture
def away(tmp_path, plugins):
    """A config of a server that does not run."""
    def make(sections=None, **kw):
        folder = tmp_path / "away"
        folder.mkdir()
        return kit.Chimera(folder, plugins, CONFIG if sections is None else sections, **kw)
    return make


@pytest.fixture(params=["live", "offline"])
def either(request):
    """A config whose commands run in its server, or in a process of their own."""
    return request.getfixturevalue("server") if request.param == "live" else request.getfixturevalue("away")()


def exists(path):
    return kit.wait_for(lambda: os.path.exists(path), f"{path}")


# ---- both ways ------------------------------------------------------------------------------------------------------------------

def test_commands_are_listed(either):
    rows = json.loads(go(either, "run", "--json").stdout)["commands"]
    assert [(r["instance"], r["name"]) for r in rows] == [(i, v) for i in ("t_command", "other") for v in VERBS]
    assert {r["name"]: r["modes"] for r in rows if r["instance"] == "other"} == {
        **{v: ["live", "offline"] for v in VERBS}, "live": ["live"], "offline": ["offline"],
        "all": ["live", "offline", "each"]}
    lines = [line.split(None, 3) for line in go(either, "run", "other").stdout.splitlines()]
    assert lines[0][:3] == ["instance", "command", "arguments"] and [w[:2] for w in lines[1:]] == [["other", v] for v in VERBS]
    assert json.loads(go(either, "run", "other", "--json").stdout)["commands"] == rows[len(VERBS):]
    assert "did you mean t_command" in go(either, "run", "t_comand", code=USAGE).stderr


def test_every_word_behind_the_command_is_its_own(either):
    words = ["a", "", "b c", "-x", "--json", "--", "-c", "\"q\\", "ä\n€", "--help"]
    assert go(either, "run", "t_command", "echo", *words).stdout == "".join(w + "\n" for w in words)
    assert go(either, "run", "t_command", "echo", "--", *words).stdout == "".join(w + "\n" for w in words)
    assert go(either, "run", "--", "t_command", "echo", "-x").stdout == "-x\n"
    many = [str(i) for i in range(20000)]
    assert go(either, "run", "t_command", "echo", *many).stdout.split() == many


def test_help_of_a_command(either):
    assert go(either, "run", "t_command", "twice", "--help").stdout == (
        "usage: chimeractl run t_command twice NUMBER MS\n\nAsk a service.\nRuns live, offline.\n")
    go(either, "run", "t_command", "nosuch", "--help", code=USAGE)


@pytest.mark.parametrize("args,code,out,err", [
    (["echo"], OK, "", ""),
    (["refuse", "because of that"], REFUSED, "before\n", "chimeractl: because of that\n"),
    (["broken"], BROKEN, "", "is a bug in the plugin"),
    (["broken", "later"], BROKEN, "", "is a bug in the plugin"),
    (["twice", "21"], USAGE, "", "'twice' takes NUMBER MS, and one argument was given\n"),
    (["twic", "21", "0"], USAGE, "", "did you mean twice?"),
    (["twice", "21", "0"], OK, "42\n", ""),
    (["twice", "21", "5"], OK, "42\n", ""),
])
def test_exit_codes_and_who_says_what(either, args, code, out, err):
    done = go(either, "run", "t_command", *args, code=code)
    assert done.stdout == out and (err in done.stderr if err else not done.stderr)


@pytest.mark.parametrize("args,words", [
    (["nosuch", "echo"], "nosuch"), (["../control", "echo"], "no name of an instance"), (["t_command", "echo?x"], "no name of a command"),
    (["t_command", ""], "no name of a command"), (["core", "echo"], "core"),
])
def test_names_that_are_none_are_64(either, args, words):
    done = go(either, "run", *args, code=USAGE)
    assert words in done.stderr and done.stderr.count("\n") == 1 and not done.stdout


def test_json_is_passed_through(either):
    def lines(*args, code=OK):
        done = go(either, "--json", "run", "t_command", *args, code=code)
        return [doc for doc in map(json.loads, done.stdout.splitlines()) if doc != {"out": ""}]
    assert lines("echo", "a", "ä\n") == [{"out": "a\n"}, {"out": "ä\n\n"}, {"exit": 0}]
    assert lines("refuse", "so", code=REFUSED) == [{"out": "before\n"}, {"exit": 1, "error": "so"}]


def test_output_shows_at_once(either, tmp_path):
    with Running(either.path, "run", "t_command", "slow", tmp_path / "gate") as r:
        assert r.line() == "waiting\n"
        assert r.process.poll() is None
        (tmp_path / "gate").write_text("")
        assert r.end() == (OK, "done\n", "")


def test_much_output_comes_whole(either):
    mib = 20
    whole = "".join(f"{'w':<48}{i:015d}\n" for i in range(mib << 14)).encode()
    with Running(either.path, "run", "t_command", "big", mib, "w") as r:
        out = r.process.stdout.read()
        assert hashlib.sha256(out).digest() == hashlib.sha256(whole).digest()
        assert r.end() == (OK, "", "")


def test_a_reader_that_has_enough_is_no_error(either):
    with Running(either.path, "run", "t_command", "big", 20) as r:
        assert r.line().startswith("line ")
        r.process.stdout.close()
        code = r.process.wait(kit.DEADLINE)
        assert code in (OK, -signal.SIGPIPE) and not r.process.stderr.read()


def test_output_that_cannot_be_written_is_71(either):
    with open("/dev/full", "w", encoding="ascii") as full, Running(either.path, "run", "t_command", "big", 1, stdout=full) as r:
        code, _, err = r.end()
    assert code == OSERR and "the output cannot be written" in err and err.count("\n") == 1


# ---- how far it is --------------------------------------------------------------------------------------------------------------

STEPS = 60  # of 5 ms


def test_json_tells_how_far_it_is_ten_times_a_second_and_at_last(either, tmp_path):
    (tmp_path / "gate").write_text("")
    began = time.monotonic()
    done = go(either, "--json", "run", "t_command", "far", STEPS, tmp_path / "gate")
    took = time.monotonic() - began
    docs = [doc for doc in map(json.loads, done.stdout.splitlines()) if doc != {"out": ""}]
    far = [doc["progress"] for doc in docs if "progress" in doc]
    assert far[0] == {"done": 1, "total": STEPS, "what": "steps"} and far[-1]["done"] == STEPS
    assert [f["done"] for f in far] == sorted({f["done"] for f in far})
    assert 3 <= len(far) <= took * 10 + 2
    assert docs[-2:] == [{"out": "done\n"}, {"exit": 0}] or docs[-3:-2] == [{"out": "done\n"}] and docs[-1] == {"exit": 0}


def test_who_is_no_terminal_sees_no_bar(either, tmp_path):
    (tmp_path / "gate").write_text("")
    done = go(either, "run", "t_command", "far", STEPS, tmp_path / "gate")
    assert done.stdout == "done\n" and not done.stderr


class Terminal:
    """A terminal of 80 columns, for a process's stderr."""

    def __init__(self):
        self.own, self.other = pty.openpty()
        fcntl.ioctl(self.own, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.seen = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.own)
        if self.other is not None:
            os.close(self.other)

    def given(self):
        os.close(self.other)
        self.other = None

    def read_until(self, text):
        """text None: to the end."""
        while text is None or text not in self.seen:
            assert select.select([self.own], [], [], kit.DEADLINE)[0], f"waited in vain for {text!r}: {self.seen!r}"
            try:
                self.seen += os.read(self.own, 4096).decode()
            except OSError as e:
                assert e.errno == errno.EIO and text is None, f"no {text!r}: {self.seen!r}"
                return


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_terminal_sees_a_bar_until_there_is_something_else(either, tmp_path, term):
    with Terminal() as t, subprocess.Popen(
            [kit.CHIMERACTL, "-c", either.path, "run", "t_command", "far", str(STEPS), tmp_path / "gate"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=t.other, env=kit.clean_environment({"TERM": term})) as p:
        t.given()
        if term == "xterm":
            t.read_until("%\x1b[K\r")
        (tmp_path / "gate").write_text("")
        assert p.communicate(timeout=kit.DEADLINE)[0] == b"done\n" and p.returncode == OK
        t.read_until(None)
    if term == "dumb":
        assert not t.seen
        return
    drawn = t.seen.split("\r")
    bars = [line for line in drawn if line.startswith("steps  [")]
    assert bars[0] == "steps  [" + "-" * 39 + "]   1%\x1b[K" and all(len(line) <= 79 + len("\x1b[K") for line in bars)  # 1 of 60
    assert len(bars) >= 3 and t.seen.endswith("\r\x1b[K\r")  # nothing is left of it


# ---- commands as verbs ----------------------------------------------------------------------------------------------------------

@pytest.fixture(params=["live", "offline"])
def alone(request, plugins, tmp_path):
    """A config with one instance that has commands, in a server or not."""
    config = {"t_service": {}, "t_command": {"service": "t_service"}}
    if request.param == "live":
        return request.getfixturevalue("chimera")(config)
    return request.getfixturevalue("away")(config)


def test_a_command_of_one_instance_is_a_verb(alone):
    words = ["a", "-x", "--json", "--", "-c", "ä"]
    assert go(alone, "echo", *words).stdout == "".join(w + "\n" for w in words)
    assert go(alone, "twice", "21", "0").stdout == "42\n"
    assert go(alone, "refuse", "so", code=REFUSED).stderr == "chimeractl: so\n"
    assert '{"out":"x\\n"}\n' in go(alone, "--json", "echo", "x").stdout
    assert "'twice' takes NUMBER MS" in go(alone, "twice", code=USAGE).stderr
    usage = "usage: chimeractl run t_command twice NUMBER MS\n\nAsk a service.\nRuns live, offline.\n"
    assert go(alone, "twice", "--help").stdout == go(alone, "help", "twice").stdout == go(alone, "-h", "twice").stdout == usage


def test_a_verb_that_is_none_gets_the_nearest_of_all(alone):
    assert go(alone, "twic", "1", "2", code=USAGE).stderr == "chimeractl: 'twic' is no verb; did you mean twice: see chimeractl --help\n"
    assert "did you mean status:" in go(alone, "statu", code=USAGE).stderr
    assert go(alone, "zzzzzzzz", code=USAGE).stderr == "chimeractl: 'zzzzzzzz' is no verb: see chimeractl --help\n"
    assert "'../x' is no verb" in go(alone, "../x", code=USAGE).stderr
    assert "--live is for plugins" in go(alone, "--live", "echo", code=USAGE).stderr


def test_a_command_of_several_instances_is_no_verb(either):
    assert go(either, "echo", "x", code=USAGE).stderr == (
        "chimeractl: 2 instances have a command 'echo' (t_command, other): say whose, as in chimeractl run t_command echo\n")


def test_a_command_of_each_instance_is_a_verb_that_runs_in_all_and_fails_if_one_does(either):
    assert go(either, "all").stdout == "t_command:\nt_command\n\nother:\nother\n"
    done = go(either, "all", "t_command", code=REFUSED)
    assert done.stdout == "t_command:\nt_command\n\nother:\nother\n" and done.stderr == "chimeractl: not in t_command\n"
    assert go(either, "run", "other", "all").stdout == "other\n"
    assert '"modes":["live","offline","each"]' in go(either, "--json", "run").stdout


def test_a_verb_runs_where_run_would(away, chimera):
    config = {"t_command": {}}
    c = away(config)
    assert "'live' needs the running server" in go(c, "live", code=UNAVAILABLE).stderr
    assert go(c, "offline").stdout == "t_command\n"
    c = chimera(config)
    assert go(c, "live").stdout == "t_command\n"
    assert "stop the server first" in go(c, "offline", code=UNAVAILABLE).stderr
    assert go(c, "--offline", "offline").stdout == "t_command\n"
    assert ctl.run_chimeractl("--socket", ctl.control_path(c), "echo", "x").stdout == "x\n"


def test_the_nearest_verb_is_named_where_commands_cannot_be_told(away, tmp_path):
    done = go(away({"t_command": {}, "server": {"control": ""}}), "chek", code=USAGE)
    assert "'chek' is no verb; did you mean check" in done.stderr
    assert "did you mean check" in ctl.run_chimeractl("-c", tmp_path / "none.ini", "chek").stderr


# ---- in the server --------------------------------------------------------------------------------------------------------------

def test_a_live_command_runs_on_the_house_loop_of_the_server(server):
    assert go(server, "run", "other", "live").stdout == "other\n"
    assert go(server, "run", "t_command", "loops").stdout == f"{kit.WORKERS + 1} {kit.WORKERS}\n"


def test_it_is_not_run_beside_the_server_unless_that_is_said(server):
    done = go(server, "run", "t_command", "offline", code=UNAVAILABLE)
    assert "'offline' works on data that the running server uses: stop the server first" in done.stderr and not done.stdout
    assert go(server, "run", "--offline", "t_command", "offline").stdout == "t_command\n"
    assert go(server, "--offline", "run", "t_command", "loops").stdout == "1 0\n"


def test_an_option_that_the_server_does_not_hear_of_is_refused(server):
    done = ctl.run_chimeractl("-c", server.path, "-o", "t_command.mark=/tmp/x", "run", "t_command", "live")
    assert done.returncode == USAGE and "-o t_command.mark: the command would run in the server" in done.stderr and "--offline" in done.stderr
    assert "/tmp/x" not in done.stderr  # it may be a secret
    assert ctl.run_chimeractl("-c", server.path, "-o", f"server.state_dir={server.state}", "run", "t_command", "live").returncode == OK


def test_the_socket_alone_is_enough(server):
    assert ctl.run_chimeractl("--socket", ctl.control_path(server), "run", "other", "live").stdout == "other\n"


def test_a_client_that_leaves_is_heard(server, tmp_path):
    with Running(server.path, "run", "t_command", "slow", tmp_path / "gate") as r:
        assert r.line() == "waiting\n"
        assert not (tmp_path / "gate.gone").exists()
        r.process.send_signal(signal.SIGINT)
        assert r.process.wait(kit.DEADLINE) == -signal.SIGINT  # which a shell calls 130
    exists(tmp_path / "gate.gone")
    server.wait_said("command slow: given up by its asker", plugin="t_command")


def test_the_log_tells_who_ran_what_but_not_with_what(server):
    go(server, "run", "t_command", "echo", "hush-hush")
    server.wait_said("command echo: exit 0", plugin="t_command")
    assert "hush-hush" not in server.stderr()


def post(connection, verb, *args):
    body = json.dumps(list(args)).encode()
    connection.send(kit.request_bytes("POST", f"/control/run/t_command/{verb}", body))


def test_the_socket_speaks_lines_of_json(server):
    with server.connect("control") as s:
        post(s, "refuse", "so")
        r = s.response()
    assert r.status == 200 and r.header("Content-Type") == "application/x-ndjson"
    assert [json.loads(line) for line in r.text.splitlines()] == [{"out": ""}, {"out": "before\n"}, {"exit": 1, "error": "so"}]
    with server.connect("control") as s:
        post(s, "echo", 1)
        assert "array of strings" in s.response().problem(400, "bad_request")["detail"]


def test_a_client_that_does_not_read_costs_no_memory(server):
    mib = 64
    go(server, "run", "t_command", "big", 1)
    before = server.rss()
    with server.connect("control") as s:
        post(s, "big", str(mib))
        assert s.head().status == 200
        server.get("/control/status", kind="control")  # answered by the same loop: the command has written all it may by now
        assert server.rss() - before < 16 << 20
        chunks, n = s.chunks(), 0
        for part in chunks:
            n += part.count(b'{"out":"line ')
    assert n == mib << 14


def test_a_command_that_does_not_wait_for_its_reader_is_cut_at_8_mib(server, tmp_path):
    with Running(server.path, "run", "t_command", "flood", tmp_path / "n") as r:
        exists(tmp_path / "n")
        kib = int(kit.wait_for((tmp_path / "n").read_text, "the number"))
        assert 8 << 10 <= kib < 10 << 10
        code, out, err = r.end()
    assert code == UNAVAILABLE and "cuts its answer" in err and out.startswith("flood")
    server.wait_said("its asker does not read", plugin="t_command")


def test_a_reload_lets_it_end_in_its_instance(chimera, tmp_path):
    marks = [str(tmp_path / f"mark{i}") for i in range(2)]
    c = chimera({"t_command": {"mark": marks[0]}})
    with Running(c.path, "run", "t_command", "slow", tmp_path / "gate") as r:
        assert r.line() == "waiting\n"
        c.write({"t_command": {"mark": marks[1]}})
        assert f"~ [t_command] mark: {marks[0]} -> {marks[1]}\n" in go(c, "reload").stdout
        assert os.path.exists(marks[1]) and os.path.exists(marks[0])  # started; not stopped
        (tmp_path / "gate").write_text("")
        assert r.end() == (OK, "done\n", "")
    kit.wait_for(lambda: not os.path.exists(marks[0]), "the end of the old instance")


def test_a_server_that_stops_cuts_it(chimera, tmp_path):
    c = chimera(CONFIG)
    with Running(c.path, "run", "t_command", "slow", tmp_path / "gate") as r:
        assert r.line() == "waiting\n"
        c.stop()
        assert (tmp_path / "gate.gone").exists()
        code, out, err = r.end()
    assert code == UNAVAILABLE and not out and "cuts its answer, which was not all: it stops" in err


def test_a_server_that_hangs_is_given_up_and_nothing_runs_beside_it(chimera):
    c = chimera(CONFIG)
    c.signal(signal.SIGSTOP)
    try:
        done = go(c, "run", "t_command", "echo", code=UNAVAILABLE)
    finally:
        c.signal(signal.SIGCONT)
    assert "does not answer within 5 s" in done.stderr and not done.stdout


# ---- without a server -----------------------------------------------------------------------------------------------------------

def test_a_live_command_needs_the_server(away):
    assert "'live' needs the running server" in go(away(), "run", "t_command", "live", code=UNAVAILABLE).stderr


def test_only_what_is_needed_is_started_and_all_of_it_is_stopped(away, tmp_path):
    mine, other = str(tmp_path / "mine"), str(tmp_path / "other")
    c = away({"t_service": {}, "t_command": {"service": "t_service", "mark": mine}, "t_command:other": {"mark": other}, "dryrun": {},
              "ask": {}})
    with Running(c.path, "run", "t_command", "slow", tmp_path / "gate") as r:
        assert r.line() == "waiting\n"
        assert os.path.exists(mine) and not os.path.exists(other)
        assert not os.path.exists(ctl.control_path(c))
        (tmp_path / "gate").write_text("")
        assert r.end() == (OK, "done\n", "")
    assert not os.path.exists(mine)
    assert go(c, "run", "t_command", "loops").stdout == "1 0\n"


def test_tasks_by_the_clock_are_the_server_s_alone(server, away):
    kit.wait_for(lambda: int(go(server, "run", "t_command", "ticks").stdout), "the task by the clock")
    assert go(away(), "run", "t_command", "ticks").stdout == "0\n"


def test_a_dependency_that_is_bound_to_nothing_is_refused_by_the_command(away):
    done = go(away({"t_command": {}}), "run", "t_command", "twice", "1", "0", code=REFUSED)
    assert done.stderr == "chimeractl: [t_command] service is bound to nothing: add [t_service]\n"


def test_errors_of_the_config_are_told_as_the_daemon_tells_them(away):
    c = away({**CONFIG, "t_command:other": {"nosuch": "1"}})
    assert go(c, "run", "t_command", "echo", code=CONFIG_ERROR).stderr == kit.run_chimerad("-c", c.path, "-t").stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_makes_it_hear_that_nobody_waits(away, tmp_path, number):
    c = away({"t_command": {"mark": tmp_path / "mark"}})
    with Running(c.path, "run", "t_command", "slow", tmp_path / "gate") as r:
        assert r.line() == "waiting\n"
        r.process.send_signal(number)
        assert r.end() == (SIGNALLED, "", "")
    assert (tmp_path / "gate.gone").exists() and not (tmp_path / "mark").exists()


def test_a_second_signal_ends_what_does_not_listen(away):
    with Running(away().path, "run", "t_command", "deaf") as r:
        assert r.line() == "deaf\n"
        r.process.send_signal(signal.SIGINT)
        kit.wait_for(lambda: pending(r.process.pid) == 0, "the first signal")
        assert r.process.poll() is None
        r.process.send_signal(signal.SIGINT)
        assert r.process.wait(kit.DEADLINE) == SIGNALLED, r.process.stderr.read()


def pending(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return sum(int(line.split()[1], 16) for line in f if line.startswith(("SigPnd", "ShdPnd")))


def test_a_signal_reaches_one_whose_output_nobody_reads(away):
    with Running(away().path, "run", "t_command", "big", 20) as r:
        assert r.line()
        r.process.send_signal(signal.SIGTERM)
        assert r.process.wait(kit.DEADLINE) == SIGNALLED
        assert not r.process.stderr.read()


def test_where_no_server_can_be_found_nothing_is_run_beside_it(away):
    c = away({**CONFIG, "server": {"control": ""}})
    done = go(c, "run", "t_command", "echo", code=CONFIG_ERROR)
    assert "no control socket" in done.stderr and "--offline" in done.stderr and not done.stdout
    assert go(c, "run", "--offline", "t_command", "echo", "x").stdout == "x\n"
    done = go(c, "--socket", "/nowhere/control.sock", "run", "t_command", "echo", code=UNAVAILABLE)
    assert "no server listens" in done.stderr
    assert "leave it out" in go(c, "--socket", "/x", "--offline", "run", code=USAGE).stderr


def test_options_of_run_are_for_run_alone():
    for option in ("--offline", "-v"):
        done = ctl.run_chimeractl(option, "version")
        assert done.returncode == USAGE and f"{option} is for run" in done.stderr


def test_the_log_is_quiet_unless_it_is_asked_for(away):
    c = away()
    assert not go(c, "run", "t_command", "echo").stderr
    assert "command echo: exit 0" in go(c, "run", "-v", "t_command", "echo").stderr
    assert "start t_command" in go(c, "run", "-vv", "t_command", "echo").stderr


def test_state_dir_is_made(away, tmp_path):
    c = away(args=())
    state = tmp_path / "new" / "state"
    go(c, "-o", f"server.state_dir={state}", "run", "t_command", "echo")
    assert state.is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_files_are_the_configured_user_s(away, plugins):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        c = away({**CONFIG, "server": {"user": "nobody", "state_dir": folder + "/state", "plugin_dir": plugins}})
        with Running(c.path, "run", "t_command", "flood", folder + "/n") as r:
            assert r.line()
            r.process.stdout.close()
            assert r.process.wait(kit.DEADLINE) == OK, r.process.stderr.read()
        assert os.stat(folder + "/n").st_uid == os.stat(folder + "/state").st_uid == 65534
