/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dsn.c - the connection string. libpq 15 asks for host names blocking, so names become addresses before it sees them: `hostaddr` says
 * where to connect, `host` stays the name that TLS checks.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "dsn.h"

PQconninfoOption *pg_dsn_parse(const char *dsn)
{
	char *why = NULL;
	PQconninfoOption *options = PQconninfoParse(dsn, &why);

	PQfreemem(why); /* it repeats parts of the string, maybe a password's */
	return options;
}

void pg_dsn_free(PQconninfoOption *dsn)
{
	for (PQconninfoOption *o = dsn; o && o->keyword; o++)
		if (o->val && *o->dispchar == '*')
			explicit_bzero(o->val, strlen(o->val));
	PQconninfoFree(dsn);
}

const char *pg_dsn_get(const PQconninfoOption *dsn, const char *keyword)
{
	for (; dsn && dsn->keyword; dsn++)
		if (!strcmp(dsn->keyword, keyword))
			return dsn->val && *dsn->val ? dsn->val : NULL;
	return NULL;
}

static size_t items(const char *list)
{
	size_t n = 1;

	for (; *list; list++)
		n += *list == ',';
	return n;
}

const char *pg_dsn_fault(const char *dsn)
{
	PQconninfoOption *o = pg_dsn_parse(dsn);
	const char *host = pg_dsn_get(o, "host"), *hostaddr = pg_dsn_get(o, "hostaddr"), *fault = NULL;

	if (!o)
		fault = "this is no connection string: write host=NAME port=5432 dbname=NAME user=NAME, or "
		        "postgresql://USER@HOST:5432/DBNAME with %-escapes for what is special in a URL";
	else if (pg_dsn_get(o, "service"))
		fault = "service: name the server itself, by host and port";
	else if (host && host[0] != '@' && strchr(host, '@'))
		fault = "the host has an @ in it: in a URL, an @ of the password is written %40; better, leave it to the option password";
	else if (items(host ? host : "") > PG_HOSTS_MAX || items(hostaddr ? hostaddr : "") > PG_HOSTS_MAX)
		fault = "8 hosts at most";
	pg_dsn_free(o);
	return fault;
}

static bool is_name(const char *p, size_t n)
{
	unsigned char room[16];
	char text[64];

	if (!n || *p == '/' || *p == '@' || n >= sizeof(text))
		return n >= sizeof(text);
	memcpy(text, p, n);
	text[n] = 0;
	return inet_pton(AF_INET, text, room) != 1 && inet_pton(AF_INET6, text, room) != 1;
}

/* The i-th of a list by comma, the last again past its end. */
static struct ch_str item(const char *list, size_t i)
{
	size_t n = strcspn(list, ",");

	while (i-- && list[n]) {
		list += n + 1;
		n = strcspn(list, ",");
	}
	return (struct ch_str){ list, n };
}

static const char *host_of(const PQconninfoOption *dsn)
{
	const char *host = pg_dsn_get(dsn, "host");

	if (!host && !pg_dsn_get(dsn, "hostaddr"))
		host = getenv("PGHOST");
	return host && *host ? host : NULL;
}

size_t pg_dsn_hosts(const PQconninfoOption *dsn, struct ch_str hosts[PG_HOSTS_MAX])
{
	const char *host = host_of(dsn);
	size_t n = items(host ? host : "");

	if (n > PG_HOSTS_MAX)
		return 0;
	for (size_t i = 0; i < n; i++) {
		struct ch_str h = item(host ? host : "", i);

		hosts[i] = !pg_dsn_get(dsn, "hostaddr") && is_name(h.p, h.n) ? h : (struct ch_str){ h.p, 0 };
	}
	return n;
}

static void add(struct pg_params *p, const char *keyword, const char *value)
{
	if (!value || !*value || p->n + 1 >= PG_PARAMS_MAX)
		return;
	p->keywords[p->n] = keyword;
	p->values[p->n++] = value;
}

/* Only where the string says nothing. */
static void add_default(struct pg_params *p, const PQconninfoOption *dsn, const char *keyword, const char *value)
{
	if (!pg_dsn_get(dsn, keyword))
		add(p, keyword, value);
}

static void append(char *to, bool *any, const char *p, size_t n)
{
	size_t at = strlen(to);

	if (*any)
		to[at++] = ',';
	if (n)
		memcpy(to + at, p, n);
	to[at + n] = 0;
	*any = true;
}

/* host, hostaddr and port as three lists of the same length: a name stands as often as it has addresses. */
static bool expand(struct pg_params *p, const PQconninfoOption *dsn, struct ch_addrs *const addrs[PG_HOSTS_MAX])
{
	const char *host = host_of(dsn), *port = pg_dsn_get(dsn, "port");
	size_t n = items(host), room = (strlen(host) + 64 + strlen(port ? port : "")) * 16 * n + 1;
	bool any[3] = { false };

	p->host = calloc(1, room);
	p->hostaddr = calloc(1, room);
	p->port = calloc(1, room);
	if (!p->host || !p->hostaddr || !p->port)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct ch_str h = item(host, i), at = item(port ? port : "", i);

		if (!is_name(h.p, h.n)) {
			bool numeric = h.n && *h.p != '/' && *h.p != '@';

			append(p->host, &any[0], h.p, h.n);
			append(p->hostaddr, &any[1], h.p, numeric ? h.n : 0);
			append(p->port, &any[2], at.p, at.n);
		}
		for (size_t k = 0; is_name(h.p, h.n) && addrs[i] && k < addrs[i]->n; k++) {
			append(p->host, &any[0], h.p, h.n);
			append(p->hostaddr, &any[1], addrs[i]->v[k], strlen(addrs[i]->v[k]));
			append(p->port, &any[2], at.p, at.n);
		}
	}
	return true;
}

bool pg_dsn_params(struct pg_params *out, const PQconninfoOption *dsn, const struct pg_dial *d, struct ch_addrs *const addrs[PG_HOSTS_MAX])
{
	static const char *const ours[] = { "password", "sslmode", "sslrootcert", "host", "hostaddr", "port", "connect_timeout" };
	bool lists = host_of(dsn) && !pg_dsn_get(dsn, "hostaddr") && !d->blocking;

	memset(out, 0, sizeof(*out));
	for (const PQconninfoOption *o = dsn; o->keyword; o++) {
		bool own = false;

		for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
			own |= !strcmp(o->keyword, ours[i]);
		if (!own)
			add(out, o->keyword, o->val);
	}
	if (lists && !expand(out, dsn, addrs)) {
		pg_params_free(out);
		return false;
	}
	add(out, "host", lists ? out->host : pg_dsn_get(dsn, "host"));
	add(out, "hostaddr", lists ? out->hostaddr : pg_dsn_get(dsn, "hostaddr"));
	add(out, "port", lists ? out->port : pg_dsn_get(dsn, "port"));
	add(out, "password", *d->password ? d->password : pg_dsn_get(dsn, "password"));
	add(out, "sslmode", d->sslmode && *d->sslmode ? d->sslmode : pg_dsn_get(dsn, "sslmode"));
	add(out, "sslrootcert", d->sslrootcert && *d->sslrootcert ? d->sslrootcert : pg_dsn_get(dsn, "sslrootcert"));
	add(out, "connect_timeout", d->connect_timeout);
	add_default(out, dsn, "application_name", "chimera");
	add(out, "client_encoding", "UTF8");
	add_default(out, dsn, "gssencmode", "disable"); /* it would ask a KDC, blocking */
	add_default(out, dsn, "keepalives_idle", "30");
	add_default(out, dsn, "keepalives_interval", "10");
	add_default(out, dsn, "keepalives_count", "3");
	add_default(out, dsn, "tcp_user_timeout", "15000");
	return true;
}

void pg_params_free(struct pg_params *p)
{
	free(p->host);
	free(p->hostaddr);
	free(p->port);
	p->host = p->hostaddr = p->port = NULL;
}

void pg_where(PGconn *pg, char *text, size_t n)
{
	const char *host = PQhost(pg), *port = PQport(pg);
	bool six = host && strchr(host, ':');

	snprintf(text, n, "%s%s%s:%s", six ? "[" : "", host && *host ? host : "the local socket", six ? "]" : "",
	         port && *port ? port : "5432");
}
