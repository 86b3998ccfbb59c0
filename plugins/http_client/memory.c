/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c - see memory.h. After an allocation that failed libcurl 7.88 divides by zero in its tables of sockets. The core does this for
 * libev.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "memory.h"

#define RESERVE (256u << 10) /* what one connection needs, TLS and all; never touched, so it costs nothing until then */
#define TRIES 64

static void *_Atomic reserve;

static void *resize(void *old, size_t n)
{
	for (int i = 0;; i++) {
		void *p = realloc(old, n);

		if (p || !n || i == TRIES)
			return p;
		free(atomic_exchange(&reserve, NULL));
	}
}

static void *get(size_t n)
{
	return resize(NULL, n ? n : 1);
}

static void *get_zeroed(size_t n, size_t size)
{
	void *p = size && n > (size_t)-1 / size ? NULL : get(n * size);

	return p ? memset(p, 0, n * size) : NULL;
}

static char *copy(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = get(n);

	return p ? memcpy(p, s, n) : NULL;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool ready;

static void begin(void)
{
	atomic_store(&reserve, malloc(RESERVE));
	ready = curl_global_init_mem(CURL_GLOBAL_DEFAULT, get, free, resize, copy, get_zeroed) == CURLE_OK;
}

bool hc_memory_init(void)
{
	pthread_once(&once, begin);
	return ready;
}
