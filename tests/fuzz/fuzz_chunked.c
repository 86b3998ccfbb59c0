/* SPDX-License-Identifier: MIT */
/* Chunked bodies: the same bytes come out whole, byte by byte and in pieces that the input chooses. */
#include "chimera/kit/http1.h"
#include "fuzz.h"

struct result {
	enum ch_h1_rc rc;
	size_t taken; /* input up to the end of the body; set after CH_H1_DONE and CH_H1_MORE */
	size_t len;
	char *body;
};

/* Pieces are of `step` bytes, or of 1 to 16 chosen by `choice` when step is 0. */
static struct result decode(const uint8_t *data, size_t size, size_t step, uint64_t choice)
{
	struct ch_h1_chunked c = { 0 };
	struct result r = { .rc = CH_H1_MORE, .body = fuzz_copy(data, size) };

	while (r.rc == CH_H1_MORE && r.taken < size) {
		size_t part = step ? step : (size_t)(choice >> 60) + 1;
		char *piece;
		const char *out;
		size_t used;
		size_t len;

		choice = choice * 6364136223846793005u + 1442695040888963407u;
		if (part > size - r.taken)
			part = size - r.taken;
		piece = fuzz_copy(data + r.taken, part);
		r.rc = ch_h1_chunked_next(&c, piece, part, &used, &out, &len);
		if (r.rc != CH_H1_ERROR) {
			FUZZ_CHECK(used <= part && len <= used && out >= piece && out + len <= piece + part);
			FUZZ_CHECK(used > 0); /* else the caller would turn for ever */
			memcpy(r.body + r.len, out, len);
			r.len += len;
			r.taken += used;
			FUZZ_CHECK(c.body == r.len && c.overhead + c.body == r.taken);
			FUZZ_CHECK(c.overhead <= 16384 + c.body);
		} else {
			FUZZ_CHECK(c.error != NULL);
		}
		free(piece);
	}
	return r;
}

static void check_same(const struct result *a, struct result b)
{
	FUZZ_CHECK(a->rc == b.rc && a->len == b.len && !memcmp(a->body, b.body, b.len));
	FUZZ_CHECK(a->rc == CH_H1_ERROR || a->taken == b.taken);
	free(b.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole = decode(data, size, size, 0);

	check_same(&whole, decode(data, size, 1, 0));
	check_same(&whole, decode(data, size, 0, fuzz_hash(data, size)));
	free(whole.body);
	return 0;
}
