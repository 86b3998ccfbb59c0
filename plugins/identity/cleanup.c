/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup.c - what nobody needs any more goes, in small steps; rows that an old key has encrypted are encrypted anew; what the caches hold
 * of another time is forgotten. By the clock, and by `chimeractl tokens cleanup`.
 */
#include <stdlib.h>

#include "identity.h"

enum { STEP = 500, PAGE = 25 }; /* rows: of a delete; of a task that encrypts, whose secrets have 32 KiB each at most */

struct cleanup {
	struct ch_self *self;
	struct ch_ctx *c;
	struct id_result r;
	struct id_cleaned *out;
	ch_ticket outer, delay;
	int (*step)(struct cleanup *);
	bool fails;                 /* on purpose */
	const char *after;
	struct id_token *v;         /* a page of rows, sealed anew */
	const char **was;           /* their keys */
	size_t n;
};

/* ---- its end ---- */

static int finish(struct cleanup *j)
{
	const struct identity_state *s = j->self->state;
	const struct id_cleaned *out = j->out;

	ch_add(s->cleaned, (double)out->cleaned);
	ch_add(s->rekeyed, (double)out->rekeyed);
	if (out->cleaned || out->rekeyed)
		ch_log(j->self, j->c, CH_INFO, "tokens: %llu that were over have been removed, %llu were encrypted anew",
			(unsigned long long)out->cleaned, (unsigned long long)out->rekeyed);
	ch_resume(j->outer, NULL, NULL);
	return CH_AGAIN;
}

static int fail(struct cleanup *j, int error, const char *detail)
{
	j->out->r.error = error;
	j->out->r.detail = detail;
	return finish(j);
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct cleanup *j = data;

	(void)c, (void)result;
	if (why == CH_READY && !j->r.error)
		return j->step(j);
	if (why != CH_READY)
		id_cancel(&j->r);
	return fail(j, j->r.error, j->r.detail);
}

/* The ticket for the next data access; 0: it was ended. */
static ch_ticket next(struct cleanup *j, int (*step)(struct cleanup *))
{
	ch_ticket t = ch_suspend(j->c, 0, on_resumed, j);

	j->step = step;
	memset(&j->r, 0, sizeof(j->r));
	if (!t)
		fail(j, ID_AWAY, "The server has no memory for this now; try again later.");
	return t;
}

/* ---- what cannot be read ---- */

static int on_looked(struct cleanup *j)
{
	j->out->unread = id_unread_judge(j->self, j->c, &j->r);
	return finish(j);
}

/* All else went well. It reads the whole table: not behind each of many steps. */
static int look(struct cleanup *j)
{
	ch_ticket t = !*j->after || !j->out->after ? next(j, on_looked) : 0;

	if (t)
		id_tokens_keys(j->self, j->c, &j->r, t);
	else if (*j->after && j->out->after)
		finish(j);
	return CH_AGAIN;
}

/* ---- rows of old keys ---- */

static int on_written(struct cleanup *j)
{
	j->out->rekeyed = j->n;
	return look(j);
}

/* Opens and seals; a row that no key opens stays as it is. False: no memory. */
static bool seal_anew(struct cleanup *j, const struct id_token *t, struct id_token *to)
{
	const struct identity_state *s = j->self->state;
	const char *const which[] = { "access", "refresh" };
	const struct ch_str *from[] = { &t->access, &t->refresh };
	struct ch_str *into[] = { &to->access, &to->refresh };
	bool ok = true;

	*to = *t;
	to->key_id = id_ring_first(s->ring);
	for (size_t i = 0; ok && i < 2; i++) {
		struct id_belongs b = { t->id, t->user, t->provider, which[i] };
		size_t n = from[i]->n;
		unsigned char *plain;

		if (!n)
			continue;
		plain = n > ID_SEAL_MORE ? ch_alloc(j->c, n - ID_SEAL_MORE) : NULL;
		into[i]->p = ch_alloc(j->c, n);
		ok = plain && into[i]->p && id_open(s->ring, t->key_id, &b, *from[i], plain) &&
			id_seal(s->ring, &b, (struct ch_str){ (char *)plain, n - ID_SEAL_MORE }, (unsigned char *)(uintptr_t)into[i]->p);
		if (plain)
			explicit_bzero(plain, n - ID_SEAL_MORE);
	}
	return ok;
}

static int on_page(struct cleanup *j)
{
	const struct id_token *rows = j->r.rows;
	size_t n = j->r.n;
	ch_ticket t;

	if (!n)
		return look(j);
	j->v = ch_alloc(j->c, n * sizeof(*j->v));
	j->was = ch_alloc(j->c, n * sizeof(*j->was));
	if (!j->v || !j->was)
		return fail(j, ID_AWAY, "The server has no memory for this now; try again later.");
	for (size_t i = 0; i < n; i++)
		if (seal_anew(j, &rows[i], &j->v[j->n]))
			j->was[j->n++] = rows[i].key_id;
	if (n == PAGE)
		j->out->after = rows[n - 1].id;
	t = j->n ? next(j, on_written) : 0;
	if (t)
		id_tokens_rekey(j->self, j->c, j->v, j->was, j->n, &j->r, t);
	return j->n ? CH_AGAIN : look(j);
}

static int read_page(struct cleanup *j)
{
	ch_ticket t = next(j, on_page);

	if (t)
		id_tokens_old(j->self, j->c, j->after, PAGE, &j->r, t);
	return CH_AGAIN;
}

/* ---- what is over ---- */

static int expire(struct cleanup *j);

static int on_expired(struct cleanup *j)
{
	struct identity_state *s = j->self->state;
	int64_t now = ch_wall();

	j->out->cleaned += j->r.count;
	if (j->r.count == STEP)
		return expire(j);
	id_cache_sweep(s->keys, atomic_load(&s->key_epoch), now);
	id_cache_sweep(s->tokens, atomic_load(&s->token_epoch), now);
	return s->ring ? read_page(j) : look(j);
}

static int expire(struct cleanup *j)
{
	ch_ticket t = next(j, on_expired);

	if (t)
		id_tokens_expire(j->self, j->c, STEP, &j->r, t);
	return CH_AGAIN;
}

/* ---- one step ---- */

static int begin(struct cleanup *j)
{
	if (j->fails)
		return fail(j, ID_AWAY, "It failed on purpose (a fault was injected).");
	return *j->after ? read_page(j) : expire(j);
}

static int on_delay(struct ch_ctx *c, void *data, int why, void *result)
{
	struct cleanup *j = data;

	(void)c, (void)result;
	ch_unsuspend(j->delay); /* nobody else has it */
	return why == CH_TIMEOUT ? begin(j) : fail(j, ID_AWAY, "It was given up.");
}

void id_cleanup_run(struct ch_self *self, struct ch_ctx *c, const char *after, struct id_cleaned *out, ch_ticket outer)
{
	struct cleanup *j = ch_alloc(c, sizeof(*j));
	struct ch_fault fault = { .size = sizeof(fault) };

	if (!j) {
		out->r.error = ID_AWAY;
		out->r.detail = "The server has no memory for this now; try again later.";
		ch_resume(outer, NULL, NULL);
		return;
	}
	j->self = self;
	j->c = c;
	j->out = out;
	j->outer = outer;
	j->after = after;
	if (ch_fault(c, CH_S_TOKEN_CLEANUP, &fault)) {
		j->fails = fault.fail;
		j->delay = fault.delay_ms > 0 ? ch_suspend(c, fault.delay_ms, on_delay, j) : 0;
	}
	if (!j->delay)
		begin(j);
}

/* ---- by the clock, and one step behind the other ---- */

struct step { struct ch_self *self; struct id_cleaned out; };
struct behind { struct ch_self *self; char after[ID_NAME_MAX + 1]; }; /* malloc'd, from task to task */

static int begin_step(struct ch_self *self, struct ch_ctx *c, const char *after);

static int work(struct ch_ctx *c, void *data)
{
	struct behind *b = data;
	struct ch_self *self = b->self;
	char *after = ch_dup(c, b->after, strlen(b->after));

	free(b);
	return after ? begin_step(self, c, after) : CH_DONE;
}

void id_cleanup_on(struct ch_self *self, const char *after)
{
	struct behind *b = after ? calloc(1, sizeof(*b)) : NULL;

	if (!b)
		return; /* the next time by the clock goes on with it */
	b->self = self;
	strncpy(b->after, after, ID_NAME_MAX);
	if (!ch_task(self, NULL, 0, work, b, free))
		free(b);
}

static int on_step(struct ch_ctx *c, void *data, int why, void *result)
{
	struct step *s = data;

	(void)result;
	if (why != CH_READY)
		return CH_DONE;
	if (s->out.r.error)
		ch_log(s->self, c, CH_WARN, "tokens could not be cleaned up: %s", s->out.r.detail ? s->out.r.detail : "");
	else
		id_cleanup_on(s->self, s->out.after);
	return CH_DONE;
}

static int begin_step(struct ch_self *self, struct ch_ctx *c, const char *after)
{
	struct step *s = ch_alloc(c, sizeof(*s));
	ch_ticket t = s ? ch_suspend(c, 0, on_step, s) : 0;

	if (!t)
		return CH_DONE;
	s->self = self;
	id_cleanup_run(self, c, after, &s->out, t);
	return CH_AGAIN;
}

int id_cleanup(struct ch_self *self, struct ch_ctx *c)
{
	return begin_step(self, c, "");
}
