# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of the usage ledger: the databases of ../storage/servers.py, and those of ../conftest.py."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "storage"))

from servers import clickhouse, clickhouse_server, postgres, postgres_server  # noqa: E402,F401
