# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of the guard: servers of Redis (../kv/redis_server.py), and what guarding.py hands out."""
import os
import sys

for folder in ("../storage", "../kv", "../inference"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), folder))

from guarding import counting, guarded  # noqa: E402,F401
from redis_server import redis, redis_of_session, redis_server  # noqa: E402,F401
