/* SPDX-License-Identifier: Apache-2.0 */
/* url.c - see url.h. */
#include <string.h>

#include "url.h"

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A number of up to `most`; p[n] need not be a NUL. -1: it is none. */
static int number(const char *p, size_t n, int most)
{
	int v = 0;

	if (!n || n > 9)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v <= most ? v : -1;
}

char kr_url_byte(const char **p, const char *stop)
{
	const char *at = *p;

	*p = at + (*at == '%' ? 3 : 1);
	if (*at != '%')
		return *at;
	return stop - at >= 3 && hex(at[1]) >= 0 && hex(at[2]) >= 0 ? (char)(hex(at[1]) * 16 + hex(at[2])) : 0;
}

/* Is it well encoded, without a NUL and not too long? */
static bool encoded_well(struct ch_str s)
{
	const char *p = s.p, *stop = p + s.n;
	size_t n = 0;

	while (p < stop && n <= KR_WORD_MAX) {
		if (!kr_url_byte(&p, stop))
			return false;
		n++;
	}
	return n <= KR_WORD_MAX;
}

const char *kr_place_read(const char *text, size_t n, int usual_port, char *host, int *port)
{
	const char *stop = text + n, *end, *colon;

	*port = usual_port;
	if (n && *text == '[') {
		end = memchr(text, ']', n);
		if (!end)
			return "has a [ without its ]";
		text++;
		colon = end + 1;
	} else {
		end = memchr(text, ':', n);
		end = end ? end : stop;
		colon = end;
	}
	if (colon < stop) {
		*port = *colon == ':' ? number(colon + 1, (size_t)(stop - colon - 1), 65535) : 0;
		if (*port < 1)
			return "has a port that is none: 1 to 65535 are; an IPv6 address stands in [ ]";
	}
	if (end == text || end - text > KR_HOST_MAX)
		return "names no host";
	for (const char *c = text; c < end; c++)
		if (*c <= ' ' || *c > '~' || strchr("/@?#\\\"'<>[]", *c))
			return "has a character in its host that no host has";
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = 0;
	return NULL;
}

static const char *socket_read(const char *p, struct kr_url *u)
{
	const char *query = strchr(p, '?');
	size_t n = query ? (size_t)(query - p) : strlen(p);

	if (*p != '/' || n < 2 || n > KR_PATH_MAX)
		return "must be unix:///path/of/the/socket, of 107 bytes at most";
	memcpy(u->path, p, n);
	u->path[n] = 0;
	if (query) {
		u->database = strncmp(query, "?db=", 4) ? -1 : number(query + 4, strlen(query + 4), 99999);
		if (u->database < 0)
			return "may end with ?db=NUMBER and nothing else";
	}
	return NULL;
}

const char *kr_url_read(const char *text, struct kr_url *u, struct ch_str *user, struct ch_str *password)
{
	const char *at, *slash, *colon;

	*u = (struct kr_url){ .port = 6379 };
	*user = *password = (struct ch_str){ .n = 0 };
	if (!strncmp(text, "unix://", 7))
		return socket_read(text + 7, u);
	if (!strncmp(text, "rediss://", 9))
		return "begins with rediss://, which this chimera cannot speak: use redis:// in a network of your own or through a tunnel "
			"(stunnel, WireGuard), or a unix socket";
	if (strncmp(text, "redis://", 8))
		return "must begin with redis:// or unix://";
	text += 8;
	if (strpbrk(text, "?#"))
		return "has a ? or # in it: write %3F or %23 in a password; a query means nothing here";
	at = strrchr(text, '@');
	if (at) {
		colon = memchr(text, ':', (size_t)(at - text));
		if (!colon)
			return "has a user without a password: redis://user:password@host";
		*user = (struct ch_str){ text, (size_t)(colon - text) };
		*password = (struct ch_str){ colon + 1, (size_t)(at - colon - 1) };
		if (!encoded_well(*user) || !encoded_well(*password))
			return "has a % in user or password that two hex digits do not follow, or one of them has more than 512 bytes";
		text = at + 1;
	}
	slash = strchr(text, '/');
	if (slash && slash[1]) {
		u->database = number(slash + 1, strlen(slash + 1), 99999);
		if (u->database < 0)
			return "has a path that is no number: the database stands there, /0";
	}
	return kr_place_read(text, slash ? (size_t)(slash - text) : strlen(text), 6379, u->host, &u->port);
}
