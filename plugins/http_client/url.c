/* SPDX-License-Identifier: Apache-2.0 */
/* url.c - see url.h. */
#include <arpa/inet.h>
#include <string.h>

#include "address.h"
#include "url.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_alnum(char c)
{
	return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');
}

/* How long "scheme://" at the front is; 0: there is none. */
static size_t scheme_len(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && (is_alnum(p[i]) || p[i] == '+' || p[i] == '-' || p[i] == '.'))
		i++;
	return i > 0 && n - i >= 3 && !memcmp(p + i, "://", 3) ? i + 3 : 0;
}

static bool begins(const char *p, size_t n, const char *word)
{
	size_t i = 0;

	while (word[i] && i < n && lower(p[i]) == word[i])
		i++;
	return !word[i];
}

static const char *name(struct hc_url *u, const char *p, size_t n)
{
	unsigned char bytes[16];

	if (n == 0)
		return "it names no host";
	if (n > HC_HOST_MAX)
		return "its host name has more than 253 bytes";
	for (size_t i = 0; i < n; i++) {
		if (!is_alnum(p[i]) && p[i] != '-' && p[i] != '.' && p[i] != '_')
			return "its host holds a byte that host names have not; write an international name in its xn-- form";
		u->host[i] = lower(p[i]);
	}
	u->host_n = n;
	u->numeric = inet_pton(AF_INET, u->host, bytes) == 1;
	return NULL;
}

static const char *literal(struct hc_url *u, const char *p, size_t n)
{
	unsigned char bytes[16];

	if (n >= INET6_ADDRSTRLEN)
		return "what stands in brackets is no IPv6 address";
	for (size_t i = 0; i < n; i++)
		u->host[i] = lower(p[i]);
	if (memchr(p, 0, n) || inet_pton(AF_INET6, u->host, bytes) != 1)
		return "what stands in brackets is no IPv6 address";
	u->host_n = n;
	u->numeric = u->v6 = true;
	return NULL;
}

static const char *port(struct hc_url *u, const char *p, size_t n)
{
	unsigned v = 0;

	if (n == 0 || n > 5)
		return "its port is not from 1 to 65535";
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return "its port is no number";
		v = v * 10 + (unsigned)(p[i] - '0');
	}
	if (v == 0 || v > 65535)
		return "its port is not from 1 to 65535";
	u->port = (uint16_t)v;
	return NULL;
}

static const char *authority(struct hc_url *u, const char *p, size_t n)
{
	const char *close = n && *p == '[' ? memchr(p, ']', n) : NULL;
	const char *colon = close ? (close + 1 < p + n ? close + 1 : NULL) : memchr(p, ':', n);
	size_t host_n = colon ? (size_t)(colon - p) : n;
	const char *why;

	if (memchr(p, '@', n))
		return "it holds user:password@; send credentials in a header field";
	if (n && *p == '[' && (!close || (colon && *colon != ':')))
		return "what stands in brackets is no IPv6 address";
	why = close ? literal(u, p + 1, (size_t)(close - p) - 1) : name(u, p, host_n);
	return why || !colon ? why : port(u, colon + 1, (size_t)(p + n - colon) - 1);
}

static bool ends_server(char c)
{
	return c == '/' || c == '?' || c == '#';
}

/* Path and query: what stands behind the server. */
static const char *target(struct hc_url *u, const char *p, size_t n)
{
	u->target = p;
	u->target_n = n;
	u->slash = !n || *p != '/';
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '#')
			return "it has a fragment (#)";
		if (p[i] <= ' ' || p[i] >= 0x7f || p[i] == '\\')
			return "its path or query holds a blank, a backslash, a control character or a non-ASCII byte; percent-encode it";
	}
	return NULL;
}

const char *hc_url_parse(struct hc_url *u, const char *p, size_t n, bool *foreign)
{
	size_t scheme = scheme_len(p, n), end;
	const char *why;

	memset(u, 0, sizeof(*u));
	u->tls = begins(p, n, "https://");
	*foreign = scheme && !u->tls && !begins(p, n, "http://");
	if (*foreign)
		return "only http:// and https:// are spoken here";
	if (!scheme)
		return "it does not begin with http:// or https://";
	u->port = u->tls ? 443 : 80;
	for (end = scheme; end < n && !ends_server(p[end]); end++)
		;
	why = authority(u, p + scheme, end - scheme);
	if (why)
		return why;
	u->usual_port = u->port == (u->tls ? 443 : 80);
	u->link_local = u->numeric && hc_link_local_text(u->host);
	if (end <= sizeof(u->server)) {
		memcpy(u->server, p, end);
		u->server_n = end;
	}
	return target(u, p + end, n - end);
}

const char *hc_url_parse_next(struct hc_url *u, const char *p, size_t n, bool *foreign)
{
	size_t same = u->server_n;

	if (!same || n < same || memcmp(p, u->server, same) || (n > same && !ends_server(p[same])))
		return hc_url_parse(u, p, n, foreign);
	*foreign = false;
	return target(u, p + same, n - same);
}
