/* SPDX-License-Identifier: Apache-2.0 */
/* failures.c - sets of eight places under a lock each; an address may lie in one set alone. */
#include <pthread.h>
#include <stdlib.h>

#include <chimera/kit/bucket.h>
#include <chimera/kit/net.h>

#include "failures.h"

#define SETS 2048
#define WAYS 8
#define LOCKS 16

struct place {
	uint64_t high, low;               /* of the address; both 0: free, or whatever is no address */
	struct ch_bucket bucket;
};
struct auth_failures {
	struct ch_bucket_rate rate;
	uint64_t seed;
	pthread_mutex_t locks[LOCKS];
	struct place sets[SETS][WAYS];
};

struct auth_failures *auth_failures_new(double per_second, uint64_t burst, uint64_t seed)
{
	struct auth_failures *f = calloc(1, sizeof(*f)); /* pages are the system's until they are written to */

	if (!f || !ch_bucket_rate_from(&f->rate, per_second, burst)) {
		free(f);
		return NULL;
	}
	f->seed = seed;
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&f->locks[i], NULL);
	return f;
}

void auth_failures_free(struct auth_failures *f)
{
	for (size_t i = 0; f && i < LOCKS; i++)
		pthread_mutex_destroy(&f->locks[i]);
	free(f);
}

/* ---- where an address lies ---- */

static struct place place_of(const char *client)
{
	struct in6_addr a;
	struct place p = { 0 };

	if (!client || !ch_addr_read(client, strlen(client), &a))
		return p;
	memcpy(&p.high, a.s6_addr, 8);
	if (IN6_IS_ADDR_V4MAPPED(&a))
		memcpy(&p.low, a.s6_addr + 8, 8);
	return p;
}

static size_t set_of(const struct auth_failures *f, const struct place *p)
{
	uint64_t x = (p->high ^ f->seed) * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 32 ^ p->low) * UINT64_C(0xd6e8feb86659fd93);
	return (x ^ x >> 32) % SETS;
}

static struct place *find(struct place *set, const struct place *p)
{
	for (size_t i = 0; i < WAYS; i++)
		if (set[i].high == p->high && set[i].low == p->low)
			return &set[i];
	return NULL;
}

/* Who lacks the least has failed the least, or the longest ago. */
static struct place *least(const struct auth_failures *f, struct place *set, int64_t now)
{
	struct place *best = set;
	uint64_t most = 0;

	for (size_t i = 0; i < WAYS; i++) {
		uint64_t n = ch_bucket_tokens(&set[i].bucket, &f->rate, now);

		if (n > most) {
			most = n;
			best = &set[i];
		}
	}
	return best;
}

/* ---- asking and adding ---- */

int64_t auth_failures_wait(struct auth_failures *f, const char *client, int64_t now)
{
	struct place wanted = place_of(client);
	size_t set = set_of(f, &wanted);
	pthread_mutex_t *lock = &f->locks[set % LOCKS];

	pthread_mutex_lock(lock);
	const struct place *p = find(f->sets[set], &wanted);
	int64_t wait = ch_bucket_wait(p ? &p->bucket : &wanted.bucket, &f->rate, 1, now);
	pthread_mutex_unlock(lock);
	return wait < 0 ? INT64_MAX : wait; /* a limit of 0: nobody may fail */
}

void auth_failures_add(struct auth_failures *f, const char *client, int64_t now)
{
	struct place wanted = place_of(client);
	size_t set = set_of(f, &wanted);
	pthread_mutex_t *lock = &f->locks[set % LOCKS];

	pthread_mutex_lock(lock);
	struct place *p = find(f->sets[set], &wanted);
	if (!p) {
		p = least(f, f->sets[set], now);
		*p = wanted;
	}
	ch_bucket_take(&p->bucket, &f->rate, 1, now);
	pthread_mutex_unlock(lock);
}
