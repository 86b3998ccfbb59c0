/* SPDX-License-Identifier: MIT */
/*
 * sql_race.c - many callers of "sql/1" at a time, on all loops. Each racer makes one call after the other, each in a task of its own; the
 * last one to end brings the race back to the run's loop. A CONFLICT is tried anew, as often as it takes: what is told as done counts.
 */
#include <stdlib.h>

#include "sql_run.h"

enum { RETRIES = 2000 };                  /* of a racer */

struct race {
	struct store_run *run;
	const struct sql_step *s;
	void (*over)(struct store_run *);
	atomic_uint running, once;        /* `once`, RACE_ONCE: how many inserts were new */
	unsigned n;
	struct racer *v;
};

struct racer {
	struct store_call k;              /* first */
	struct race *race;
	unsigned number, round, retries;
	bool second;                      /* RACE_SWAP, RACE_OWN: the value is read, or written */
	int64_t value;
	struct ch_sql_statement statements[2];
	struct ch_value values[2][3];
	struct ch_sql_args args;
	char name[40];
};

static struct racer *racer_of(struct store_call *k)
{
	return (struct racer *)(void *)k;
}

/* ---- what a round asks for ---- */

static void say(struct racer *r, const char *text, int64_t want)
{
	size_t i = r->args.statements.n++;

	r->statements[i] = (struct ch_sql_statement){ .text = text, .values = r->values[i], .want = want };
}

static void with(struct racer *r, struct ch_value v)
{
	struct ch_sql_statement *s = &r->statements[r->args.statements.n - 1];

	r->values[r->args.statements.n - 1][s->nvalues++] = v;
}

static int64_t id_of(const struct racer *r)
{
	return 1000 + (int64_t)r->number * 10000 + r->round;
}

static void insert(struct racer *r, int64_t id, const char *more)
{
	snprintf(r->name, sizeof(r->name), "racer %u at %lld", r->number, (long long)id);
	say(r, more, CH_SQL_ANY);
	with(r, ch_v_int(id));
	with(r, ch_v_text(r->name));
}

static void add(struct racer *r, int64_t n, int64_t id)
{
	say(r, "UPDATE conform_things SET n = n + $1 WHERE id = $2", 1);
	with(r, ch_v_int(n));
	with(r, ch_v_int(id));
}

static void look(struct racer *r, int64_t id)
{
	say(r, "SELECT n FROM conform_things WHERE id = $1", 1);
	with(r, ch_v_int(id));
}

#define PUT "INSERT INTO conform_things (id, name) VALUES ($1, $2)"

static void say_round(struct racer *r)
{
	switch (r->race->s->race) {
	case RACE_INSERT:
	case RACE_BURST:
		insert(r, id_of(r), PUT);
		break;
	case RACE_ONCE:
		insert(r, r->round, PUT " ON CONFLICT (id) DO NOTHING");
		break;
	case RACE_ADD:
		add(r, 1, 1);
		break;
	case RACE_SWAP:
		if (!r->second) {
			look(r, 1);
			break;
		}
		say(r, "UPDATE conform_things SET n = $1 WHERE id = $2 AND n = $3", 1);
		with(r, ch_v_int(r->value + 1));
		with(r, ch_v_int(1));
		with(r, ch_v_int(r->value));
		break;
	case RACE_MOVE: /* every third one looks at the sum, which no half of a batch may change */
		if (r->round % 3 == 2) {
			say(r, "SELECT SUM(n) FROM conform_things", 1);
			break;
		}
		add(r, r->number % 2 ? 3 : -3, r->number % 2 ? 2 : 1);
		add(r, r->number % 2 ? -3 : 3, r->number % 2 ? 1 : 2);
		break;
	case RACE_OWN:
		if (!r->second)
			insert(r, id_of(r), PUT);
		else
			look(r, id_of(r));
		break;
	}
}

static int on_row(struct ch_ctx *c, void *arg, size_t statement, const struct ch_value *row, size_t n)
{
	struct racer *r = arg;

	(void)c, (void)statement;
	if (!store_here(&r->k))
		complain(r->race->run, "a row was given on another thread than that of the ctx's loop");
	if (n == 1)
		r->value = ch_v_as_int(row);
	return CH_OK;
}

static int ask(struct store_call *k)
{
	struct racer *r = racer_of(k);

	r->value = r->second ? r->value : -1;
	r->args = (struct ch_sql_args){ .size = sizeof(r->args), .statements = CH_SQL(r->statements, 0), .timeout_ms = PATIENCE,
		.row = on_row, .arg = r };
	say_round(r);
	return sql_of(k->run)->run(conf_of(k->run)->target, k->c, &r->args, k->out, k->ticket);
}

static void give_up(struct store_call *k)
{
	sql_of(k->run)->cancel(conf_of(k->run)->target, k->c, k->out);
}

/* ---- what came of it ---- */

static void next_round(struct racer *r)
{
	r->second = false;
	r->round++;
}

static void told(struct racer *r, const struct ch_sql_result *out)
{
	int kind = r->race->s->race;
	bool two = kind == RACE_SWAP || kind == RACE_OWN;

	if (kind == RACE_ONCE && out->counts[0])
		atomic_fetch_add(&r->race->once, 1);
	if (kind == RACE_MOVE && r->round % 3 == 2 && r->value != 2000)
		complain(r->race->run, "a sum is %lld, not 2000: half of a batch was seen", (long long)r->value);
	if (two && !r->second)
		r->second = true;
	else
		next_round(r);
}

static void judge(struct store_call *k, int rc)
{
	const struct ch_sql_result *out = k->out;
	struct racer *r = racer_of(k);

	(void)rc;
	if (!out->error && !out->counts) {
		complain(k->run, "there are no counts, and no error");
		next_round(r);
	} else if (!out->error) {
		told(r, out);
	} else if (out->error == CH_SQL_COUNT && r->race->s->race == RACE_SWAP && r->second) {
		r->second = false; /* somebody else was quicker */
	} else if (out->error == CH_SQL_CONFLICT && ++r->retries < RETRIES) {
		return;
	} else {
		complain(k->run, "a call ended with %s: %.200s%s", sql_error_name(out->error), out->detail ? out->detail : "no detail",
			out->error == CH_SQL_COUNT && r->race->s->race == RACE_OWN ? " (it does not see what it has written)" : "");
		next_round(r);
	}
}

/* ---- the race ---- */

static void race_over(void *data)
{
	struct race *race = data;
	struct store_run *r = race->run;
	void (*next)(struct store_run *) = race->over;

	own_of(r)->total = (uint64_t)race->n * race->s->rounds;
	if (race->s->race == RACE_ONCE && !store_given_up(r) && atomic_load(&race->once) != race->s->rounds)
		complain(r, "expected %u inserts that were new, found %u", race->s->rounds, atomic_load(&race->once));
	if (!atomic_load(&r->broken)) {
		free(race->v);
		free(race);
	}
	next(r);
}

static void over(struct store_call *k)
{
	struct racer *r = racer_of(k);
	struct race *race = r->race;

	if (!k->lost && !k->dropped && !store_given_up(race->run) && r->round < race->s->rounds)
		store_call(k);
	else if (atomic_fetch_sub(&race->running, 1) == 1 && !ch_post(race->run->loop, race_over, race))
		abort(); /* the run's loop has ended before its work: a bug of the host */
}

void sql_race(struct store_run *run, const struct sql_step *s, void (*next)(struct store_run *))
{
	struct race *race = calloc(1, sizeof(*race));
	unsigned loops = 0;

	while (ch_loop_at(loops))
		loops++;
	if (race)
		race->v = calloc((size_t)s->racers * loops, sizeof(*race->v));
	if (!race || !race->v) {
		free(race);
		complain(run, "there is no memory for the race");
		next(run);
		return;
	}
	race->run = run;
	race->s = s;
	race->over = next;
	race->n = s->racers * (s->race == RACE_BURST ? 1 : loops);
	atomic_store(&race->running, race->n);
	for (unsigned i = 0; i < race->n; i++) {
		struct racer *r = &race->v[i];

		*r = (struct racer){ .race = race, .number = i, .k = { .run = run,
			.loop = s->race == RACE_BURST ? run->loop : ch_loop_at(i % loops), .out_size = sizeof(struct ch_sql_result),
			.limit = PATIENCE, .ask = ask, .give_up = give_up, .judge = judge, .over = over } };
		store_call(&r->k);
	}
}
