/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Redis answers and what a url says: read within its bounds, and what is taken holds what the readers promise. The first byte of the
 * input chooses the reader.
 */
#include "fuzz.h"
#include "plugins/kv_redis/reply.h"
#include "plugins/kv_redis/url.h"

const struct ch_host *ch_host_;

static void error(const char *p, size_t n)
{
	enum kr_trouble t = kr_error_read(p, n);

	FUZZ_CHECK(t > KR_FINE && t < KR_TROUBLES && kr_troubles[t].detail);
}

static void answer(const char *p, size_t n)
{
	struct ch_kv_level levels[CH_KV_BUCKETS_MAX];
	int64_t number, ttl;
	struct kr_value v;
	enum kr_trouble t;
	char mark = kr_mark_read(p, n, &t);

	FUZZ_CHECK((mark != 0) == (t == KR_FINE) && (!mark || n));
	if (!mark)
		return;
	if (kr_value_read(p + 1, n - 1, &v)) {
		FUZZ_CHECK(v.ttl_ms >= 0 && v.ttl_ms <= CH_KV_MS_MAX && (v.version || !v.value.n));
		FUZZ_CHECK(!v.value.n || (v.value.p > p && v.value.p + v.value.n == p + n));
	}
	if (kr_counter_read(p + 1, n - 1, &number, &ttl))
		FUZZ_CHECK(number >= -CH_KV_NUMBER_MAX && number <= CH_KV_NUMBER_MAX && ttl >= 0);
	for (size_t count = 1; count <= CH_KV_BUCKETS_MAX; count++)
		if (kr_levels_read(p + 1, n - 1, levels, count))
			for (size_t i = 0; i < count; i++)
				FUZZ_CHECK(levels[i].left >= 0 && levels[i].full_ms >= 0 && levels[i].wait_ms >= CH_KV_NEVER);
}

static void url(const char *text)
{
	struct ch_str user, password;
	struct kr_url u;

	if (kr_url_read(text, &u, &user, &password))
		return;
	FUZZ_CHECK((*u.host != 0) != (*u.path == '/') && u.port > 0 && u.port < 65536 && u.database >= 0);
	if (password.n)
		for (const char *p = password.p, *stop = p + password.n; p < stop;)
			FUZZ_CHECK(kr_url_byte(&p, stop) && p <= stop);
	FUZZ_CHECK(!user.n || user.p + user.n + 1 == password.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *p;

	if (!size)
		return 0;
	p = malloc(size);
	FUZZ_CHECK(p);
	memcpy(p, data + 1, size - 1);
	p[size - 1] = 0; /* the url's */
	if (data[0] % 3 == 0) {
		url(p);
	} else {
		char *exact = fuzz_copy(p, size - 1);

		if (data[0] % 3 == 1)
			error(exact, size - 1);
		else
			answer(exact, size - 1);
		free(exact);
	}
	free(p);
	return 0;
}
