# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of auth.

  keys   a KeysFile in a folder of its own: put(text) replaces it as chimeractl does, section(name, key, **more) is one of its sections
"""
import hashlib
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("storage", "inference", "config", "identity"):
    sys.path.append(os.path.join(HERE, "..", folder))

from servers import Postgres, postgres, postgres_server  # noqa: E402,F401


class KeysFile:
    def __init__(self, folder):
        self.path = os.path.join(str(folder), "keys.ini")

    @staticmethod
    def section(name, key, **more):
        lines = [f"[{name}]", f"hash = sha256:{hashlib.sha256(key.encode()).hexdigest()}"]
        return "\n".join(lines + [f"{k} = {v}" for k, v in more.items()]) + "\n"

    def put(self, *sections):
        with open(self.path + ".x", "w", encoding="utf-8") as f:
            f.write("\n".join(sections))
        os.rename(self.path + ".x", self.path)

    def text(self):
        with open(self.path, encoding="utf-8") as f:
            return f.read()


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    return KeysFile(folder)
