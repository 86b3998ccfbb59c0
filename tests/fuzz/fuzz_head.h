/* SPDX-License-Identifier: MIT */
/* What must hold of any head, request or response; each harness adds how to parse one. */
#ifndef CHIMERA_TESTS_FUZZ_HEAD_H
#define CHIMERA_TESTS_FUZZ_HEAD_H

#include "chimera/kit/http1.h"
#include "fuzz.h"

#define FIELDS 16

struct outcome {
	struct ch_h1_field fields[FIELDS];
	struct ch_h1_head head;
	enum ch_h1_rc rc;
};

/* The harness's parser, called with the bytes in a block of their own. */
typedef enum ch_h1_rc (*fuzz_parse)(struct ch_h1_head *head, const char *p, size_t n);

/* Small enough to be met by small inputs. */
static const struct ch_h1_limits fuzz_limits = { 200, 200, 600, 12 };

static inline void fuzz_parse_copy(struct outcome *o, fuzz_parse parse, const uint8_t *data, size_t n)
{
	char *copy = fuzz_copy(data, n);

	memset(o, 0, sizeof(*o));
	o->head.fields = o->fields;
	o->head.fields_cap = FIELDS;
	o->rc = parse(&o->head, copy, n);
	free(copy);
}

static inline void fuzz_check_span(const struct outcome *o, struct ch_h1_span s)
{
	FUZZ_CHECK(s.off <= o->head.head_len && s.len <= o->head.head_len - s.off);
}

/* No byte of the run could end a line or a string. */
static inline void fuzz_check_text(const struct outcome *o, const uint8_t *data, struct ch_h1_span s)
{
	fuzz_check_span(o, s);
	for (uint32_t i = 0; i < s.len; i++) {
		uint8_t c = data[s.off + i];

		FUZZ_CHECK(c == '\t' || (c >= 0x20 && c != 0x7f));
	}
}

static inline void fuzz_check_done(const struct outcome *o, const uint8_t *data, size_t n)
{
	const struct ch_h1_head *h = &o->head;

	FUZZ_CHECK(h->head_len >= 4 && h->head_len <= n && h->head_len <= fuzz_limits.max_head);
	FUZZ_CHECK(!memcmp(data + h->head_len - 4, "\r\n\r\n", 4));
	FUZZ_CHECK(h->nfields <= fuzz_limits.max_fields && h->minor <= 1);
	FUZZ_CHECK(h->content_length <= INT64_MAX);
	for (uint32_t i = 0; i < h->nfields; i++) {
		struct ch_h1_span name = h->fields[i].name;
		struct ch_h1_span value = h->fields[i].value;

		fuzz_check_text(o, data, name);
		fuzz_check_text(o, data, value);
		FUZZ_CHECK(name.len > 0 && data[name.off + name.len] == ':');
		FUZZ_CHECK(memchr(data + name.off, ':', name.len) == NULL && memchr(data + name.off, ' ', name.len) == NULL);
		if (value.len)
			FUZZ_CHECK(!strchr(" \t", data[value.off]) && !strchr(" \t", data[value.off + value.len - 1]));
	}
}

/* A prefix asks for more or has the verdict of the whole. */
static inline void fuzz_check_prefix(const struct outcome *whole, fuzz_parse parse, const uint8_t *data, size_t n)
{
	struct outcome part;

	fuzz_parse_copy(&part, parse, data, n);
	if (part.rc == CH_H1_MORE) {
		FUZZ_CHECK(whole->rc != CH_H1_DONE || n < whole->head.head_len);
		return;
	}
	FUZZ_CHECK(part.rc == whole->rc);
	FUZZ_CHECK(part.head.status == whole->head.status && part.head.error == whole->head.error);
	if (part.rc == CH_H1_DONE) {
		FUZZ_CHECK(!memcmp(part.fields, whole->fields, sizeof(part.fields)));
		FUZZ_CHECK(!memcmp(&part.head.nfields, &whole->head.nfields, sizeof(part.head) - offsetof(struct ch_h1_head, nfields)));
	}
}

static inline void fuzz_head(struct outcome *o, fuzz_parse parse, const uint8_t *data, size_t n)
{
	uint64_t h = fuzz_hash(data, n);

	fuzz_parse_copy(o, parse, data, n);
	if (o->rc == CH_H1_DONE)
		fuzz_check_done(o, data, n);
	else if (o->rc == CH_H1_ERROR)
		FUZZ_CHECK(o->head.error && o->head.status >= 400 && o->head.status <= 599);
	if (n == 0)
		return;
	for (int i = 0; i < 8; i++, h = h * 6364136223846793005u + 1442695040888963407u)
		fuzz_check_prefix(o, parse, data, (size_t)(h >> 33) % n);
	fuzz_check_prefix(o, parse, data, n - 1);
	if (o->rc == CH_H1_DONE)
		fuzz_check_prefix(o, parse, data, o->head.head_len);
}

#endif
