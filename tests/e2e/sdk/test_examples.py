# SPDX-License-Identifier: Apache-2.0
"""sdk/examples in the running server, where their unit tests have only the harness: real loops, reloads, files and sockets."""
import http.server
import os
import re
import shutil
import signal
import socketserver
import threading
import time

import chimera as kit
import pytest

BUILT = os.path.normpath(os.path.join(kit.TEST_PLUGINS, "..", "..", "..", "sdk", "examples", ".libs"))
EXAMPLES = ["fetcher", "guardrail", "header_filter", "kv_table", "visits"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All plugins and the examples."""
    if not all(os.path.exists(os.path.join(BUILT, name + ".so")) for name in EXAMPLES):
        pytest.skip("the examples are not built: make check builds them")
    f = kit.plugin_folder(str(tmp_path_factory.mktemp("examples") / "plugins"))
    for name in EXAMPLES:
        shutil.copyfile(os.path.join(BUILT, name + ".so"), os.path.join(f, name + ".so"))
        os.chmod(os.path.join(f, name + ".so"), 0o755)
    return f


@pytest.fixture
def start(chimera, folder):
    def begin(sections, **kw):
        sections = {**sections, "server": {"plugin_dir": folder, **sections.get("server", {})}}
        c = chimera(sections, **kw)
        c.sections = sections
        return c
    return begin


def reload(c, **sections):
    """Writes the changed config and reloads it; asserts that it was taken."""
    before = c.metric("chimera_config_reloads_total", result="ok")
    c.sections = {**c.sections, **sections}
    c.write(c.sections)
    c.signal(signal.SIGHUP)
    c.wait_metric("chimera_config_reloads_total", before + 1, result="ok")


# ---- header_filter


def test_header_filter_is_switched_from_trying_to_enforcing_without_a_restart(start):
    rule = {"header_filter.scrapers": {"header": "User-Agent", "contains": "scrapy"}}
    c = start({"header_filter": {"enforce": "no"}, **rule})
    tried = c.get("/health", headers=[("User-Agent", "Scrapy 2")])
    assert tried.status == 200 and tried.header("X-Header-Filter") == "scrapers"
    reload(c, header_filter={"enforce": "yes"})
    c.get("/health", headers=[("User-Agent", "Scrapy 2")]).problem(403, "forbidden")
    assert c.metric("header_filter_matches_total", rule="scrapers") == 2


# ---- visits


def visit(c, page="home"):
    return c.request("POST", f"/v1/visits/{page}").json()["visits"]


def test_visits_are_counted_over_reloads_and_restarts(start):
    c = start({"visits": {"pages": "home", "save": "1h"}})
    stop, counted = threading.Event(), []

    def load():
        while not stop.is_set():
            counted.append(visit(c))

    clients = [threading.Thread(target=load) for _ in range(4)]
    for t in clients:
        t.start()
    for i in range(50):  # each is another instance
        reload(c, visits={"pages": f"home, page-{i}", "save": "1h"})
    stop.set()
    for t in clients:
        t.join()
    assert sorted(counted) == list(range(1, len(counted) + 1)), "a visit was lost or counted twice"
    c.stop()
    with open(os.path.join(c.state, "visits.txt"), encoding="utf-8") as f:
        assert f"home {len(counted)}\n" in f.readlines()
    c.start()
    assert visit(c) == len(counted) + 1


def test_visits_that_cannot_be_written_are_told_and_written_when_they_can(start):
    c = start({"visits": {"pages": "home", "file": "later/visits.txt", "save": "100ms"}})
    visit(c)
    c.wait_metric("chimera_degraded", 1, plugin="visits")
    assert "visits.file degraded: the counts cannot be written: No such file or directory" in c.get("/ready?verbose").text
    os.mkdir(os.path.join(c.state, "later"))
    kit.wait_for(lambda: c.metric("chimera_degraded", plugin="visits") == 0, "the recovery")
    c.wait_said("works again")
    assert len(c.said("is degraded now")) == 1 and len(c.said("works again")) == 1
    with open(os.path.join(c.state, "later", "visits.txt"), encoding="utf-8") as f:
        assert f.read() == "home 1\n"


# ---- guardrail


def ask(c, text, **more):
    body = ('{"prompt":"%s"%s}' % (text, "".join(f',"{k}":"{v}"' for k, v in more.items()))).encode()
    return c.request("POST", "/v1/ask", body=body, headers=[("Content-Type", "application/json")])


def test_guardrail_guards_v1_ask(start, tmp_path):
    denied = tmp_path / "denied"
    denied.write_text("launch code\n")
    c = start({"dryrun": {"models": "small, large", "default_model": "small"}, "ask": {},
               "guardrail": {"words": "password", "deny_file": denied},
               "guardrail.small": {"tokens": "1/h", "burst": "10"}})
    assert ask(c, "hello", model="large").status == 200
    ask(c, "my password", model="large").problem(403, "forbidden")
    ask(c, "the launch code", model="large").problem(403, "forbidden")
    assert ask(c, "hello", model="small").status == 200
    refused = ask(c, "hello", model="small")
    refused.problem(429, "rate_limited")
    assert int(refused.header("Retry-After")) > 3600
    assert {r: c.metric("guardrail_refused_total", reason=r) for r in ("budget", "words", "file")} == {"budget": 1, "words": 1, "file": 1}
    denied.unlink()
    ask(c, "hello", model="large").problem(503, "unavailable")
    assert c.metric("chimera_degraded", plugin="guardrail") == 1


# ---- fetcher


class Events(http.server.BaseHTTPRequestHandler):
    """GET /events: an event at each release of the semaphore, until the client leaves."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        s = self.server
        s.asked += 1
        if s.failing:
            s.failing -= 1
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for i in range(1, 1 << 30):
                if not s.release.acquire(timeout=kit.DEADLINE):
                    return
                if s.done:
                    self.wfile.write(b"0\r\n\r\n")
                    return
                text = b"event: tick\ndata: %d\ndata: more\n\n" % i
                self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
                self.wfile.flush()
        except OSError:
            s.left.set()

    def log_message(self, *_):
        pass


@pytest.fixture
def events():
    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    s = Server(("127.0.0.1", 0), Events)
    s.asked, s.failing, s.done, s.release, s.left = 0, 0, False, threading.Semaphore(0), threading.Event()
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield s
    s.shutdown()
    s.server_close()


def fetcher(start, events, **more):
    if not os.path.exists(os.path.join(kit.PLUGINS, "http_client.so")):
        pytest.skip("http_client is not built: its library is missing")
    return start({"http_client": {}, "fetcher": {"url": f"http://127.0.0.1:{events.server_address[1]}/events", **more}})


def test_fetcher_hands_on_each_event_as_it_comes(start, events):
    c = fetcher(start, events)
    with c.connect() as conn:
        conn.send(b"GET /v1/events HTTP/1.1\r\nHost: test\r\n\r\n")
        events.release.release()
        head = conn.head()
        assert head.status == 200 and head.header("Content-Type") == "text/event-stream"
        chunks = conn.chunks()
        text = b""
        for i in range(1, 4):
            want = b"event: tick\ndata: %d\ndata: more\n\n" % i
            while len(text) < len(want):
                text += next(chunks)
            assert text == want
            text = b""
            events.release.release()

    def left():
        events.release.release()  # it has to write to find out
        return events.left.is_set()

    kit.wait_for(left, "the other server to see that the client has left")


def test_fetcher_tries_again_before_the_first_event(start, events):
    events.failing, events.done = 2, True
    c = fetcher(start, events)
    events.release.release()
    r = c.get("/v1/events")
    assert r.status == 200 and events.asked == 3


def test_fetcher_without_its_server_is_a_503_and_heals(start, events):
    c = fetcher(start, events, retries="0")
    events.failing, began = 1000, time.monotonic()
    for _ in range(5 * (kit.WORKERS + 1)):
        c.get("/v1/events").problem(503, "upstream_unavailable")
    probes = kit.WORKERS * int((time.monotonic() - began) / 4)  # each loop's circuit is open for 5 s, give or take a fifth
    assert events.asked <= 5 * kit.WORKERS + probes, "a circuit that is open lets calls through"
    assert c.metric("chimera_degraded", plugin="fetcher") == 1
    events.failing, events.done = 0, True
    events.release.release(1000)
    kit.wait_for(lambda: c.get("/v1/events").status == 200, "the circuit to close")


# ---- kv_table


LINE = re.compile(r"(not )?ok (\d+) - (\S+)(?:: .*)?")


def test_kv_table_passes_every_case_of_kv(start):
    c = start({"server": {"workers": 4}, "kv_table": {}, "conform_kv": {}})
    r = c.request("POST", "/conform/kv")
    assert r.status == 200
    first, *lines = r.text.splitlines()
    cases = [LINE.fullmatch(line) for line in lines if not line.startswith("#") and not line.startswith("1..")]
    assert first == "TAP version 13" and all(cases), r.text
    assert [int(m[2]) for m in cases] == list(range(1, len(cases) + 1)) and f"1..{len(cases)}" in lines, r.text
    assert not [m[3] for m in cases if m[1]], r.text
    assert len(cases) > 100 and sum(m[3].startswith("race/") for m in cases) == 7


def test_one_group_of_kv_cases_can_be_asked_for(start):
    c = start({"kv_table": {}, "conform_kv": {}})
    text = c.request("POST", "/conform/kv?case=value/set,race/add").text
    assert re.findall(r"ok \d+ - (\S+)", text) == ["value/set", "race/add"]
