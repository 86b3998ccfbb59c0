/* SPDX-License-Identifier: Apache-2.0 */
/* reply.c - see reply.h. */
#include <string.h>

#include "reply.h"

const struct kr_trouble_row kr_troubles[KR_TROUBLES] = {
	[KR_FINE] = { "", CH_KV_OK, false, false, NULL },
	[KR_NOSCRIPT] = { "noscript", CH_KV_UNAVAILABLE, true, false, "Redis does not know the script that it was just given." },
	[KR_WRONG_KIND] = { "wrong_kind", CH_KV_WRONG_KIND, false, false, "The key holds something of another kind." },
	[KR_FULL] = { "oom", CH_KV_FULL, false, false,
		"Redis is full (OOM); raise its maxmemory, or let it forget by maxmemory-policy." },
	[KR_READONLY] = { "readonly", CH_KV_UNAVAILABLE, true, true,
		"Redis is a read-only replica (READONLY); let url name the master, or use sentinels." },
	[KR_LOADING] = { "loading", CH_KV_UNAVAILABLE, true, true, "Redis is still loading its data (LOADING)." },
	[KR_BUSY] = { "busy", CH_KV_UNAVAILABLE, true, true, "Redis is busy with somebody's script (BUSY)." },
	[KR_MASTERDOWN] = { "masterdown", CH_KV_UNAVAILABLE, true, true, "Redis is a replica that has lost its master (MASTERDOWN)." },
	[KR_CLUSTER] = { "cluster", CH_KV_UNAVAILABLE, true, true,
		"Redis is part of a cluster and the key is elsewhere; Redis Cluster is not supported, let url name a single server." },
	[KR_AUTH] = { "auth", CH_KV_UNAVAILABLE, true, true,
		"Redis refuses the password or wants one (NOAUTH, WRONGPASS); correct user and password." },
	[KR_DENIED] = { "denied", CH_KV_UNAVAILABLE, true, false,
		"Redis does not permit it to this user (NOPERM); its ACL must allow +@all -@dangerous +role on the keys of key_prefix." },
	[KR_REFUSED] = { "refused", CH_KV_UNAVAILABLE, true, false,
		"Redis takes no writes now (MISCONF or NOREPLICAS); its own log says why." },
	[KR_SCRIPT] = { "script", CH_KV_UNKNOWN, true, false, "Redis answered with an error that is none of those that are known." },
	[KR_RANGE] = { "range", CH_KV_RANGE, false, false, "A counter is 2^53 at most, in both directions." },
	[KR_TIMEOUT] = { "timeout", CH_KV_UNKNOWN, true, false, "Redis did not answer in time." },
	[KR_LOST] = { "lost", CH_KV_UNKNOWN, true, false, "The connection to Redis was lost." },
	[KR_DOWN] = { "down", CH_KV_UNAVAILABLE, false, false, "Redis cannot be reached, or is too slow; it is tried again by itself." },
	[KR_CROWDED] = { "crowded", CH_KV_UNAVAILABLE, false, false, "Too much waits for Redis already." },
	[KR_GARBAGE] = { "garbage", CH_KV_UNKNOWN, true, true, "What Redis answered makes no sense." },
	[KR_MEMORY] = { "memory", CH_KV_NO_MEMORY, false, false, "The request has no memory left for the answer." },
	[KR_CANCELLED] = { "cancelled", CH_KV_CANCELLED, false, false, "The call was given up." },
	[KR_FAULT] = { "fault", CH_KV_UNAVAILABLE, false, false, "A fault was injected." },
	[KR_BAD_REQUEST] = { "bad_request", CH_KV_BAD_REQUEST, false, false, NULL },
};

/* ---- errors ---- */

static const struct code {
	const char *word;
	enum kr_trouble trouble;
} codes[] = {
	{ "NOSCRIPT", KR_NOSCRIPT }, { "WRONGTYPE", KR_WRONG_KIND }, { "OOM", KR_FULL }, { "READONLY", KR_READONLY }, { "LOADING", KR_LOADING },
	{ "BUSY", KR_BUSY }, { "MASTERDOWN", KR_MASTERDOWN }, { "MOVED", KR_CLUSTER }, { "ASK", KR_CLUSTER }, { "CLUSTERDOWN", KR_CLUSTER },
	{ "CROSSSLOT", KR_CLUSTER }, { "TRYAGAIN", KR_CLUSTER }, { "NOAUTH", KR_AUTH }, { "WRONGPASS", KR_AUTH }, { "NOPERM", KR_DENIED },
	{ "MISCONF", KR_REFUSED }, { "NOREPLICAS", KR_REFUSED }, { "EXECABORT", KR_DENIED },
};

/* The trouble whose word p begins with. */
static enum kr_trouble code_of(const char *p, size_t n)
{
	size_t len = 0;

	while (len < n && p[len] >= 'A' && p[len] <= 'Z')
		len++;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (len == strlen(codes[i].word) && !memcmp(p, codes[i].word, len))
			return codes[i].trouble;
	return KR_FINE;
}

enum kr_trouble kr_error_read(const char *p, size_t n)
{
	enum kr_trouble t = code_of(p, n);
	const char *inner;

	if (t != KR_FINE)
		return t;
	/* Before 7.0 a script that is stopped says "ERR Error running script (…): @user_script:12: -OOM command not allowed …". */
	inner = memmem(p, n, "@user_script", strlen("@user_script"));
	for (const char *at = inner; at && at < p + n - 2; at++)
		if (at[0] == ':' && at[1] == ' ') {
			at += 2 + (at[2] == '-');
			t = code_of(at, (size_t)(p + n - at));
			break;
		}
	return t == KR_FINE ? KR_SCRIPT : t;
}

/* ---- what our scripts answer ---- */

char kr_mark_read(const char *p, size_t n, enum kr_trouble *trouble)
{
	*trouble = KR_FINE;
	if (n && (*p == '0' || *p == '1' || *p == 'B'))
		return *p;
	*trouble = n != 1 ? KR_GARBAGE : *p == 'K' ? KR_WRONG_KIND : *p == 'R' ? KR_RANGE : *p == 'F' ? KR_FULL : KR_GARBAGE;
	return 0;
}

/* A whole number of up to 18 digits, of which `end` must follow; *p is put behind that. */
static bool number_read(const char **p, const char *stop, char end, int64_t *v)
{
	const char *at = *p;
	bool minus = at < stop && *at == '-';
	int digits = 0;

	*v = 0;
	for (at += minus; at < stop && *at >= '0' && *at <= '9' && digits < 18; at++, digits++)
		*v = *v * 10 + (*at - '0');
	if (!digits || (end ? at == stop || *at != end : at != stop))
		return false;
	if (minus)
		*v = -*v;
	*p = at + (end != 0);
	return true;
}

bool kr_value_read(const char *p, size_t n, struct kr_value *v)
{
	const char *stop = p + n;

	*v = (struct kr_value){ .version = 0 };
	if (!n)
		return true;
	if (n < 16)
		return false;
	for (const char *digits = p + 16; p < digits; p++) {
		int d = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;

		if (d < 0)
			return false;
		v->version = v->version << 4 | (unsigned)d;
	}
	if (!v->version || !number_read(&p, stop, ':', &v->ttl_ms) || v->ttl_ms < 0 || v->ttl_ms > CH_KV_MS_MAX)
		return false;
	v->value = (struct ch_str){ p, (size_t)(stop - p) };
	return v->value.n <= CH_KV_VALUE_MAX;
}

bool kr_counter_read(const char *p, size_t n, int64_t *number, int64_t *ttl_ms)
{
	const char *stop = p + n;

	return number_read(&p, stop, ':', number) && *number <= CH_KV_NUMBER_MAX && *number >= -CH_KV_NUMBER_MAX &&
		number_read(&p, stop, 0, ttl_ms) && *ttl_ms >= 0 && *ttl_ms <= CH_KV_MS_MAX;
}

bool kr_levels_read(const char *p, size_t n, struct ch_kv_level *v, size_t count)
{
	const char *stop = p + n;
	int64_t passes;

	for (size_t i = 0; i < count; i++) {
		if (!number_read(&p, stop, ' ', &passes) || (passes != 0 && passes != 1) || !number_read(&p, stop, ' ', &v[i].left) ||
		    v[i].left < 0 || !number_read(&p, stop, ' ', &v[i].wait_ms) || v[i].wait_ms < CH_KV_NEVER ||
		    !number_read(&p, stop, i + 1 < count ? ' ' : 0, &v[i].full_ms) || v[i].full_ms < 0)
			return false;
		v[i].passes = passes;
	}
	return true;
}
