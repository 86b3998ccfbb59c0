# SPDX-License-Identifier: Apache-2.0
"""The areas of the interface in the running server, each by the plugin of tests/plugins/ that uses it: options and tables, loops and ctxs,
spans, degradation and inspection, threads, names and secrets, tasks by the clock, seams."""
import datetime
import os
import re
import time

import chimera as kit
import pytest

CONFIG = {"t_conf": {}, "t_conf.row": {"least": 2, "most": 3}, "t_conf.other": {}, "t_service": {}, "t_loop": {}, "t_span": {},
          "t_degraded": {}, "t_thread": {"key": "open sesame"}, "t_cron": {}, "t_seam": {}, "trace": {}}


def lines(r):
    assert r.status == 200, r
    return r.text.splitlines()


# ---- options, rows, metrics, routes ------------------------------------------------------------------------------------------------

def test_an_option_of_each_type_arrives_with_its_default(server):
    c = server.get("/conf").json()
    assert c == {"id": "t_conf", "plugin": "t_conf", "str": "text in dev", "path": "", "data": os.path.join(server.state, "t_conf.db"),
                 "secret_bytes": 0, "integer": 5, "duration": 1500, "size": 65536, "off": -1, "boolean": True, "rate": 1.5, "share": 0.05,
                 "number": 2.5, "color": 1, "list": ["a", "b"], "service": "t_service", "services": ["t_service"], "old": "", "kept": "",
                 "rows": {"row": [2, 3], "other": [0, 10]}}


def test_an_option_of_each_type_takes_its_value(chimera):
    c = chimera({"t_conf": {"str": "x", "path": "beside.txt", "data": "y.db", "secret": "12345", "integer": 10, "size": "1m", "off": "2s",
                            "boolean": "off", "rate": "3/h", "share": 0.25, "number": -1.5, "color": "red", "list": "one",
                            "old": "used", "for": "ever"}}, env={"T_CONF_DURATION_MS": "250"})
    got = c.get("/conf").json()
    assert got["path"] == os.path.join(c.folder, "beside.txt") and got["data"] == os.path.join(c.state, "y.db")
    del got["path"], got["data"]
    assert got == {"id": "t_conf", "plugin": "t_conf", "str": "x", "secret_bytes": 5, "integer": 10, "duration": 250, "size": 1048576,
                   "off": 2000, "boolean": False, "rate": 3 / 3600, "share": 0.25, "number": -1.5, "color": 0, "list": ["one"],
                   "service": None, "services": [], "old": "used", "kept": "ever", "rows": {}}
    assert c.said("deprecated") and "12345" not in c.stderr()


@pytest.mark.parametrize("keys,rows,words", [
    ({"integer": 11}, {}, ["integer = 11", "10"]), ({"color": "blue"}, {}, ["color = blue", "red, green"]), ({"list": ""}, {}, ["list"]),
    ({}, {"least": 5, "most": 4}, ["t_conf.row", "least", "must not be over"])])
def test_what_is_wrong_is_said_with_file_and_line(plugins, tmp_path, keys, rows, words):
    path = tmp_path / "c.ini"
    path.write_text(kit.config_text({"server": {"profile": "dev", "plugin_dir": plugins, "state_dir": str(tmp_path)}, "t_conf": keys,
                                     "t_conf.row": rows}))
    done = kit.run_chimerad("-t", "-c", path)
    assert done.returncode == 78
    (line,) = [x for x in done.stderr.splitlines() if ": error: " in x]
    assert line.startswith(f"{path}:") and all(w in line for w in words), line


def test_a_restart_key_is_refused_by_a_running_server(chimera):
    c = chimera({"t_conf": {"for": "one"}})
    c.write({"t_conf": {"for": "two"}})
    c.signal(1)
    c.wait_said("reload refused")
    assert c.said("[t_conf] for") and c.get("/conf").json()["kept"] == "one"


def test_metrics_count_observe_and_are_capped(server):
    for i, n in enumerate([5, 50, 100, 0, 7]):
        assert server.request("POST", f"/conf/id{i}", b"x" * n).status == 200
    assert server.request("POST", "/conf/more", b"x" * 101).status == 413
    assert server.metric("t_conf_requests_total") == 5 and server.metric("t_conf_last_bytes") == 7
    assert {labels["le"]: v for n, labels, v in server.metrics() if n == "t_conf_body_bytes_bucket"} == {"10.0": 3, "100.0": 5, "+Inf": 5}
    assert server.metric("t_conf_body_bytes_count") == 5 and server.metric("t_conf_body_bytes_sum") == 162
    names = {labels["name"] for n, labels, _ in server.metrics() if n == "t_conf_ids_total"}
    assert "other" in names and len(names) <= 4, "past max_series a value counts as other"


# ---- loops and ctxs ----------------------------------------------------------------------------------------------------------------

def test_a_timer_fires_once_a_start_and_not_too_early(server):
    m = re.fullmatch(r"fired 2 times, (\d+) us after", server.get("/loop/timer?ms=30").text)
    assert m and int(m[1]) >= 30000


def test_posts_reach_each_loop(server):
    assert server.get("/loop/post").text == " ".join(str(i) for i in range(kit.WORKERS + 1))


def test_what_waits_for_the_turns_end_runs_in_order(server):
    assert server.get("/loop/turn?n=10").text == "0 1 2 3 4 5 6 7 8 9"


@pytest.mark.parametrize("n", [1, 100000, 1000000])
def test_a_watched_pipe_brings_all_bytes(server, n):
    assert server.get(f"/loop/watch?n={n}").text == str(n)


def test_clocks_go_and_numbers_differ(server):
    a, b = ([int(x) for x in server.get("/loop/clock").text.split()] for _ in range(2))
    assert b[0] > a[0] and abs(a[1] / 1e6 - time.time()) < 60
    assert len({*a[2:], *b[2:]}) == 4


def test_a_ctx_knows_its_loop(server):
    m = re.fullmatch(r"(\d+) of (\d+), known", server.get("/loop/where").text)
    assert m and int(m[1]) < kit.WORKERS and int(m[2]) == kit.WORKERS


def test_a_deadline_only_comes_nearer_and_ends_a_wait(server):
    m = re.fullmatch(r"timeout after (\d+) ms", server.get("/ctx/deadline?ms=40").text)
    assert m and 39 <= int(m[1]) < 20000


@pytest.mark.parametrize("n,says", [(0, "zeroed"), (1, "zeroed"), (100000, "zeroed"), (4 << 20, "none"), (1 << 40, "none")])
def test_memory_is_zeroed_or_refused(server, n, says):
    assert server.get(f"/ctx/memory?n={n}").text == says


def test_facts_are_there_when_they_are_known(server):
    assert server.get("/ctx/facts").text == "GET /ctx/facts 127.0.0.1 1 0 0 0 0"
    line = server.wait_said("facts: status 200 code - bytes 34 aborted 0 first_byte 1")
    assert re.search(r"req_id [0-9a-f-]{36} role 0 owner - tier - backend - model - tokens 0\+0 trace [0-9a-f]{32}/[0-9a-f]{16}/ [01] -$",
                     line["msg"])


def test_codes_have_status_name_and_type(server):
    assert server.get("/ctx/code?n=1").text.startswith("400 bad_request ")
    assert server.get("/ctx/code?n=15").text == server.get("/ctx/code?n=9999").text == server.get("/ctx/code?n=-1").text
    assert server.get("/ctx/code?n=15").text.startswith("500 internal_error ")


def test_a_stream_of_known_length_and_one_that_is_cut(server):
    r = server.get("/ctx/stream?n=10")
    assert r.body == b"x" * 10 and r.header("Content-Length") == "10"
    with pytest.raises(kit.Closed):
        server.get("/ctx/stream?n=10&abort=1")


# ---- spans -------------------------------------------------------------------------------------------------------------------------

def test_spans_have_parents_notes_and_ends(server):
    outer, inner, still = lines(server.get("/span"))
    assert re.fullmatch(r"1 0 t_span outer \d+ who=t_span", outer)
    assert re.fullmatch(r"2 1 t_span inner \d+ failed", inner)
    assert still == "3 1 t_span open open"


def test_a_span_lasts_over_a_suspension(server):
    m = re.fullmatch(r"1 0 t_span outer (\d+) who=t_span", lines(server.get("/span/wait?ms=30"))[0])
    assert m and int(m[1]) >= 30000


def test_a_request_has_at_most_64_spans(server):
    before = server.metric("t_span_spans_total")
    assert server.get("/span/many?n=100").text == "64"
    kit.wait_for(lambda: server.metric("t_span_spans_total") == before + 64, "the end to see them")


# ---- degradation, checks, inspection -----------------------------------------------------------------------------------------------

def down(server):
    return server.metric("chimera_degraded", plugin="t_degraded")


def test_degradation_is_said_once_counted_and_believed_gone_after_two_seconds(server):
    was = len(server.said("cache is degraded now"))
    server.get("/degraded?what=cache&why=no_route&times=100")
    server.get("/degraded?what=cache&why=still_none&times=100&thread=1")
    server.wait_said("cache is degraded now: no_route", plugin="t_degraded", lvl="warn")
    assert len(server.said("cache is degraded now")) == was + 1 and down(server) == 1
    assert any(line.startswith("t_degraded cache down still_none") for line in lines(server.get("/degraded/list")))
    ready = server.get("/ready?verbose", kind="status")
    assert ready.status == 200 and re.search(r"cache.*degraded|degraded.*cache", ready.text), ready.text
    began = time.monotonic()
    server.get("/degraded?what=cache&down=0&why=it_answers")
    assert down(server) == 1 or time.monotonic() - began >= 1.9
    kit.wait_for(lambda: down(server) == 0, "the recovery")
    assert time.monotonic() - began >= 1.9
    server.wait_said("cache works again: it_answers", plugin="t_degraded", lvl="info")
    assert any(line.startswith("t_degraded cache up ") for line in lines(server.get("/degraded/list")))


def test_many_threads_tell_at_once(server):
    conns = [server.connect() for _ in range(20)]
    for i, c in enumerate(conns):
        c.send(kit.request_bytes("GET", f"/degraded?what=w{i % 4}&times=200&thread=1&down={i % 2}"))
    for c in conns:
        assert c.response().status == 200
        c.close()
    for i in range(4):
        server.get(f"/degraded?what=w{i}&down=0")
    kit.wait_for(lambda: down(server) == 0, "the recovery of all")


def test_a_check_is_run_and_shown(server):
    for number, word in ((1, "degraded"), (0, "healthy")):
        server.get(f"/degraded/health?is={number}")
        kit.wait_for(lambda: any(line.startswith(f"t_degraded {number} 0 ") and f"told to be {number}" in line
                                 for line in lines(server.get("/inspect/checks", kind="status"))), f"the check to say {word}")


def test_the_server_tells_about_itself(server):
    def tells():
        return dict(line.split(" ", 1) for line in lines(server.get("/inspect/server", kind="status")))
    kit.wait_for(lambda: tells()["stalled"] == "0", "no loop to stand")  # with the whole machine, perhaps
    told = {**tells(), "stalled": "0"}
    assert told["profile"] == "dev" and told["state_dir"] == server.state and told["workers"] == str(kit.WORKERS)
    assert (told["ready"], told["draining"], told["stalled"], told["generation"]) == ("1", "0", "0", "1")
    assert float(told["uptime"]) > 0 and abs(int(told["started_wall"]) - time.time()) < 3600
    assert int(told["requests"]) > 0 and int(told["connections"]) >= 1 and re.match(r"\d+\.\d+", told["version"])


def test_instances_are_listed_in_the_configs_order(server):
    got = [line.split() for line in lines(server.get("/inspect/instances", kind="status"))]
    assert [g[0] for g in got if g[0].startswith("t_")] == [name for name in CONFIG if name.startswith("t_") and "." not in name]
    assert all(g[0] == g[1] for g in got) and ["t_service", "t_service", "needed", "tsvc/1"] in got


def test_metrics_are_walked_family_by_family(server):
    server.get("/span")
    text = lines(server.get("/inspect/metrics?name=t_span_spans_total", kind="status"))
    assert text[0] == "# Spans seen at the end." and float(text[1]) >= 3 and len(text) == 2
    assert lines(server.get("/inspect/metrics?name=t_conf_body_bytes", kind="status"))[1].split()[2:4] == ["2", "10"]


# ---- threads, names, secrets -------------------------------------------------------------------------------------------------------

def names_of_threads(pid):
    out = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as f:
                out.append(f.read().strip())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return out


def test_a_thread_answers_and_is_named(server):
    with server.connect() as c:
        for _ in range(50):
            assert c.ask("GET", "/thread").body == b"resumed" and c.ask("GET", "/thread/post").body == b"posted"
    assert names_of_threads(server.pid).count("t_thread_worker") == 1


def test_a_thread_goes_with_its_instance_and_takes_no_signals(chimera):
    c = chimera({"t_thread": {"key": "a"}})
    tid = kit.wait_for(lambda: tid_of(c.pid, "t_thread_worker"), "the thread")
    with open(f"/proc/{c.pid}/task/{tid}/status", encoding="ascii") as f:
        blocked = int(re.search(r"SigBlk:\t(\w+)", f.read())[1], 16)
    assert all(blocked >> (n - 1) & 1 for n in (1, 2, 15, 10, 12)), "HUP, INT, TERM, USR1, USR2 are blocked"
    for i in range(20):
        c.write({"t_thread": {"key": f"key {i}"}})
        reloads = c.metric("chimera_config_reloads_total", result="ok")
        c.signal(1)
        kit.wait_for(lambda: c.metric("chimera_config_reloads_total", result="ok") > reloads, "the reload")
        assert c.get("/thread").body == b"resumed" and c.get("/secret").body == b"kept"
    kit.wait_for(lambda: names_of_threads(c.pid).count("t_thread_worker") == 1, "the threads of old instances to be joined")


def tid_of(pid, name):
    """The thread's number, or None."""
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as f:
                if f.read().strip() == name:
                    return task
        except FileNotFoundError:
            pass
    return None


@pytest.mark.parametrize("host,expected", [("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("2001:db8::1", ["2001:db8::1"])])
def test_numeric_addresses_are_their_own(server, host, expected):
    assert lines(server.get(f"/resolve?host={host}")) == expected


def test_names_are_looked_up(server):
    found = lines(server.get("/resolve?host=localhost"))
    assert found and set(found) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("host", ["no-such-host.invalid", "", "a" * 300])
def test_a_name_that_is_none_is_an_error_in_words(server, host):
    (line,) = lines(server.get(f"/resolve?host={host}"))
    assert line.startswith("error: ") and len(line) > 10


def test_a_secret_stays_where_it_was_put(server):
    assert server.get("/secret").body == b"kept"
    with open(f"/proc/{server.pid}/smaps", encoding="ascii") as f:
        flags = re.findall(r"VmFlags:(.*)", f.read())
    assert any(" dd" in x for x in flags), "a mapping that is kept out of dumps"
    assert "open sesame" not in server.stderr()


# ---- tasks by the clock --------------------------------------------------------------------------------------------------------------

def cron(c):
    words = c.get("/cron").text.split()
    return dict(zip(words[::2], map(int, words[1::2])))


def test_tasks_run_again_and_again_and_never_twice_at_once(server):
    first = cron(server)
    kit.wait_for(lambda: cron(server)["often"] >= first["often"] + 10 and cron(server)["endless"] >= first["endless"] + 3,
                 "ten and three rounds")
    assert cron(server)["overlaps"] == 0 and cron(server)["gone"] == 0
    assert server.metric("background_tasks_completed_total", task="t_cron.often") >= 10
    assert server.metric("background_tasks_duration_seconds_count", task="t_cron.endless") >= 3
    assert 0 <= server.metric("background_tasks_active", task="t_cron.often") <= 1


def test_a_line_of_crontab_is_due_at_its_minute(server):
    """At most once in this test's time; when it was, at the beginning of a minute."""
    for line in server.said("the line of crontab is due"):
        assert datetime.datetime.fromisoformat(line["ts"].replace("Z", "+00:00")).second <= 11  # a busy machine is late


def test_an_empty_time_is_never_and_a_wrong_one_is_refused(chimera, plugins, tmp_path):
    c = chimera({"t_cron": {"line": ""}})
    kit.wait_for(lambda: cron(c)["often"] >= 3, "the other task")
    assert cron(c)["line"] == 0
    path = tmp_path / "c.ini"
    for line, words in (("61 * * * *", "'61' as minute"), ("often", "a duration of at least 1ms"), ("* * * *", "4 fields")):
        path.write_text(kit.config_text({"server": {"profile": "dev", "plugin_dir": plugins, "state_dir": str(tmp_path)},
                                         "t_cron": {"line": line}}))
        done = kit.run_chimerad("-t", "-c", path)
        assert done.returncode == 78 and words in done.stderr and "[t_cron] line" in done.stderr, done.stderr


def test_tasks_go_over_to_the_successor_and_end_with_the_server(chimera):
    """A new instance's tasks begin when it does; those of the old one end; a drain tells those that wait GONE."""
    c = chimera({"t_cron": {"line": ""}})
    kit.wait_for(lambda: cron(c)["often"] >= 5, "rounds")
    for i in range(10):
        c.write({"t_cron": {"line": f"{i} 0 1 1 *"}})
        reloads = c.metric("chimera_config_reloads_total", result="ok")
        c.signal(1)
        kit.wait_for(lambda: c.metric("chimera_config_reloads_total", result="ok") > reloads, "the reload")
        kit.wait_for(lambda: cron(c)["often"] >= 2, "the new instance's rounds")
        assert cron(c)["overlaps"] == 0
    kit.wait_for(lambda: c.metric("background_tasks_active", task="t_cron.often") <= 1, "no old task to be left")
    began = time.monotonic()
    c.stop()
    assert not c.said("does not end") and time.monotonic() - began < kit.DEADLINE


# ---- seams -------------------------------------------------------------------------------------------------------------------------------

SEAMS = ["vendor", "storage", "vector_store", "queue", "kv", "scheduler", "token_cleanup"]


@pytest.mark.parametrize("seam", SEAMS)
def test_a_fault_strikes_where_it_is_told_to_and_nowhere_else(server, seam):
    assert server.get(f"/seam/{seam}").body == b"nothing"
    assert server.get(f"/seam/{seam}", headers={"X-Fault": seam}).body == b"waited"
    p = server.get(f"/seam/{seam}", headers={"X-Fault": seam, "X-Kind": "timeout"}).problem(503, "upstream_unavailable")
    assert "timeout" in p["detail"]
    other = SEAMS[(SEAMS.index(seam) + 1) % len(SEAMS)]
    assert server.get(f"/seam/{seam}", headers={"X-Fault": other}).body == b"nothing"
    began = time.monotonic()
    assert server.get(f"/seam/{seam}", headers={"X-Fault": seam, "X-Delay": "50"}).body == b"waited"
    assert time.monotonic() - began >= 0.05


def test_a_seam_that_nobody_fills_or_that_does_not_exist_is_quiet(server):
    assert server.get("/seam/none", headers={"X-Fault": "vendor"}).body == b"nothing"


def test_two_that_fill_one_seam_are_refused(plugins, tmp_path):
    path = tmp_path / "c.ini"
    path.write_text(kit.config_text({"server": {"profile": "dev", "plugin_dir": plugins, "state_dir": str(tmp_path)}, "t_seam": {},
                                     "t_seam:second": {}}))
    done = kit.run_chimerad("-t", "-c", path)
    assert done.returncode == 78 and "[t_seam] fills the same seam" in done.stderr
