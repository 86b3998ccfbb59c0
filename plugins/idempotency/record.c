/* SPDX-License-Identifier: Apache-2.0 */
/* record.c - see record.h. */
#include "record.h"

#define FORM 1
#define STREAM 1u

static void put(unsigned char *at, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t number(const char *p, size_t n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | (unsigned char)p[n];
	return v;
}

static void begin(unsigned char *out, int kind, const unsigned char *print)
{
	out[0] = FORM;
	out[1] = (unsigned char)kind;
	memcpy(out + 2, print, CH_SHA256);
}

void idem_record_claim(unsigned char out[IDEM_CLAIM_SIZE], const unsigned char *print, const unsigned char *process, uint64_t nonce)
{
	begin(out, IDEM_CLAIM, print);
	memcpy(out + 34, process, IDEM_PROCESS);
	put(out + 50, nonce, 8);
}

void idem_record_spent(unsigned char out[IDEM_SPENT_SIZE], const unsigned char *print)
{
	begin(out, IDEM_SPENT, print);
}

void idem_record_answer(unsigned char out[IDEM_ANSWER_HEAD], const unsigned char *print, int status, bool stream, unsigned nfields)
{
	begin(out, IDEM_ANSWER, print);
	put(out + 34, (uint64_t)status, 2);
	out[36] = stream ? STREAM : 0;
	out[37] = (unsigned char)nfields;
}

void idem_record_field(unsigned char out[IDEM_FIELD_HEAD], size_t name, size_t value)
{
	put(out, name, 2);
	put(out + 2, value, 4);
}

/* The field at *at of text, with its two NULs and no others. */
static bool next(struct ch_str text, size_t *at, const char **name, const char **value)
{
	size_t i = *at, n, v;

	if (text.n - i < IDEM_FIELD_HEAD)
		return false;
	n = (size_t)number(text.p + i, 2);
	v = (size_t)number(text.p + i + 2, 4);
	i += IDEM_FIELD_HEAD;
	if (n + v + 2 > text.n - i)
		return false;
	*name = text.p + i;
	*value = *name + n + 1;
	*at = i + n + v + 2;
	return n && memchr(*name, 0, n + 1) == *name + n && memchr(*value, 0, v + 1) == *value + v;
}

static bool read_answer(struct ch_str bytes, struct idem_record *r)
{
	const char *name, *value;
	struct ch_str rest;
	size_t at = 0;

	if (bytes.n < IDEM_ANSWER_HEAD)
		return false;
	rest = (struct ch_str){ bytes.p + IDEM_ANSWER_HEAD, bytes.n - IDEM_ANSWER_HEAD };
	r->status = (int)number(bytes.p + 34, 2);
	r->stream = bytes.p[36] & STREAM;
	r->nfields = (unsigned char)bytes.p[37];
	if (r->status < 200 || r->status > 599)
		return false;
	for (unsigned i = 0; i < r->nfields; i++)
		if (!next(rest, &at, &name, &value))
			return false;
	r->fields = (struct ch_str){ rest.p, at };
	r->body = (struct ch_str){ rest.p + at, rest.n - at };
	return true;
}

bool idem_record_read(struct ch_str bytes, struct idem_record *r)
{
	if (bytes.n < IDEM_SPENT_SIZE || bytes.p[0] != FORM)
		return false;
	*r = (struct idem_record){ .kind = bytes.p[1], .print = (const unsigned char *)bytes.p + 2 };
	switch (r->kind) {
	case IDEM_CLAIM:
		if (bytes.n != IDEM_CLAIM_SIZE)
			return false;
		r->process = (const unsigned char *)bytes.p + 34;
		r->nonce = number(bytes.p + 50, 8);
		return true;
	case IDEM_ANSWER:
		return read_answer(bytes, r);
	case IDEM_SPENT:
		return bytes.n == IDEM_SPENT_SIZE;
	default:
		return false;
	}
}

bool idem_record_next(const struct idem_record *r, size_t *at, const char **name, const char **value)
{
	return next(r->fields, at, name, value);
}
