# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of ratelimit: servers of Redis, which ../kv/redis_server.py makes."""
import os
import sys

for folder in ("../storage", "../kv"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), folder))

from redis_server import redis, redis_of_session, redis_server  # noqa: E402,F401
