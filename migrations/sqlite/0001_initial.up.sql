-- Rows of the usage ledger and of ingestion. docs/data_model.md says what each column means.
-- UUIDs are text in lower case, times are microseconds since 1970 in UTC, booleans are 0 and 1.

CREATE TABLE inference_records (
	row_id TEXT NOT NULL PRIMARY KEY,
	time INTEGER NOT NULL,
	batch_id TEXT NOT NULL,
	req_id TEXT NOT NULL,
	trace_id TEXT,
	endpoint TEXT NOT NULL,
	method TEXT NOT NULL,
	backend TEXT,
	model TEXT,
	asked TEXT,
	owner TEXT,
	tier TEXT,
	status INTEGER NOT NULL,
	error_type TEXT,
	tokens_in INTEGER NOT NULL,
	tokens_out INTEGER NOT NULL,
	cost REAL,
	latency_ms REAL NOT NULL,
	first_byte_ms REAL,
	bytes_in INTEGER NOT NULL,
	bytes_out INTEGER NOT NULL,
	aborted INTEGER NOT NULL,
	prompt TEXT,
	answer TEXT
) STRICT;
CREATE INDEX inference_records_time ON inference_records (time);
CREATE INDEX inference_records_req_id ON inference_records (req_id);
CREATE INDEX inference_records_owner ON inference_records (owner, time) WHERE owner IS NOT NULL;

CREATE TABLE ingestion_records (
	row_id TEXT NOT NULL PRIMARY KEY,
	time INTEGER NOT NULL,
	batch_id TEXT NOT NULL,
	req_id TEXT,
	owner TEXT,
	source TEXT NOT NULL,
	item TEXT NOT NULL,
	kind TEXT NOT NULL,
	status TEXT NOT NULL,
	detail TEXT,
	bytes INTEGER NOT NULL,
	sha256 TEXT,
	latency_ms REAL
) STRICT;
CREATE INDEX ingestion_records_time ON ingestion_records (time);
CREATE INDEX ingestion_records_req_id ON ingestion_records (req_id) WHERE req_id IS NOT NULL;
CREATE INDEX ingestion_records_owner ON ingestion_records (owner, time) WHERE owner IS NOT NULL;
CREATE INDEX ingestion_records_item ON ingestion_records (item);
