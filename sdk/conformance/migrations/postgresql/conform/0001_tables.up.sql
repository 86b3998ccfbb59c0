-- SPDX-License-Identifier: MIT
-- The tables of the conformance suites of sql/1 and sink/1. Text is compared by bytes: COLLATE "C" wherever it is ordered.

CREATE TABLE conform_values (
	id bigint NOT NULL PRIMARY KEY,
	i bigint,
	r double precision,
	b boolean,
	t text COLLATE "C",
	x bytea,
	at timestamptz,
	u uuid
);
CREATE TABLE conform_things (
	id bigint NOT NULL PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	n bigint NOT NULL DEFAULT 0 CONSTRAINT conform_things_n_check CHECK (n >= 0)
);
CREATE TABLE conform_parts (
	id bigint NOT NULL PRIMARY KEY,
	thing bigint NOT NULL REFERENCES conform_things (id)
);
CREATE TABLE conform_many (
	i bigint NOT NULL PRIMARY KEY
);

CREATE TABLE conform_events (
	row_id uuid NOT NULL PRIMARY KEY,
	time timestamptz NOT NULL,
	batch_id uuid NOT NULL,
	tag text NOT NULL,
	i bigint,
	r double precision,
	b boolean,
	t text,
	x bytea,
	at timestamptz,
	u uuid
);
CREATE INDEX conform_events_time ON conform_events (time);
CREATE INDEX conform_events_tag ON conform_events (tag);
CREATE TABLE conform_notes (
	row_id uuid NOT NULL PRIMARY KEY,
	time timestamptz NOT NULL,
	batch_id uuid NOT NULL,
	tag text NOT NULL,
	n bigint NOT NULL
);
CREATE INDEX conform_notes_time ON conform_notes (time);
