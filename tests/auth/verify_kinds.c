/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_kinds.c - does judging a key (plugins/auth/verify.h) tell what is wrong with it?
 *
 *   verify_kinds                        looks whether each kind of key below is judged as what it is
 *   verify_kinds list                   their names
 *   verify_kinds count KIND [naive]     judges keys of one kind in counted(), for callgrind --toggle-collect=counted (see ./instructions)
 *   verify_kinds time TRIES SEED        times them, interleaved at random, and prints one line of JSON (see tests/bench/timing.py)
 *
 * `naive` is what nobody must do: go through the keys and stop where one differs. It shows that what is looked for would be found.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "../../plugins/auth/verify.h"

#define LENGTH 51 /* of each key */
#define KNOWN 48 /* keys in the table, as many good as expired as disabled ones */
#define BLOCK 256 /* tries with one table */
#define COUNTED 100
#define NOW 1700000000000000 /* microseconds since the epoch */
#define LONGER 64 /* bytes more: one block more of SHA-256 */

enum kind { GOOD, UNKNOWN, MALFORMED, WRONG_FIRST, WRONG_LAST, EXPIRED, DISABLED, KINDS, LONG = KINDS };
static const char *const names[] = { "good", "unknown", "malformed", "wrong_first", "wrong_last", "expired", "disabled", "longer" };
static const int wanted[KINDS] = { AUTH_GOOD, AUTH_UNKNOWN, AUTH_UNKNOWN, AUTH_UNKNOWN, AUTH_UNKNOWN, AUTH_EXPIRED, AUTH_DISABLED };

static uint64_t state = 1;
static char known[KNOWN][LENGTH]; /* good, expired, disabled, good, … */
static struct auth_table *table;
static volatile int sink;

/* ---- keys ---- */

static uint64_t number(void)
{
	/* xorshift64*: https://doi.org/10.1145/2845077 */
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(2685821657736338717);
}

static void random_key(char *out)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

	memcpy(out, "ck-", 3);
	for (unsigned i = 3; i < LENGTH; i++)
		out[i] = digits[number() >> 58];
}

/* A key of each kind, by the same work for all of them. */
static void keys_of_all_kinds(char (*out)[LENGTH])
{
	const char *some = known[number() % (KNOWN / 3) * 3];

	memcpy(out[GOOD], some, LENGTH);
	random_key(out[UNKNOWN]);
	for (unsigned i = 0; i < LENGTH; i++)
		out[MALFORMED][i] = (char)(number() >> 56 | 0x80);
	memcpy(out[MALFORMED] + number() % (LENGTH - 3), "\r\n", 3);
	memcpy(out[WRONG_FIRST], some, LENGTH);
	out[WRONG_FIRST][0] ^= (char)(1 + number() % 31);
	memcpy(out[WRONG_LAST], some, LENGTH);
	out[WRONG_LAST][LENGTH - 1] ^= (char)(1 + number() % 31);
	memcpy(out[EXPIRED], known[number() % (KNOWN / 3) * 3 + 1], LENGTH);
	memcpy(out[DISABLED], known[number() % (KNOWN / 3) * 3 + 2], LENGTH);
}

/* New keys in place of the old ones. */
static bool make_table(void)
{
	static struct auth_entry v[KNOWN];

	for (unsigned i = 0; i < KNOWN; i++) {
		struct ch_str text = { known[i], LENGTH };

		random_key(known[i]);
		ch_sha256(&text, 1, v[i].sha256);
		v[i].key = (struct ch_key){ .size = sizeof(v[i].key), .id = "", .owner = "", .tier = "", .models = "", .routes = "",
			.backends = "", .networks = "", .limits = "", .expires = i % 3 == 1 ? NOW - 1 : NOW + 1, .disabled = i % 3 == 2 };
	}
	auth_table_put(table);
	table = auth_table_new(v, KNOWN, NULL);
	return table != NULL;
}

/* ---- judging ---- */

typedef int judge_fn(const char *key, size_t n);

static int judge(const char *key, size_t n)
{
	unsigned char sha256[CH_SHA256];
	const struct ch_key *found;

	return auth_verify(table, (struct ch_str){ key, n }, NOW, sha256, &found);
}

static int naive(const char *key, size_t n)
{
	for (unsigned k = 0; k < KNOWN; k++) {
		size_t i = 0;

		while (i < LENGTH && i < n && key[i] == known[k][i])
			i++;
		if (i == LENGTH)
			return AUTH_GOOD;
	}
	return AUTH_UNKNOWN;
}

static int check(void)
{
	char keys[KINDS][LENGTH];
	int wrong = 0;

	for (unsigned n = 0; n < 1000; n++) {
		keys_of_all_kinds(keys);
		for (unsigned kind = 0; kind < KINDS; kind++) {
			int got = judge(keys[kind], LENGTH);

			if (got != wanted[kind] && !wrong++)
				fprintf(stderr, "a key that is %s is judged %d, not %d\n", names[kind], got, wanted[kind]);
		}
	}
	return wrong != 0;
}

/* ---- counting ---- */

void counted(judge_fn *fn, const char *keys, size_t length);

__attribute__((noinline)) void counted(judge_fn *fn, const char *keys, size_t length)
{
	for (size_t i = 0; i < COUNTED; i++)
		sink = fn(keys + i * length, length);
}

static int count(unsigned kind, judge_fn *fn)
{
	static char keys[COUNTED * (LENGTH + LONGER)];
	char some[KINDS][LENGTH];
	size_t length = kind == LONG ? LENGTH + LONGER : LENGTH;

	for (size_t i = 0; i < COUNTED; i++) {
		keys_of_all_kinds(some);
		memset(keys + i * length, 'x', length);
		memcpy(keys + i * length, some[kind == LONG ? UNKNOWN : kind], LENGTH);
	}
	counted(fn, keys, length);
	return 0;
}

/* ---- timing ---- */

struct sample {
	uint32_t ticks;
	uint32_t kind;
};
struct mean { /* Welford's */
	double n, mean, m2;
};

static uint64_t ticks(void)
{
#if defined(__x86_64__)
	unsigned cpu;
	uint64_t t;

	_mm_lfence();
	t = __rdtscp(&cpu);
	_mm_lfence();
	return t;
#else
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
#endif
}

static int by_ticks(const void *a, const void *b)
{
	uint32_t x = ((const struct sample *)a)->ticks, y = ((const struct sample *)b)->ticks;

	return (x > y) - (x < y);
}

/*
 * One block of tries, each of a kind chosen by chance, the keys made before the first: the way to a key must leave no trace in the caches
 * that has to do with its kind. For the same reason no table lives longer: where in memory one key's bucket lies can be measured.
 */
static bool try_block(struct sample *v, size_t n, judge_fn *fn)
{
	static char shown[BLOCK][LENGTH];
	char keys[KINDS][LENGTH];

	if (!make_table())
		return false;
	for (size_t i = 0; i < n; i++) {
		v[i].kind = (uint32_t)(number() >> 32) % KINDS;
		keys_of_all_kinds(keys);
		memcpy(shown[i], keys[v[i].kind], LENGTH);
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t began = ticks(), took;

		sink = fn(shown[i], LENGTH);
		took = ticks() - began;
		v[i].ticks = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
	}
	return true;
}

static bool try_all(struct sample *v, size_t n, judge_fn *fn)
{
	for (size_t i = 0; i < n; i += BLOCK)
		if (!try_block(v + i, n - i < BLOCK ? n - i : BLOCK, fn))
			return false;
	return true;
}

static void add(struct mean *m, double x)
{
	double d = x - m->mean;

	m->n++;
	m->mean += d / m->n;
	m->m2 += d * (x - m->mean);
}

static double welch(const struct mean *a, const struct mean *b)
{
	double error = sqrt(a->m2 / (a->n - 1) / a->n + b->m2 / (b->n - 1) / b->n);

	return error > 0 ? (a->mean - b->mean) / error : 0;
}

/*
 * Welch's t of each kind against UNKNOWN, of all samples and of the faster nine tenths (the others were mostly interrupted): what is larger.
 */
static void tell(const char *what, struct sample *v, size_t n)
{
	struct mean m[2][KINDS] = { 0 };

	qsort(v, n, sizeof(*v), by_ticks);
	for (size_t i = 0; i < n; i++) {
		add(&m[0][v[i].kind], v[i].ticks);
		if (v[i].ticks <= v[n / 10 * 9].ticks)
			add(&m[1][v[i].kind], v[i].ticks);
	}
	printf("\"%s\":{", what);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		double all = welch(&m[0][kind], &m[0][UNKNOWN]), most = welch(&m[1][kind], &m[1][UNKNOWN]);

		printf("%s\"%s\":{\"tries\":%.0f,\"mean\":%.2f,\"t\":%.3f}", kind ? "," : "", names[kind], m[0][kind].n, m[1][kind].mean,
		       fabs(all) > fabs(most) ? all : most);
	}
	printf("}");
}

static int time_all(size_t n)
{
	struct sample *v = calloc(n, sizeof(*v));
	bool done = v && try_all(v, n / 10, judge) && try_all(v, n, judge); /* the first ones warm up */

	if (done) {
		printf("{\"tries\":%zu,", n);
		tell("verify", v, n);
		done = try_all(v, n / 10, naive);
		printf(",");
		tell("naive", v, n / 10);
		printf("}\n");
	}
	free(v);
	return !done;
}

/* ---- entry ---- */

static int run(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "list")) {
		for (unsigned kind = 0; kind < KINDS; kind++)
			puts(names[kind]);
		return 0;
	}
	if (argc >= 3 && !strcmp(argv[1], "count"))
		for (unsigned kind = 0; kind <= LONG; kind++)
			if (!strcmp(argv[2], names[kind]))
				return count(kind, argc > 3 ? naive : judge);
	if (argc == 4 && !strcmp(argv[1], "time") && strtoul(argv[2], NULL, 10) >= 1000) {
		state = strtoull(argv[3], NULL, 10) | 1;
		return time_all(strtoul(argv[2], NULL, 10));
	}
	fprintf(stderr, "usage: verify_kinds [list | count KIND [naive] | time TRIES SEED]; TRIES is 1000 or more\n");
	return 2;
}

int main(int argc, char **argv)
{
	int rc;

	if (!make_table())
		return 1;
	rc = check(); /* this also warms up */
	if (!rc && argc > 1)
		rc = run(argc, argv);
	auth_table_put(table);
	return rc;
}
