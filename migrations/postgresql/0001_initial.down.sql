DROP TABLE IF EXISTS ingestion_records;
DROP TABLE IF EXISTS inference_records;
