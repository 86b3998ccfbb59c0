/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http/http.h"

#include <strings.h>

bool chi_proxy_trusted(const struct chi_conn *c)
{
	return !c->is_unix && c->http->ntrusted && ch_nets_have(c->http->trusted, c->http->ntrusted, &c->addr);
}

/* One member of X-Forwarded-For: blanks, brackets and a port taken off. */
static bool hop(const char *p, size_t n, struct in6_addr *a)
{
	while (n && (*p == ' ' || *p == '\t'))
		p++, n--;
	while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n && *p == '[') {
		const char *end = memchr(p, ']', n);
		return end && ch_addr_read(p + 1, (size_t)(end - p) - 1, a);
	}
	const char *colon = memchr(p, ':', n);
	if (colon && !memchr(colon + 1, ':', n - (size_t)(colon - p) - 1))
		n = (size_t)(colon - p); /* 10.1.2.3:4711 */
	return ch_addr_read(p, n, a);
}

/*
 * The client: the peer itself, or, where the peer is a trusted proxy, the rightmost address of X-Forwarded-For that is none. What
 * stands left of that was written by the client and proves nothing.
 */
const char *chi_proxy_client(struct chi_req *r)
{
	const struct chi_conn *c = r->conn;
	if (!chi_proxy_trusted(c))
		return chi_text_copy(&r->ctx->arena, c->peer);
	struct in6_addr best = c->addr;
	for (uint32_t i = r->head.nfields; i-- > 0;) {
		const struct ch_h1_field *f = &r->head.fields[i];
		const char *v = r->raw + f->value.off;
		if (f->name.len != 15 || strncasecmp(r->raw + f->name.off, "x-forwarded-for", 15))
			continue;
		for (size_t end = f->value.len; end;) {
			size_t at = end;
			while (at && v[at - 1] != ',')
				at--;
			struct in6_addr a;
			if (!hop(v + at, end - at, &a))
				goto out; /* nonsense: trust no further */
			best = a;
			if (!ch_nets_have(c->http->trusted, c->http->ntrusted, &a))
				goto out;
			end = at ? at - 1 : 0;
		}
	}
out:;
	char *text = chi_arena_raw(&r->ctx->arena, INET6_ADDRSTRLEN);
	if (text)
		ch_addr_text(&best, text);
	return text ? text : "";
}
