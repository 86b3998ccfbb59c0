/* SPDX-License-Identifier: MIT */
/*
 * What the harnesses share. A harness exports LLVMFuzzerTestOneInput and nothing else, so that libFuzzer, AFL++ and the plain
 * main() of standalone.c can all drive it.
 */
#ifndef CHIMERA_TESTS_FUZZ_H
#define CHIMERA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run like a crash, also where NDEBUG is set. */
#define FUZZ_CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__, #condition); \
			abort(); \
		} \
	} while (0)

/* A copy in a block of exactly n bytes (never NULL): AddressSanitizer sees every read behind it. */
static inline char *fuzz_copy(const void *data, size_t n)
{
	char *copy = malloc(n ? n : 1);

	FUZZ_CHECK(copy != NULL);
	if (n)
		memcpy(copy, data, n);
	return copy;
}

/* A number from the input, so that choices such as where to split are the fuzzer's and a replay makes the same. */
static inline uint64_t fuzz_hash(const uint8_t *data, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ data[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

#endif
