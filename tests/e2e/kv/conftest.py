# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests over Redis: redis_server.py says what they hand out."""
from redis_server import redis, redis_of_session, redis_server  # noqa: F401
