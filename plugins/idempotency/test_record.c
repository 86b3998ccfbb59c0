/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the store: read back as it was written, and nothing else is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "record.h"

static const unsigned char print[CH_SHA256] = "0123456789abcdef0123456789abcde";
static const unsigned char process[IDEM_PROCESS] = "process-of-us-1";

static bool read_bytes(const void *p, size_t n, struct idem_record *r)
{
	unsigned char *copy = malloc(n ? n : 1); /* of that size, so that a sanitizer sees a look beyond */
	bool good;

	memcpy(copy, p, n);
	good = idem_record_read((struct ch_str){ (char *)copy, n }, r);
	free(copy);
	return good;
}

/* status 201, two fields, a body of four bytes, one of them a NUL. */
static size_t answer(unsigned char *out)
{
	size_t n = IDEM_ANSWER_HEAD;

	idem_record_answer(out, print, 201, true, 2);
	idem_record_field(out + n, 1, 5);
	memcpy(out + n + 6, "A\0first", 8);
	n += 14;
	idem_record_field(out + n, 2, 0);
	memcpy(out + n + 6, "Bc\0", 4);
	n += 10;
	memcpy(out + n, "bo\0y", 4);
	return n + 4;
}

static void a_claim_is_read_back(void **state)
{
	unsigned char b[IDEM_CLAIM_SIZE];
	struct idem_record r;

	(void)state;
	idem_record_claim(b, print, process, UINT64_C(0x1122334455667788));
	assert_true(idem_record_read((struct ch_str){ (char *)b, sizeof(b) }, &r));
	assert_int_equal(r.kind, IDEM_CLAIM);
	assert_memory_equal(r.print, print, sizeof(print));
	assert_memory_equal(r.process, process, sizeof(process));
	assert_true(r.nonce == UINT64_C(0x1122334455667788));
	assert_int_equal(b[50], 0x88); /* little-endian, wherever it is read */
	assert_int_equal(b[57], 0x11);
}

static void an_answer_is_read_back(void **state)
{
	unsigned char b[128];
	size_t n = answer(b), at = 0;
	const char *name, *value;
	struct idem_record r;

	(void)state;
	assert_true(idem_record_read((struct ch_str){ (char *)b, n }, &r));
	assert_int_equal(r.kind, IDEM_ANSWER);
	assert_int_equal(r.status, 201);
	assert_true(r.stream);
	assert_int_equal(r.nfields, 2);
	assert_true(idem_record_next(&r, &at, &name, &value));
	assert_string_equal(name, "A");
	assert_string_equal(value, "first");
	assert_true(idem_record_next(&r, &at, &name, &value));
	assert_string_equal(name, "Bc");
	assert_string_equal(value, "");
	assert_false(idem_record_next(&r, &at, &name, &value));
	assert_int_equal(r.body.n, 4);
	assert_memory_equal(r.body.p, "bo\0y", 4);
}

static void a_spent_key_is_read_back(void **state)
{
	unsigned char b[IDEM_SPENT_SIZE];
	struct idem_record r;

	(void)state;
	idem_record_spent(b, print);
	assert_true(read_bytes(b, sizeof(b), &r));
	assert_int_equal(r.kind, IDEM_SPENT);
}

static void what_is_cut_is_no_record(void **state)
{
	unsigned char b[128];
	size_t n = answer(b);
	struct idem_record r;

	(void)state;
	for (size_t i = 0; i < n - 4; i++) /* the last four are the body, of any length */
		assert_false(read_bytes(b, i, &r));
	idem_record_claim(b, print, process, 1);
	for (size_t i = 0; i < IDEM_CLAIM_SIZE; i++)
		assert_false(read_bytes(b, i, &r));
	assert_false(read_bytes(b, IDEM_CLAIM_SIZE + 1, &r));
}

static void what_lies_about_itself_is_no_record(void **state)
{
	unsigned char b[128];
	size_t n = answer(b);
	struct idem_record r;

	(void)state;
	b[37] = 3; /* one field more than there is */
	assert_false(read_bytes(b, n, &r));
	n = answer(b);
	b[40] = 255; /* a value longer than the record */
	assert_false(read_bytes(b, n, &r));
	n = answer(b);
	memset(b + 40, 255, 4);
	assert_false(read_bytes(b, n, &r));
	n = answer(b);
	b[46] = 0; /* a NUL inside of a value */
	assert_false(read_bytes(b, n, &r));
	n = answer(b);
	b[34] = 99; /* status 99 */
	b[35] = 0;
	assert_false(read_bytes(b, n, &r));
	n = answer(b);
	b[0] = 2; /* another version */
	assert_false(read_bytes(b, n, &r));
	n = answer(b);
	b[1] = 4; /* another kind */
	assert_false(read_bytes(b, n, &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_claim_is_read_back),
		cmocka_unit_test(an_answer_is_read_back),
		cmocka_unit_test(a_spent_key_is_read_back),
		cmocka_unit_test(what_is_cut_is_no_record),
		cmocka_unit_test(what_lies_about_itself_is_no_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
