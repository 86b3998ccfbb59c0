-- Rows of the usage ledger and of ingestion. docs/data_model.md says what each column means.
-- Times are microseconds since 1970 in UTC; time_at shows them as a moment, it is not stored. A partition is a day of the row's own time,
-- what lies before 1970 or after 2100 in the first or the last. A row that came twice has the same time and row_id: merging leaves one.

CREATE TABLE IF NOT EXISTS inference_records (
	row_id UUID,
	time Int64,
	batch_id UUID,
	req_id String,
	trace_id Nullable(String),
	endpoint String,
	method String,
	backend Nullable(String),
	model Nullable(String),
	asked Nullable(String),
	owner Nullable(String),
	tier Nullable(String),
	status Int64,
	error_type Nullable(String),
	tokens_in Int64,
	tokens_out Int64,
	cost Nullable(Float64),
	latency_ms Float64,
	first_byte_ms Nullable(Float64),
	bytes_in Int64,
	bytes_out Int64,
	aborted UInt8,
	prompt Nullable(String),
	answer Nullable(String),
	time_at DateTime ALIAS toDateTime(intDiv(time, 1000000))
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(toDateTime(greatest(0, least(intDiv(time, 1000000), 4102444800)), 'UTC'))
ORDER BY (time, row_id);

CREATE TABLE IF NOT EXISTS ingestion_records (
	row_id UUID,
	time Int64,
	batch_id UUID,
	req_id Nullable(String),
	owner Nullable(String),
	source String,
	item String,
	kind String,
	status String,
	detail Nullable(String),
	bytes Int64,
	sha256 Nullable(String),
	latency_ms Nullable(Float64),
	time_at DateTime ALIAS toDateTime(intDiv(time, 1000000))
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(toDateTime(greatest(0, least(intDiv(time, 1000000), 4102444800)), 'UTC'))
ORDER BY (time, row_id);
