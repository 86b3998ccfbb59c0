/* SPDX-License-Identifier: Apache-2.0 */
/* The field Idempotency-Key: which values are keys, and which key they are (RFC 8941, section 3.3.3; FAULTS I4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "key.h"

static void is_key(const char *value, const char *key)
{
	char out[IDEM_KEY_MAX];
	size_t n;

	assert_null(idem_key_read((struct ch_str){ value, strlen(value) }, out, &n));
	assert_int_equal(n, strlen(key));
	assert_memory_equal(out, key, n);
}

static void is_none(const char *value, const char *why)
{
	char out[IDEM_KEY_MAX];
	size_t n;
	const char *said = idem_key_read((struct ch_str){ value, strlen(value) }, out, &n);

	assert_non_null(said);
	assert_non_null(strstr(said, why));
}

static void quoted_and_bare_are_the_same_key(void **state)
{
	(void)state;
	is_key("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324");
	is_key("\"8e03978e-40d5-43e8-bc93-6894a57f9324\"", "8e03978e-40d5-43e8-bc93-6894a57f9324");
	is_key("\"a\\\"b\\\\c\"", "a\"b\\c");
	is_key("a\"b\\c", "a\"b\\c");
	is_key("!~", "!~");
}

static void empty_is_no_key(void **state)
{
	(void)state;
	is_none("", "is empty");
	is_none("\"\"", "is empty");
}

static void unfinished_or_overdone_quotes_are_no_key(void **state)
{
	(void)state;
	is_none("\"", "does not end");
	is_none("\"abc", "does not end");
	is_none("\"abc\\\"", "does not end");
	is_none("\"abc\" ", "behind its closing quote");
	is_none("\"abc\";p=1", "behind its closing quote");
	is_none("\"a\", \"b\"", "behind its closing quote");
	is_none("\"a\\b\"", "backslash");
	is_none("\"a\\", "backslash");
}

static void what_is_not_visible_ascii_is_no_key(void **state)
{
	(void)state;
	is_none("a b", "visible");
	is_none("\"a b\"", "visible");
	is_none("a\tb", "visible");
	is_none("a\r\nX: y", "visible");
	is_none("\"a\nb\"", "visible");
	is_none("k\303\244se", "visible");
	is_none("\"\377\"", "visible");
	is_none("a\177", "visible");
}

static void a_key_has_255_characters_at_most(void **state)
{
	char text[10240];

	(void)state;
	memset(text, 'k', sizeof(text));
	text[255] = 0;
	is_key(text, text);
	text[255] = 'k';
	text[256] = 0;
	is_none(text, "more than 255");
	text[256] = 'k';
	text[sizeof(text) - 1] = 0;
	is_none(text, "more than 255");
	text[0] = '"';
	text[256] = '"';
	text[257] = 0;
	{
		char out[IDEM_KEY_MAX];
		size_t n;

		assert_null(idem_key_read((struct ch_str){ text, 257 }, out, &n));
		assert_int_equal(n, 255);
	}
	text[256] = 'k';
	text[257] = '"';
	text[258] = 0;
	is_none(text, "more than 255");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quoted_and_bare_are_the_same_key),
		cmocka_unit_test(empty_is_no_key),
		cmocka_unit_test(unfinished_or_overdone_quotes_are_no_key),
		cmocka_unit_test(what_is_not_visible_ascii_is_no_key),
		cmocka_unit_test(a_key_has_255_characters_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
