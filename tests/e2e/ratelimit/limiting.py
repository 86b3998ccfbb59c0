# SPDX-License-Identifier: Apache-2.0
"""Keys, configs and requests for the tests of ratelimit."""
import hashlib
import json
import os
import threading

import canary
import chimera as kit
import pytest

JSON = {"Content-Type": "application/json"}
PATIENT = "10s"  # of a Redis that is well: this machine may be slow itself


def secret(name):
    """A key: looked for in all that a daemon leaves behind."""
    return canary.of(f"ratelimit-{name}")


def bearer(name):
    return {"Authorization": f"Bearer {secret(name)}"} if name else {}


def write_keys(folder, rows):
    path = os.path.join(str(folder), "limited-keys.ini")
    full = {name: {"hash": "sha256:" + hashlib.sha256(secret(name).encode()).hexdigest(), **row} for name, row in rows.items()}
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
        f.write(kit.config_text(full))
    return path


def config(keys_path, redis=None, ratelimit=None, rows=None, **more):
    """redis: a server, which becomes the store, with kv_memory as its fallback, by default. rows: {"api_key": {…}} of [ratelimit]."""
    full = {"server": {"workers": 2}, "auth": {"keys_file": keys_path, "anonymous": "yes"}, "kv_memory": {}, "trace": {}, "t_echo": {},
            "dryrun": {}, "router": {"default": "dryrun"}, "api_openai": {}, "ratelimit": {"store": "kv_memory", **(ratelimit or {})}}
    if redis:
        full["kv_redis"] = {"url": redis.url, "timeout": PATIENT, "connect_timeout": PATIENT}
        full["ratelimit"] = {"store": "kv_redis", **(ratelimit or {})}
    for name, row in (rows or {}).items():
        full[f"ratelimit.{name}"] = row
    for name, section in more.items():
        full[name] = {**full.get(name, {}), **section}
    return full


@pytest.fixture
def limited(chimera, plugins, tmp_path):
    """start(keys={name: row}, …): a daemon; the rest as for config()."""
    def start(keys=None, n=1, **kw):
        sections = config(write_keys(tmp_path, keys or {"ann": {"owner": "ann"}}), **kw)
        for name in sections:
            name = name.split(".")[0]
            if name not in ("server", "log") and not kit.has_plugin(plugins, name):
                pytest.skip(f"{name} is not built")
        started = [chimera(sections) for _ in range(n)]
        return started[0] if n == 1 else started
    return start


def get(c, who="ann", target="/echo/x", **headers):
    return c.get(target, headers={**bearer(who), **headers})


def chat(who="ann", content="x" * 16, headers=(), **members):
    body = {"model": "dryrun", "messages": [{"role": "user", "content": content}], **members}
    return kit.request_bytes("POST", "/v1/chat/completions", json.dumps(body), {**JSON, **bearer(who), **dict(headers)})


def post(c, *args, **kw):
    return c.one(chat(*args, **kw))


def crowd(c, connections, each, who="ann", target="/echo/x"):
    """Statuses of connections * each requests, all connections at once."""
    statuses, failures = [], []
    start = threading.Barrier(connections)

    def one():
        try:
            with c.connect() as conn:
                start.wait()
                for _ in range(each):
                    statuses.append(conn.ask("GET", target, headers=bearer(who)).status)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(repr(e))
            start.abort()
    threads = [threading.Thread(target=one) for _ in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[:3]
    return statuses
