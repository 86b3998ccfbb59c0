# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests over Redis: redis_server.py says what they hand out."""
import pytest

from redis_server import kit, redis, redis_of_session, redis_server  # noqa: F401


@pytest.fixture(autouse=True)
def built(request, plugins):
    if request.module.__name__.startswith("test_kv_redis") and not kit.has_plugin(plugins, "kv_redis"):
        pytest.skip("kv_redis is not built: install libhiredis-dev and configure anew")
