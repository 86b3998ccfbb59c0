/* SPDX-License-Identifier: MIT */
/* Request heads: the outcome does not depend on splits, spans lie inside the head, framing is never ambiguous. */
#include "fuzz_head.h"

static enum ch_h1_rc parse(struct ch_h1_head *head, const char *p, size_t n)
{
	return ch_h1_parse_request(head, &fuzz_limits, p, n);
}

/* Counts fields of that name; `name` is in small letters. */
static unsigned count(const struct outcome *o, const uint8_t *data, const char *name)
{
	unsigned found = 0;

	for (uint32_t i = 0; i < o->head.nfields; i++) {
		struct ch_h1_span s = o->head.fields[i].name;
		uint32_t k = 0;

		while (k < s.len && name[k] && (data[s.off + k] | (data[s.off + k] >= 'A' && data[s.off + k] <= 'Z' ? 0x20 : 0)) == name[k])
			k++;
		found += k == s.len && !name[k];
	}
	return found;
}

static void check_framing(const struct outcome *o, const uint8_t *data)
{
	unsigned lengths = count(o, data, "content-length");
	unsigned codings = count(o, data, "transfer-encoding");
	unsigned hosts = count(o, data, "host");

	FUZZ_CHECK(lengths + codings <= 1 && hosts <= 1);
	FUZZ_CHECK(o->head.body == (lengths ? CH_H1_BODY_LENGTH : codings ? CH_H1_BODY_CHUNKED : CH_H1_BODY_NONE));
	FUZZ_CHECK(o->head.minor == 0 ? !codings && !o->head.expect_continue : hosts == 1 && o->head.host.len > 0);
	FUZZ_CHECK(!count(o, data, "content_length") && !count(o, data, "transfer_encoding"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome o;

	fuzz_head(&o, parse, data, size);
	if (o.rc != CH_H1_DONE)
		return 0;
	fuzz_check_span(&o, o.head.method_name);
	fuzz_check_span(&o, o.head.target);
	fuzz_check_text(&o, data, o.head.host);
	FUZZ_CHECK(o.head.method_name.len > 0 && o.head.method_name.len <= 32 && o.head.target.len > 0);
	for (uint32_t i = 0; i < o.head.target.len; i++) {
		uint8_t c = data[o.head.target.off + i];

		FUZZ_CHECK(c > 0x20 && c < 0x7f && c != '#' && c != '\\');
	}
	for (uint32_t i = 0; i < o.head.host.len; i++)
		FUZZ_CHECK(data[o.head.host.off + i] < 0x7f && !strchr("/@,?\\\" \t", data[o.head.host.off + i]));
	check_framing(&o, data);
	return 0;
}
