# SPDX-License-Identifier: Apache-2.0
"""Databases as the tests of identity see them, and the key that encrypts tokens in them."""
import os

import canary
from servers import sqlite

KEY = canary.hex_key()


class Sqlite:
    name = "storage_sqlite"

    def __init__(self, folder):
        self.folder, self.path = str(folder), os.path.join(str(folder), "shared.db")
        self.options = {"path": self.path}

    def rows(self, sql):
        return [tuple(None if v is None else v if isinstance(v, bytes) else str(v) for v in row) for row in sqlite(self.path, sql)]

    def change(self, sql):
        sqlite(self.path, sql)

    def files(self):
        return [os.path.join(self.folder, name) for name in os.listdir(self.folder) if name.startswith("shared.db")]


class Postgresql:
    name = "storage_postgres"

    def __init__(self, db):
        self.db, self.options = db, {"dsn": db.dsn}

    def rows(self, sql):
        return self.db.psql(sql)

    change = rows

    def files(self):
        self.db.server.psql("CHECKPOINT")
        return [os.path.join(folder, name) for folder, _, names in os.walk(self.db.server.data) for name in names]
