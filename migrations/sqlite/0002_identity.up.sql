-- Users, API keys and provider tokens, of the plugin identity. docs/data_model.md says what each column means.
-- Times are microseconds since 1970 in UTC, booleans are 0 and 1.

CREATE TABLE users (
	id TEXT NOT NULL PRIMARY KEY,
	name TEXT NOT NULL,
	email TEXT,
	role TEXT NOT NULL,
	disabled INTEGER NOT NULL,
	created INTEGER NOT NULL
) STRICT;

CREATE TABLE user_stats (
	user_id TEXT NOT NULL PRIMARY KEY,
	logins INTEGER NOT NULL,
	requests INTEGER NOT NULL,
	last_seen INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
	id TEXT NOT NULL PRIMARY KEY,
	sha256 BLOB NOT NULL,
	prefix TEXT NOT NULL,
	owner TEXT NOT NULL,
	tier TEXT NOT NULL,
	role TEXT NOT NULL,
	limits TEXT NOT NULL,
	models TEXT NOT NULL,
	routes TEXT NOT NULL,
	backends TEXT NOT NULL,
	networks TEXT NOT NULL,
	expires INTEGER,
	disabled INTEGER NOT NULL,
	created INTEGER NOT NULL,
	note TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX api_keys_sha256 ON api_keys (sha256);
CREATE INDEX api_keys_owner ON api_keys (owner);

CREATE TABLE provider_tokens (
	id TEXT NOT NULL PRIMARY KEY,
	family TEXT NOT NULL,
	user_id TEXT NOT NULL,
	provider TEXT NOT NULL,
	access BLOB NOT NULL,
	refresh BLOB,
	key_id TEXT NOT NULL,
	expires INTEGER,
	created INTEGER NOT NULL,
	spent INTEGER,
	revoked INTEGER
) STRICT;
CREATE INDEX provider_tokens_user ON provider_tokens (user_id, provider);
CREATE INDEX provider_tokens_family ON provider_tokens (family);

-- One row. Each change of a key or user, or of a token, raises its number in the same transaction: so every server sees it.
CREATE TABLE identity_revision (
	id INTEGER NOT NULL PRIMARY KEY,
	keys INTEGER NOT NULL,
	tokens INTEGER NOT NULL
) STRICT;
INSERT INTO identity_revision (id, keys, tokens) VALUES (1, 0, 0);
