/* SPDX-License-Identifier: MIT */
/* Request targets: what is accepted is normal, valid UTF-8 without control characters, and stays as it is. */
#include "chimera/kit/http1.h"
#include "fuzz.h"

static int ends_in(const char *s, size_t n, const char *what)
{
	size_t len = strlen(what);

	return n >= len && !memcmp(s + n - len, what, len);
}

static int contains(const char *s, size_t n, const char *what)
{
	for (size_t end = 1; end <= n; end++)
		if (ends_in(s, end, what))
			return 1;
	return 0;
}

static void check_path(const char *path, size_t n)
{
	if (n == 1 && *path == '*')
		return;
	FUZZ_CHECK(n > 0 && path[0] == '/');
	FUZZ_CHECK(!contains(path, n, "/../") && !contains(path, n, "/./") && !contains(path, n, "//"));
	FUZZ_CHECK(!ends_in(path, n, "/..") && !ends_in(path, n, "/."));
	for (size_t i = 0; i < n; i++)
		FUZZ_CHECK((unsigned char)path[i] >= 0x20 && path[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *target = fuzz_copy(data, size);
	char *path = fuzz_copy(data, size);
	char *again = fuzz_copy(data, size);
	struct ch_h1_span query;
	struct ch_h1_span none;
	const char *error = NULL;
	size_t len;
	size_t again_len;

	if (ch_h1_target(target, size, path, &len, &query, &error) != 0) {
		FUZZ_CHECK(error != NULL);
	} else {
		FUZZ_CHECK(len <= size && query.off <= size && query.len <= size - query.off);
		check_path(path, len);
		if (!memchr(path, '%', len) && !memchr(path, '?', len)) {
			FUZZ_CHECK(ch_h1_target(path, len, again, &again_len, &none, &error) == 0);
			FUZZ_CHECK(again_len == len && !memcmp(again, path, len));
		}
	}
	free(target);
	free(path);
	free(again);
	return 0;
}
