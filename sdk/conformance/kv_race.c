/* SPDX-License-Identifier: MIT */
/*
 * kv_race.c - many users at a time, on all loops: what is atomic comes out exactly. Each racer is a task that makes one operation after the
 * other; the last one to end brings the race back to the run's loop, where one more operation looks at what was left behind.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "kv_run.h"

enum kind { RACE_ADD, RACE_ABSENT, RACE_SWAP, RACE_TAKE, RACE_PAIR, RACE_HOLD, RACE_GO };
enum { RACERS = 4 };                      /* on each loop */

static const struct race_row {
	const char *name;
	int kind;
	unsigned rounds;                  /* of each racer */
	int64_t limit;                    /* how many of all rounds pass; 0: all of them */
} rows[] = {
	{ "race/add", RACE_ADD, 250, 0 },
	{ "race/set-if-absent", RACE_ABSENT, 100, 100 },
	{ "race/compare-and-swap", RACE_SWAP, 50, 0 },
	{ "race/take", RACE_TAKE, 250, 333 },
	{ "race/take-two-in-either-order", RACE_PAIR, 250, 333 },
	{ "race/holders", RACE_HOLD, 100, 77 },
	{ "race/come-and-go", RACE_GO, 100, 0 },
};

struct race {
	struct kv_run *run;
	const struct race_row *row;
	atomic_uint running, passed;
	_Atomic(const char *) fault;
	atomic_int inside;                /* RACE_GO: who has been let in and has not begun to leave */
	atomic_bool gone, broken;
	unsigned racers;
	struct racer *v;                  /* one more than racers: who looks at the end */
};

struct racer {
	struct race *race;
	struct ch_loop *loop;
	unsigned number, round;
	bool last, read;                  /* `read`, RACE_SWAP: the value is known, now it is swapped */
	bool inside;                      /* RACE_GO: it was let in, now it leaves */
	int64_t value;
	uint64_t version;
	struct ch_ctx *c;
	struct ch_kv_result *out;
};

/* ---- what a round asks for ---- */

static struct ch_kv_bucket slow(struct ch_str key, int64_t burst, int64_t cost)
{
	return (struct ch_kv_bucket){ .key = key, .burst = burst, .count = 1, .period_ms = HOUR, .cost = cost };
}

enum { PLACES = 7, STOCK = 1 << 20 };

/* In through a door of 7 places with two tokens, of which one is given back on the way out. Whoever is refused asks again. */
static int come_or_go(struct racer *r, ch_ticket t)
{
	struct race *race = r->race;
	const struct ch_svc *svc = conf_of(race->run)->target;
	const struct ch_kv_v1 *kv = kv_of(race->run);
	struct ch_kv_take_args args = { .size = sizeof(args) };
	char a[64], b[64], name[32];
	struct ch_kv_bucket v[2];

	v[0] = slow((struct ch_str){ a, kv_key(race->run, "a", 1, a, sizeof(a)) }, STOCK, r->last ? 0 : r->inside ? -1 : 2);
	v[1] = (struct ch_kv_bucket){ .key = { b, kv_key(race->run, "b", 1, b, sizeof(b)) }, .kind = CH_KV_HOLDERS, .burst = PLACES,
		.holder = { name, (size_t)snprintf(name, sizeof(name), "%u.%u", r->number, r->round) }, .hold_ms = HOUR };
	args.buckets = (struct ch_table){ v, 2, sizeof(v[0]) };
	if (!r->inside)
		return kv->take(svc, r->c, &args, r->out, t);
	atomic_fetch_sub(&race->inside, 1);
	return kv->settle(svc, r->c, &args, r->out, t);
}

/* The rooms of two buckets differ, so that what is left of the second one tells how often both were taken from. */
static int take(struct racer *r, ch_ticket t)
{
	const struct race *race = r->race;
	const struct ch_kv_v1 *kv = kv_of(race->run);
	struct ch_kv_take_args args = { .size = sizeof(args) };
	char a[64], b[64], name[32];
	struct ch_str ka = { a, kv_key(race->run, "a", 1, a, sizeof(a)) }, kb = { b, kv_key(race->run, "b", 1, b, sizeof(b)) };
	struct ch_kv_bucket v[2] = { slow(ka, race->row->limit, 1), slow(kb, race->row->limit + 5, r->last ? 0 : 1) };

	args.buckets = (struct ch_table){ v, race->row->kind == RACE_PAIR ? 2 : 1, sizeof(v[0]) };
	if (race->row->kind == RACE_HOLD) {
		v[0].kind = CH_KV_HOLDERS;
		v[0].holder = (struct ch_str){ name, (size_t)snprintf(name, sizeof(name), "%u.%u", r->number, r->round) };
		v[0].hold_ms = HOUR;
	} else if (r->last) {
		args.buckets = (struct ch_table){ &v[1], 1, sizeof(v[0]) };
	} else if (race->row->kind == RACE_PAIR && r->number % 2) {
		v[0] = slow(kb, race->row->limit + 5, 1);
		v[1] = slow(ka, race->row->limit, 1);
	}
	return kv->take(conf_of(race->run)->target, r->c, &args, r->out, t);
}

static int ask(struct racer *r, ch_ticket t)
{
	const struct ch_svc *svc = conf_of(r->race->run)->target;
	const struct ch_kv_v1 *kv = kv_of(r->race->run);
	struct ch_kv_args args = { .size = sizeof(args) };
	char key[64], name[16] = "a", text[32];

	if (r->race->row->kind == RACE_GO)
		return come_or_go(r, t);
	if (r->race->row->kind >= RACE_TAKE)
		return take(r, t);
	if (r->race->row->kind == RACE_ABSENT)
		snprintf(name, sizeof(name), "%u", r->round);
	args.key = (struct ch_str){ key, kv_key(r->race->run, name, strlen(name), key, sizeof(key)) };
	args.value = (struct ch_str){ text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)r->value + 1) };
	args.delta = r->last ? 0 : 1;
	args.when = r->race->row->kind == RACE_ABSENT || !r->version ? CH_KV_IF_ABSENT : CH_KV_IF_VERSION;
	args.version = r->version;
	if (r->race->row->kind == RACE_ADD)
		return kv->add(svc, r->c, &args, r->out, t);
	if (r->race->row->kind == RACE_SWAP && !r->read) {
		args.when = CH_KV_ALWAYS;
		return kv->get(svc, r->c, &args, r->out, t);
	}
	return kv->set(svc, r->c, &args, r->out, t);
}

/* ---- what came of it ---- */

static bool fault(struct racer *r, const char *text)
{
	atomic_store(&r->race->fault, text);
	return false;
}

static void learn(struct racer *r)
{
	const struct ch_str *value = &r->out->value;
	char text[32] = "";

	r->version = r->out->version;
	if (r->version && value->n && value->n < sizeof(text))
		memcpy(text, value->p, value->n);
	r->value = atoll(text);
}

static void last_told(struct racer *r)
{
	int64_t all = (int64_t)r->race->racers * r->race->row->rounds;

	if (r->race->row->kind == RACE_ADD && r->out->number != all)
		fault(r, "the counter does not stand at the number of all additions");
	learn(r);
	if (r->race->row->kind == RACE_SWAP && r->value != all)
		fault(r, "the value is not the number of all swaps");
	if (r->race->row->kind == RACE_PAIR && (!ch_kv_level_at(r->out, 0) || ch_kv_level_at(r->out, 0)->left != 5))
		fault(r, "the second bucket does not hold what all who passed have left there");
	if (r->race->row->kind == RACE_GO && (!ch_kv_level_at(r->out, 0) || ch_kv_level_at(r->out, 0)->left != STOCK - all))
		fault(r, "the bucket of tokens does not hold what was given back");
	if (r->race->row->kind == RACE_GO && (!ch_kv_level_at(r->out, 1) || ch_kv_level_at(r->out, 1)->left != PLACES - 1))
		fault(r, "somebody is still inside, though all have left");
}

/* False: no more rounds. */
static bool told(struct racer *r)
{
	struct race *race = r->race;

	if (r->out->error)
		return fault(r, "an operation ended with an error");
	if (r->last) {
		last_told(r);
		return false;
	}
	if (race->row->kind == RACE_ADD && r->out->number <= r->value)
		return fault(r, "a counter did not grow");
	if (race->row->kind == RACE_ADD)
		r->value = r->out->number;
	if (race->row->kind == RACE_SWAP && !r->read) {
		learn(r);
		r->read = true;
		return true;
	}
	if (race->row->kind == RACE_SWAP && !r->out->done) {
		learn(r); /* somebody else was faster, and what stands there now is told */
		return true;
	}
	if (race->row->kind == RACE_GO && !r->inside) {
		if (r->out->done && atomic_fetch_add(&race->inside, 1) >= PLACES)
			return fault(r, "more are inside than there are places");
		r->inside = r->out->done;
		return !atomic_load(&race->fault);
	}
	r->read = r->inside = false;
	atomic_fetch_add(&race->passed, r->out->done);
	return ++r->round < race->row->rounds && !atomic_load(&race->fault);
}

/* ---- the rounds ---- */

static void race_over(void *data);

static void left(struct racer *r)
{
	struct race *race = r->race;

	if (atomic_fetch_sub(&race->running, 1) == 1 && !ch_post(race->run->loop, race_over, race))
		abort(); /* the run's loop has ended before its work: a bug of the host */
}

static int go(struct racer *r);

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct racer *r = data;

	(void)result;
	if (why == CH_READY) {
		if (told(r))
			return go(r);
		left(r);
		return CH_DONE;
	}
	kv_of(r->race->run)->cancel(conf_of(r->race->run)->target, c, r->out);
	atomic_store(why == CH_GONE ? &r->race->gone : &r->race->broken, true);
	fault(r, why == CH_GONE ? "the server stops" : "a ticket was not resumed in time");
	left(r);
	return CH_DONE;
}

static int go(struct racer *r)
{
	do {
		ch_ticket t = ch_suspend(r->c, PATIENCE, on_resumed, r);
		int rc = CH_ERROR;

		*r->out = (struct ch_kv_result){ .size = sizeof(*r->out) };
		if (t)
			rc = ask(r, t);
		if (rc == CH_AGAIN)
			return CH_AGAIN;
		ch_unsuspend(t);
		if (rc != CH_OK) {
			fault(r, "an operation returned neither CH_OK nor CH_AGAIN, or there was no ticket");
			break;
		}
	} while (told(r));
	left(r);
	return CH_DONE;
}

static int begin(struct ch_ctx *c, void *data)
{
	struct racer *r = data;

	r->c = c;
	r->out = ch_alloc(c, sizeof(*r->out));
	if (r->out)
		return go(r);
	fault(r, "there is no memory");
	left(r);
	return CH_DONE;
}

static void dropped(void *data)
{
	struct racer *r = data;

	atomic_store(&r->race->gone, true);
	left(r);
}

/* ---- the race ---- */

static void start(struct race *race, unsigned from, unsigned n)
{
	atomic_store(&race->running, n);
	for (unsigned i = from; i < from + n; i++)
		if (!ch_task(race->run->self, race->v[i].loop, 0, begin, &race->v[i], dropped))
			dropped(&race->v[i]);
}

static void race_over(void *data)
{
	struct race *race = data;
	struct kv_run *run = race->run;
	const char *why = atomic_load(&race->fault);
	int64_t want = race->row->limit ? race->row->limit : (int64_t)race->racers * race->row->rounds;
	bool look = race->row->kind == RACE_ADD || race->row->kind == RACE_SWAP || race->row->kind == RACE_PAIR ||
		race->row->kind == RACE_GO;

	run->gone = run->gone || atomic_load(&race->gone);
	run->broken = run->broken || atomic_load(&race->broken);
	if (!why && look && !race->v[race->racers].out) {
		start(race, race->racers, 1);
		return;
	}
	if (why)
		complain(run, "%s", why);
	if (atomic_load(&race->passed) != want)
		complain(run, "expected that exactly %lld pass, found %u", (long long)want, atomic_load(&race->passed));
	why = race->row->name;
	if (!run->broken) {
		free(race->v);
		free(race);
	}
	kv_race_over(run, why);
}

bool kv_race(struct kv_run *r, size_t number, bool (*chosen)(const struct kv_run *, const char *name))
{
	unsigned loops = 0, n;
	struct race *race;

	if (number >= sizeof(rows) / sizeof(rows[0]))
		return false;
	if (!chosen(r, rows[number].name)) {
		kv_race_over(r, NULL);
		return true;
	}
	while (ch_loop_at(loops))
		loops++;
	n = loops * RACERS;
	race = calloc(1, sizeof(*race));
	if (race)
		race->v = calloc(n + 1, sizeof(*race->v));
	if (!race || !race->v) {
		free(race);
		complain(r, "there is no memory for the race");
		kv_race_over(r, rows[number].name);
		return true;
	}
	race->run = r;
	race->row = &rows[number];
	race->racers = n;
	for (unsigned i = 0; i <= n; i++)
		race->v[i] = (struct racer){ .race = race, .number = i, .last = i == n, .loop = i == n ? r->loop : ch_loop_at(i % loops) };
	start(race, 0, n);
	return true;
}
