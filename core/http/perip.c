/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections each address has, in the whole process. Only used while max_connections_per_ip is set. */
#include "core/http/http.h"

#include <pthread.h>
#include <stdlib.h>

#define BUCKETS 4096 /* power of two */

struct entry {
	struct entry *next;
	struct in6_addr addr;
	int64_t n;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *buckets[BUCKETS];
static uint64_t seed; /* so that nobody can choose addresses that share a bucket */

static struct entry **place(const struct in6_addr *a)
{
	uint64_t hi, lo;
	memcpy(&hi, a->s6_addr, 8);
	memcpy(&lo, a->s6_addr + 8, 8);
	uint64_t h = (hi ^ seed) * 0x9e3779b97f4a7c15u;
	h = (h ^ h >> 29 ^ lo) * 0xbf58476d1ce4e5b9u;
	struct entry **at = &buckets[(h ^ h >> 32) & (BUCKETS - 1)];
	while (*at && memcmp(&(*at)->addr, a, sizeof *a))
		at = &(*at)->next;
	return at;
}

int64_t chi_perip_add(const struct in6_addr *a)
{
	pthread_mutex_lock(&lock);
	while (!seed)
		seed = chi_random();
	struct entry **at = place(a);
	if (!*at && (*at = calloc(1, sizeof **at)))
		(*at)->addr = *a;
	int64_t n = *at ? ++(*at)->n : 0;
	pthread_mutex_unlock(&lock);
	return n;
}

void chi_perip_remove(const struct in6_addr *a)
{
	pthread_mutex_lock(&lock);
	struct entry **at = place(a), *e = *at;
	if (e && --e->n <= 0) {
		*at = e->next;
		free(e);
	}
	pthread_mutex_unlock(&lock);
}
