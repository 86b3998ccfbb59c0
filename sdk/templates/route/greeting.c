/* SPDX-License-Identifier: MIT */
/* greeting.c - see greeting.h. */
#include <string.h>

#include "greeting.h"

#define WORDS_MAX 256

bool greeting_name_ok(const char *name, size_t n)
{
	if (!n || n > GREETING_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = name[i], lower = (char)(c | 0x20);

		if ((lower < 'a' || lower > 'z') && (c < '0' || c > '9') && c != '_' && c != '-')
			return false;
	}
	return true;
}

void greeting_write(struct ch_jw *w, const char *words, const char *name, size_t n, long long times)
{
	char text[WORDS_MAX + 2 + GREETING_NAME_MAX];
	size_t len = strnlen(words, WORDS_MAX);

	memcpy(text, words, len);
	memcpy(text + len, ", ", 2);
	memcpy(text + len + 2, name, n);
	/* The writer escapes: a name or an option never ends a string early. */
	ch_jw_object(w);
	ch_jw_key(w, "greeting");
	ch_jw_string(w, text, len + 2 + n);
	ch_jw_key(w, "times");
	ch_jw_int(w, times);
	ch_jw_object_end(w);
}
