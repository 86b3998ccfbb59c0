/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/loop.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t chi_clock(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t chi_wall(void)
{
	return read_clock(CLOCK_REALTIME);
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

/* xoshiro256**, one state a thread, seeded by the kernel. */
uint64_t chi_random(void)
{
	static __thread uint64_t s[4];
	while (!(s[0] | s[1] | s[2] | s[3]))
		if (getrandom(s, sizeof s, 0) != (ssize_t)sizeof s)
			abort(); /* ids that repeat are worse than none */
	uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}
