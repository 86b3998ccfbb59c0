# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of idempotency.

  backend    a server that counts its calls (counted_backend.py), for this test
  front      front(redis, …) -> Chimera: a chimerad before it, over memory without a Redis; further keyword arguments are options of
             [idempotency]. It waits long for Redis: where that is to be short, timeout says so
  redis      a Redis for this test (../kv/redis_server.py)
"""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in (HERE, os.path.join(HERE, "..", "kv")):
    if folder not in sys.path:
        sys.path.insert(0, folder)
import chimera as kit  # noqa: E402
from counted_backend import Counting  # noqa: E402
from redis_server import redis  # noqa: E402,F401


@pytest.fixture
def backend():
    b = Counting()
    yield b
    b.close()


@pytest.fixture
def front(chimera, plugins, backend):
    for name in ("idempotency", "kv_memory", "http_client", "openai", "api_openai"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")

    def one(store=None, more=None, timeout="10s", **options):
        sections = {
            "http_client": {}, "openai": {"base_url": f"http://127.0.0.1:{backend.port}/v1", "models": "*", "default_model": "m"},
            "api_openai": {}, "ask": {}, "trace": {},
            "kv_memory" if store is None else "kv_redis": {} if store is None else {"url": store.url, "timeout": timeout},
            "idempotency": {"store": "kv_memory" if store is None else "kv_redis", **options}, **(more or {})}
        if store is not None and not kit.has_plugin(plugins, "kv_redis"):
            pytest.skip("kv_redis is not built")
        return chimera(sections)
    return one
