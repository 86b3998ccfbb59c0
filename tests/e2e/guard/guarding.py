# SPDX-License-Identifier: Apache-2.0
"""What the tests of the guard share: keys, and daemons with auth, ratelimit and idempotency over memory or over one Redis.

  keys = Keys(folder); secret = keys.add("team-a", tier="premium", owner="team-a"); keys.path
  guarded(keys, redis=r, n=3, up=upstream, ratelimit={…}, …) -> [Chimera, …]          see sections(); stopped at the end
"""
import collections
import hashlib
import json
import os
import re

import canary
import chimera as kit
import pytest
from counting import Counting

JSON = {"Content-Type": "application/json"}
UNLIMITED = {"requests": "100000/s", "burst": 1000000}


class Keys:
    """A keys_file. The secrets are made from the seed, so that a run can be repeated."""

    def __init__(self, folder, rng):
        self.path, self.random, self.rows = os.path.join(str(folder), "keys.ini"), rng, {}
        self.write()

    def secret(self):
        return canary.add(f"sk-{self.random.getrandbits(256):064x}")

    def add(self, name, **row):
        secret = self.secret()
        self.rows[name] = {"hash": "sha256:" + hashlib.sha256(secret.encode()).hexdigest(), **row}
        self.write()
        return secret

    def write(self):
        with open(os.open(self.path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            f.write(kit.config_text(self.rows))
        os.rename(self.path + ".new", self.path)


def sections(keys=None, redis=None, up=None, **more):
    """The config. keys: a Keys, or None: nobody needs one; redis: a server with .url, or None: memory alone; up: a Counting, or None:
    dryrun alone. Keyword arguments are further keys of sections, "__" for ".", None leaves one out."""
    store = "kv_redis" if redis else "kv_memory"
    full = {"trace": {}, "dryrun": {}, "ask": {"backend": "dryrun"}, "router": {"retries": 0, "default": "dryrun"}, "api_openai": {},
            "kv_memory": {}, "auth": {"keys_file": keys.path, "anonymous": "no"} if keys else {"anonymous": "yes"},
            "ratelimit": {"store": store}, "ratelimit.api_key": UNLIMITED, "ratelimit.anonymous": UNLIMITED,
            "idempotency": {"store": store}}
    if redis:
        full["kv_redis"] = {"url": redis.url}
        full["ratelimit"]["fallback"] = "kv_memory"
    if up:
        full["http_client"] = {}
        full["openai:up"] = {"base_url": f"http://127.0.0.1:{up.port}/v1", "models": "count", "default_model": "count"}
        full["router"].update({"breaker_failures": 0, "breaker_error_rate": "0%"})
    for name, row in more.items():
        name = name.replace("__", ".")
        full[name] = None if row is None else {**(full.get(name) or {}), **row}
    return full


def need(plugins, config):
    """Skips where a plugin is not built that the config names."""
    for name in config:
        name = re.split("[:.]", name)[0]
        if name not in ("server", "log") and not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")


@pytest.fixture
def guarded(chimera, plugins):
    """n daemons of one config; env: further words of their environment."""
    def start(keys=None, n=1, env=None, **more):
        config = sections(keys, **more)
        need(plugins, config)
        return [chimera(config, env=env) for _ in range(n)]
    return start


@pytest.fixture
def counting():
    """A Counting for this test alone."""
    with Counting(kit.seeded().getrandbits(32)) as up:
        yield up


# ---- requests ------------------------------------------------------------------------------------------------------------


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def ask(secret=None, prompt="x", headers=()):
    return kit.request_bytes("POST", "/v1/ask", json.dumps({"prompt": prompt}), {**JSON, **bearer(secret), **dict(headers)})


def chat(secret=None, content="x", model="count", stream=False, headers=()):
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    if stream:
        body["stream"] = True
    return kit.request_bytes("POST", "/v1/chat/completions", json.dumps(body), {**JSON, **bearer(secret), **dict(headers)})


def tally(answers):
    """{kind: how many}, for people and for comparing."""
    return dict(collections.Counter(a.kind for a in answers).most_common())
