/* SPDX-License-Identifier: Apache-2.0 */
/* dsn.h - the connection string: what is wrong with it, its hosts, what libpq is told. */
#ifndef PG_DSN_H
#define PG_DSN_H

#include <libpq-fe.h>

#include <chimera/plugin.h>

#define PG_HOSTS_MAX 8
#define PG_PARAMS_MAX 64

/* The options that stand in it; free by pg_dsn_free, which wipes the password. NULL: it cannot be read, or no memory is left. */
PQconninfoOption *pg_dsn_parse(const char *dsn);
void pg_dsn_free(PQconninfoOption *dsn);
/* NULL: none, or empty. */
const char *pg_dsn_get(const PQconninfoOption *dsn, const char *keyword);
/* NULL: it is fine; else what is wrong, static text, without a word of it. */
const char *pg_dsn_fault(const char *dsn);

/* The hosts that must be asked for, by place: those that are names. An entry n 0: nothing to ask. Returns how many places; 0: too many. */
size_t pg_dsn_hosts(const PQconninfoOption *dsn, struct ch_str hosts[PG_HOSTS_MAX]);

/* What a connection wants beside the string. */
struct pg_dial {
	const char *password;            /* "": the string's own */
	const char *sslmode, *sslrootcert; /* NULL or "": the string's own */
	bool blocking;                   /* names are left to libpq */
	const char *connect_timeout;     /* seconds; NULL: libpq has none */
};
struct pg_params {
	const char *keywords[PG_PARAMS_MAX], *values[PG_PARAMS_MAX];
	size_t n;
	char *host, *hostaddr, *port;    /* lists; malloc's */
};
/*
 * Fills *out: both arrays end with NULL, and point into dsn, d and addrs. addrs[i]: of hosts[i] where a name was asked for, its
 * addresses, each as a host of its own; entries without any are left out. false: no memory.
 */
bool pg_dsn_params(struct pg_params *out, const PQconninfoOption *dsn, const struct pg_dial *d, struct ch_addrs *const addrs[PG_HOSTS_MAX]);
void pg_params_free(struct pg_params *p);

/* "127.0.0.1:5432" of a connection that is being made or stands. */
void pg_where(PGconn *pg, char *text, size_t n);

#endif
