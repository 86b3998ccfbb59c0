-- Users, API keys and provider tokens, of the plugin identity. docs/data_model.md says what each column means.

CREATE TABLE users (
	id text COLLATE "C" NOT NULL PRIMARY KEY,
	name text NOT NULL,
	email text,
	role text NOT NULL,
	disabled boolean NOT NULL,
	created timestamptz NOT NULL
);

CREATE TABLE user_stats (
	user_id text COLLATE "C" NOT NULL PRIMARY KEY,
	logins bigint NOT NULL,
	requests bigint NOT NULL,
	last_seen timestamptz NOT NULL
);

CREATE TABLE api_keys (
	id text COLLATE "C" NOT NULL PRIMARY KEY,
	sha256 bytea NOT NULL,
	prefix text NOT NULL,
	owner text NOT NULL,
	tier text NOT NULL,
	role text NOT NULL,
	limits text NOT NULL,
	models text NOT NULL,
	routes text NOT NULL,
	backends text NOT NULL,
	networks text NOT NULL,
	expires timestamptz,
	disabled boolean NOT NULL,
	created timestamptz NOT NULL,
	note text NOT NULL
);
CREATE UNIQUE INDEX api_keys_sha256 ON api_keys (sha256);
CREATE INDEX api_keys_owner ON api_keys (owner);

CREATE TABLE provider_tokens (
	id text COLLATE "C" NOT NULL PRIMARY KEY,
	family text NOT NULL,
	user_id text NOT NULL,
	provider text NOT NULL,
	access bytea NOT NULL,
	refresh bytea,
	key_id text NOT NULL,
	expires timestamptz,
	created timestamptz NOT NULL,
	spent timestamptz,
	revoked timestamptz
);
CREATE INDEX provider_tokens_user ON provider_tokens (user_id, provider);
CREATE INDEX provider_tokens_family ON provider_tokens (family);

-- One row. Each change of a key or user, or of a token, raises its number in the same transaction: so every server sees it.
CREATE TABLE identity_revision (
	id bigint NOT NULL PRIMARY KEY,
	keys bigint NOT NULL,
	tokens bigint NOT NULL
);
INSERT INTO identity_revision (id, keys, tokens) VALUES (1, 0, 0);
