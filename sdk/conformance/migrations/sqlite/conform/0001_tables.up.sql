-- SPDX-License-Identifier: MIT
-- The tables of the conformance suites of sql/1 and sink/1.

CREATE TABLE conform_values (
	id INTEGER NOT NULL PRIMARY KEY,
	i INTEGER,
	r REAL,
	b INTEGER,
	t TEXT,
	x BLOB,
	at INTEGER,
	u TEXT
) STRICT;
CREATE TABLE conform_things (
	id INTEGER NOT NULL PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	n INTEGER NOT NULL DEFAULT 0 CONSTRAINT conform_things_n_check CHECK (n >= 0)
) STRICT;
CREATE TABLE conform_parts (
	id INTEGER NOT NULL PRIMARY KEY,
	thing INTEGER NOT NULL REFERENCES conform_things (id)
) STRICT;
CREATE TABLE conform_many (
	i INTEGER NOT NULL PRIMARY KEY
) STRICT;

CREATE TABLE conform_events (
	row_id TEXT NOT NULL PRIMARY KEY,
	time INTEGER NOT NULL,
	batch_id TEXT NOT NULL,
	tag TEXT NOT NULL,
	i INTEGER,
	r REAL,
	b INTEGER,
	t TEXT,
	x BLOB,
	at INTEGER,
	u TEXT
) STRICT;
CREATE INDEX conform_events_time ON conform_events (time);
CREATE INDEX conform_events_tag ON conform_events (tag);
CREATE TABLE conform_notes (
	row_id TEXT NOT NULL PRIMARY KEY,
	time INTEGER NOT NULL,
	batch_id TEXT NOT NULL,
	tag TEXT NOT NULL,
	n INTEGER NOT NULL
) STRICT;
CREATE INDEX conform_notes_time ON conform_notes (time);
