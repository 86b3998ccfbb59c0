# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of storage: servers.py says what they hand out."""
from servers import clickhouse, clickhouse_server, postgres, postgres_server  # noqa: F401
