-- Rows of the usage ledger and of ingestion. docs/data_model.md says what each column means. Text is ordered by its bytes, as sql.h promises.

CREATE TABLE inference_records (
	row_id uuid NOT NULL PRIMARY KEY,
	time timestamptz NOT NULL,
	batch_id uuid NOT NULL,
	req_id text COLLATE "C" NOT NULL,
	trace_id text COLLATE "C",
	endpoint text COLLATE "C" NOT NULL,
	method text COLLATE "C" NOT NULL,
	backend text COLLATE "C",
	model text COLLATE "C",
	asked text COLLATE "C",
	owner text COLLATE "C",
	tier text COLLATE "C",
	status bigint NOT NULL,
	error_type text COLLATE "C",
	tokens_in bigint NOT NULL,
	tokens_out bigint NOT NULL,
	cost double precision,
	latency_ms double precision NOT NULL,
	first_byte_ms double precision,
	bytes_in bigint NOT NULL,
	bytes_out bigint NOT NULL,
	aborted boolean NOT NULL,
	prompt text COLLATE "C",
	answer text COLLATE "C"
);
CREATE INDEX inference_records_time ON inference_records (time);
CREATE INDEX inference_records_req_id ON inference_records (req_id);
CREATE INDEX inference_records_owner ON inference_records (owner, time) WHERE owner IS NOT NULL;

CREATE TABLE ingestion_records (
	row_id uuid NOT NULL PRIMARY KEY,
	time timestamptz NOT NULL,
	batch_id uuid NOT NULL,
	req_id text COLLATE "C",
	owner text COLLATE "C",
	source text COLLATE "C" NOT NULL,
	item text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	status text COLLATE "C" NOT NULL,
	detail text COLLATE "C",
	bytes bigint NOT NULL,
	sha256 text COLLATE "C",
	latency_ms double precision
);
CREATE INDEX ingestion_records_time ON ingestion_records (time);
CREATE INDEX ingestion_records_req_id ON ingestion_records (req_id) WHERE req_id IS NOT NULL;
CREATE INDEX ingestion_records_owner ON ingestion_records (owner, time) WHERE owner IS NOT NULL;
CREATE INDEX ingestion_records_item ON ingestion_records (item);
