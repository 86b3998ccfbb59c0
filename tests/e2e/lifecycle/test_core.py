# SPDX-License-Identifier: Apache-2.0
"""What a core file holds: nothing at all by default, and none of the config's secrets where core files are allowed."""
import glob
import json
import os
import re
import signal
import stat
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import canary
import core
import pytest

import chimera as kit

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("storage", "kv"):
    sys.path.append(os.path.join(HERE, "..", folder))
from servers import PASSWORD, USER, postgres, postgres_server  # noqa: E402,F401

ONCE = True  # a sanitizer keeps what was freed
KEYS = {name: canary.of("core-" + name) for name in ("openai", "auth", "caller", "redis", "header")}
KEYS["encryption"] = canary.hex_key()
NEEDLES = [value.encode() for value in KEYS.values()] + [bytes.fromhex(KEYS["encryption"])]
with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as pattern:
    PLAIN = re.fullmatch(r"core(\.%p)?", pattern.read().strip())


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value):
        body = json.dumps(value).encode()
        self.server.keys |= {self.headers["Authorization"], self.headers["X-Gateway-Key"]}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer({"object": "list", "data": []})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 1,
                     "total_tokens": 2}, "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]})

    def log_message(self, *_):
        pass


@pytest.fixture
def upstream():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.keys = set()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def base(server):
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def sections(server, plugins, **openai):
    for name in ("auth", "http_client", "identity", "storage_sqlite"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")
    return {"http_client": {}, "api_openai": {}, "router": {}, "storage_sqlite": {}, "identity": {"encryption_key": KEYS["encryption"]},
            "auth": {"api_key": KEYS["auth"], "anonymous": "yes"},
            "openai": {"base_url": base(server), "models": "gpt-*", "api_key": KEYS["openai"],
                       "extra_headers": f"X-Gateway-Key: {KEYS['header']}", **openai}}


def talk(c, server):
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]})
    for _ in range(3):
        r = c.request("POST", "/v1/chat/completions", body, [("Content-Type", "application/json")])
        assert r.status == 200, r.body
    assert {f"Bearer {KEYS['openai']}", KEYS["header"]} <= server.keys  # they were sent


@pytest.mark.parametrize("way", ["file", "at", "variable", "environment"])
def test_no_secret_of_the_config_is_in_what_a_core_file_holds(chimera, plugins, upstream, tmp_path, way):
    config, env = sections(upstream, plugins), {}
    if way == "at":
        secret = tmp_path / "key"
        secret.write_text(KEYS["openai"] + "\n")
        secret.chmod(0o600)
        config["openai"]["api_key"] = f"@{secret}"
    elif way == "variable":
        config["openai"]["api_key"], env = "${THE_KEY}", {"THE_KEY": KEYS["openai"]}
    elif way == "environment":
        config["openai"]["api_key"], env = None, {"CHIMERA__OPENAI__API_KEY": KEYS["openai"], "CHIMERA__AUTH__API_KEY": KEYS["auth"]}
        config["auth"]["api_key"] = None
    c = chimera(config, env=env)
    talk(c, upstream)
    kit.wait_for(lambda: not core.find(c.pid, NEEDLES), lambda: "no secret in\n" + core.tell(core.find(c.pid, NEEDLES)))
    assert core.find(c.pid, [base(upstream).encode()])  # what is no secret is there, so it was looked for in the right place
    c.write(c.config(config).replace("gpt-*", "gpt-4*"))
    c.signal(signal.SIGHUP)
    c.wait_said("reloaded")
    talk(c, upstream)
    kit.wait_for(lambda: not core.find(c.pid, NEEDLES), lambda: "no secret in\n" + core.tell(core.find(c.pid, NEEDLES)))


def test_of_a_databases_password_only_the_copy_of_libpqs_scram_is_left(chimera, plugins, postgres):  # noqa: F811
    """That one nobody but libpq can reach: docs/hardening.md says so. Its other copy is wiped as soon as the connection stands."""
    if not kit.has_plugin(plugins, "storage_postgres") or not kit.has_plugin(plugins, "identity"):
        pytest.skip("storage_postgres is not built")
    dsn = f"postgresql://{USER}@127.0.0.1:{postgres.server.port}/{postgres.name}"
    c = chimera({"storage_postgres": {"dsn": dsn, "password": PASSWORD, "migrate": "off"}, "identity": {"encryption_key": KEYS["encryption"]}})
    needle = PASSWORD.encode()

    def looked():
        connections = len(postgres.psql("SELECT pid FROM pg_stat_activity WHERE application_name = 'chimera'"))
        return connections and len(core.find(c.pid, [needle]).get(needle, ())) <= connections

    kit.wait_for(looked, lambda: "one copy a connection in\n" + core.tell(core.find(c.pid, [needle])))


def test_a_redis_password_is_not_there_once_it_is_connected(chimera, plugins):
    if not kit.has_plugin(plugins, "kv_redis"):
        pytest.skip("kv_redis is not built")
    from redis_server import Redis
    with Redis(password=KEYS["redis"]) as redis:
        c = chimera({"kv_redis": {"url": f"redis://127.0.0.1:{redis.port}", "password": KEYS["redis"]}})
        kit.wait_for(lambda: redis.clients(), "a connection")
        kit.wait_for(lambda: not core.find(c.pid, NEEDLES), lambda: "no password in\n" + core.tell(core.find(c.pid, NEEDLES)))


# ---- whether there is one ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize("allowed", ["yes", "no"])
def test_a_process_that_may_not_leave_a_core_file_is_closed_to_its_own_user(chimera, tmp_path, allowed):
    """The kernel gives /proc/PID of such a process to root, whoever it is."""
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    c = chimera({"server": {"user": "nobody"}}, env={"CHIMERA__SERVER__CORE_DUMPS": allowed})
    owner = os.stat(f"/proc/{c.pid}/status").st_uid
    assert (owner == 0) == (allowed == "no")


@pytest.mark.skipif(not PLAIN, reason="the kernel gives core files to a program")
@pytest.mark.parametrize("allowed", ["yes", "no"])
def test_a_crash_leaves_a_core_file_only_if_that_is_allowed_and_no_secret_in_it(chimera, plugins, upstream, tmp_path, allowed):
    c = chimera(sections(upstream, plugins), env={"CHIMERA__SERVER__CORE_DUMPS": allowed}, prefix=["prlimit", "--core=unlimited"], cwd=str(tmp_path))
    talk(c, upstream)
    if allowed == "yes":
        kit.wait_for(lambda: not core.find(c.pid, NEEDLES), "no secret")
    c.signal(signal.SIGABRT)
    assert c.wait_exit() == -signal.SIGABRT
    cores = glob.glob(str(tmp_path / "core*"))
    assert len(cores) == (allowed == "yes")
    for path in cores:
        with open(path, "rb") as f:
            data = f.read()
        os.remove(path)
        assert base(upstream).encode() in data
        assert [n for n in NEEDLES if n in data] == []


def test_the_environment_is_not_shown_to_others(chimera):
    c = chimera({}, env={"SOME_TOKEN": KEYS["caller"]})
    with open(f"/proc/{c.pid}/environ", "rb") as f:
        assert f.read().strip(b"\0") == b""
