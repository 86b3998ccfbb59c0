DROP TABLE IF EXISTS identity_revision;
DROP TABLE IF EXISTS provider_tokens;
DROP TABLE IF EXISTS api_keys;
DROP TABLE IF EXISTS user_stats;
DROP TABLE IF EXISTS users;
