-- SPDX-License-Identifier: MIT
-- The tables of the conformance suite of sink/1, as chimera's own are made: a partition is a day, merging leaves one of equal rows.

CREATE TABLE IF NOT EXISTS conform_events (
	row_id UUID,
	time Int64,
	batch_id UUID,
	tag String,
	i Nullable(Int64),
	r Nullable(Float64),
	b Nullable(UInt8),
	t Nullable(String),
	x Nullable(String),
	at Nullable(Int64),
	u Nullable(UUID)
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(toDateTime(greatest(0, least(intDiv(time, 1000000), 4102444800)), 'UTC'))
ORDER BY (time, row_id);

CREATE TABLE IF NOT EXISTS conform_notes (
	row_id UUID,
	time Int64,
	batch_id UUID,
	tag String,
	n Int64
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(toDateTime(greatest(0, least(intDiv(time, 1000000), 4102444800)), 'UTC'))
ORDER BY (time, row_id);
