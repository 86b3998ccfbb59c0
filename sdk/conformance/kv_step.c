/* SPDX-License-Identifier: MIT */
/*
 * kv_step.c - one operation: made in a ctx of its own, watched, and judged. What it was given is gone as soon as the call has returned, so
 * that a provider which keeps a pointer to it is found out.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kv_run.h"

struct op {
	struct kv_run *run;
	const struct step *s;
	struct ch_ctx *c;
	struct ch_kv_result *out;
	ch_ticket ticket;
	int64_t began;
	bool inside;                      /* a function of the provider */
	bool cancelled, watching, over;

	/* what is handed over: gone when the call has returned */
	char key[CH_KV_KEY_MAX + 2], keys[CH_KV_BUCKETS_MAX + 1][64], holders[LIMITS][CH_KV_HOLDER_MAX + 2];
	char *value;
	struct ch_kv_bucket buckets[CH_KV_BUCKETS_MAX + 1];
	size_t nbuckets;
};

static const char *const op_names[] = { "", "get", "set", "del", "add", "take", "settle" };
static const char *const error_names[] = { "OK", "BAD_REQUEST", "WRONG_KIND", "RANGE", "FULL", "NO_MEMORY", "UNAVAILABLE", "UNKNOWN",
	"CANCELLED" };
#define ERRORS (int)(sizeof(error_names) / sizeof(error_names[0]))

static const char *name_of(int error)
{
	return error >= 0 && error < ERRORS ? error_names[error] : "an error of no name";
}

static char pattern(int64_t i)
{
	return (char)((i * 7 + 3) % 251);
}

/* ---- judging ---- */

static bool same_key(const struct step *a, const struct step *b)
{
	return a->key_bytes == b->key_bytes && a->key.n == b->key.n && (!a->key.n || !memcmp(a->key.p, b->key.p, a->key.n));
}

static void judge_value(struct op *o)
{
	const struct ch_kv_result *r = o->out;
	const struct step *s = o->s;
	struct kv_run *run = o->run;

	if (s->found.p && (r->value.n != s->found.n || (r->value.n && memcmp(r->value.p, s->found.p, r->value.n))))
		complain(run, "expected a value of %zu bytes, \"%.40s\", found %zu: \"%.*s\"", s->found.n, s->found.p, r->value.n,
			(int)(r->value.n < 40 ? r->value.n : 40), r->value.n ? r->value.p : "");
	if (s->found_bytes && (int64_t)r->value.n != s->found_bytes)
		complain(run, "expected a value of %lld bytes, found %zu", (long long)s->found_bytes, r->value.n);
	for (size_t i = 0; s->found_bytes && i < r->value.n; i++)
		if (r->value.p[i] != pattern((int64_t)i)) {
			complain(run, "byte %zu of the value is wrong", i);
			break;
		}
	if ((s->found.p || s->found_bytes) && !r->version)
		complain(run, "expected a version beside the value, found 0");
	if (s->nothing && (r->version || r->value.n))
		complain(run, "expected that nothing stands there, found %zu bytes%s", r->value.n, r->version ? " and a version" : "");
	if (s->same && r->version != run->versions[s->same])
		complain(run, "expected the version of step %d, found another one", s->same);
	if (s->op == SET && r->done)
		for (unsigned i = 1; i < run->step; i++)
			if (run->versions[i] && run->versions[i] == r->version && same_key(&run->c->steps[i - 1], s))
				complain(run, "expected a version that was not there before, found that of step %u", i);
	if (s->op == SET && r->done && !r->version)
		complain(run, "a set that was done told no version");
}

static void judge_ttl(struct op *o)
{
	const struct step *s = o->s;
	int64_t ttl = o->out->ttl_ms;

	if (ttl < 0 || ttl > CH_KV_MS_MAX)
		complain(o->run, "ttl_ms is %lld, which cannot be", (long long)ttl);
	else if (s->ttl_least < 0 && ttl)
		complain(o->run, "expected no TTL, found %lld ms", (long long)ttl);
	else if (s->ttl_most && (ttl < s->ttl_least || ttl > s->ttl_most))
		complain(o->run, "expected a TTL of %lld to %lld ms, found %lld", (long long)s->ttl_least, (long long)s->ttl_most,
			(long long)ttl);
}

static void judge_level(struct op *o, size_t i, const struct limit *w)
{
	const struct ch_kv_level *l = ch_kv_level_at(o->out, i);
	bool never = w->wait_most == CH_KV_NEVER, settles = o->s->op == SETTLE;
	struct kv_run *run = o->run;

	if (!w->passes)
		return;
	if (l->passes != (w->passes == YES))
		complain(run, "expected that bucket %zu %s, found the contrary", i + 1, w->passes == YES ? "passes" : "does not pass");
	if (!w->any_left && l->left != w->left)
		complain(run, "expected that %lld are left in bucket %zu, found %lld", (long long)w->left, i + 1, (long long)l->left);
	if (w->passes == YES && l->wait_ms && !settles)
		complain(run, "bucket %zu passes, and tells a wait of %lld ms", i + 1, (long long)l->wait_ms);
	if (w->passes == NO && (never ? l->wait_ms != CH_KV_NEVER : l->wait_ms < w->wait_least || l->wait_ms > w->wait_most))
		complain(run, "expected a wait of %lld to %lld ms for bucket %zu, found %lld", (long long)w->wait_least,
			(long long)w->wait_most, i + 1, (long long)l->wait_ms);
	if ((!w->burst || (w->kind == CH_KV_TOKENS && !w->count)) && (l->left || l->full_ms))
		complain(run, "bucket %zu is a limit of 0, and tells %lld left and full in %lld ms", i + 1, (long long)l->left,
			(long long)l->full_ms);
	if (w->full_most && (l->full_ms < w->full_least || l->full_ms > w->full_most))
		complain(run, "expected that bucket %zu is full in %lld to %lld ms, found %lld", i + 1, (long long)w->full_least,
			(long long)w->full_most, (long long)l->full_ms);
}

static void judge_levels(struct op *o)
{
	const struct ch_table *t = &o->out->levels;

	if (t->n != o->nbuckets || !t->rows || t->row_size < sizeof(struct ch_kv_level)) {
		complain(o->run, "expected %zu levels, found %zu", o->nbuckets, t->n);
		return;
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct ch_kv_level *l = ch_kv_level_at(o->out, i);

		if (l->left < 0 || l->full_ms < 0 || l->wait_ms < CH_KV_NEVER || (!l->passes && !l->wait_ms))
			complain(o->run, "the level of bucket %zu holds numbers that cannot be", i + 1);
		judge_level(o, i, &o->s->limits[o->s->repeat ? 0 : i]);
	}
}

/* What holds for every operation. False: the rest need not be looked at. */
static bool judge_all(struct op *o, int rc)
{
	const struct ch_kv_result *r = o->out;
	int want = o->s->error;

	if (rc != CH_OK && rc != CH_AGAIN)
		complain(o->run, "it returned %d, expected CH_OK or CH_AGAIN", rc);
	if (r->error < 0 || r->error >= ERRORS)
		complain(o->run, "error is %d, which is no error", r->error);
	if ((r->error != 0) != (r->detail != NULL))
		complain(o->run, r->error ? "there is no detail with error %s" : "there is a detail without an error", name_of(r->error));
	if (r->detail && strstr(r->detail, "conform-"))
		complain(o->run, "the detail shows the key: %.200s", r->detail);
	if (r->size != sizeof(*r))
		complain(o->run, "the result's size was changed");
	if (o->cancelled) {
		if (r->error != CH_KV_CANCELLED && r->error != CH_KV_UNKNOWN)
			complain(o->run, "expected CANCELLED or UNKNOWN after a cancel, found %s", name_of(r->error));
		return false;
	}
	if (r->error != want)
		complain(o->run, "expected %s, found %s: %.200s", name_of(want), name_of(r->error), r->detail ? r->detail : "no detail");
	return !r->error && !want;
}

static void judge(struct op *o, int rc)
{
	const struct ch_kv_result *r = o->out;
	const struct step *s = o->s;

	o->run->versions[o->run->step] = r->error ? 0 : r->version;
	if (!judge_all(o, rc) || s->cancel) /* it has happened already */
		return;
	if (s->done && r->done != (s->done == YES))
		complain(o->run, "expected done to be %s", s->done == YES ? "true" : "false");
	if (s->op == ADD && r->number != s->number)
		complain(o->run, "expected the counter at %lld, found %lld", (long long)s->number, (long long)r->number);
	if (s->op <= DEL)
		judge_value(o);
	judge_ttl(o);
	if (s->op == TAKE || s->op == SETTLE)
		judge_levels(o);
	else if (r->levels.n)
		complain(o->run, "there are levels, and there was no bucket");
}

/* ---- the end ---- */

static void leave(struct op *o)
{
	struct kv_run *run = o->run;

	free(o);
	kv_step_over(run);
}

static int finish(struct op *o)
{
	o->over = true;
	o->c = NULL;
	if (!o->watching)
		leave(o);
	return CH_DONE;
}

/* Two turns behind a cancel: that in which it was called is over, and so is the one in which the resume is delivered. */
static void on_turn_over(void *data)
{
	struct op *o = data;

	o->watching = false;
	if (o->over)
		leave(o);
	else
		complain(o->run, "expected that the ticket is resumed within the turn of the loop in which it is cancelled");
}

static void on_next_turn(void *data)
{
	ch_turn_end(((struct op *)data)->run->loop, on_turn_over, data);
}

static void on_turn_end(void *data)
{
	if (!ch_post(((struct op *)data)->run->loop, on_next_turn, data))
		on_turn_over(data);
}

static void cancel(struct op *o)
{
	o->inside = true;
	kv_of(o->run)->cancel(conf_of(o->run)->target, o->c, o->out);
	kv_of(o->run)->cancel(conf_of(o->run)->target, o->c, o->out); /* idempotent */
	o->inside = false;
}

/* Behind its end it changes nothing. */
static void cancel_late(struct op *o)
{
	struct ch_kv_result before = *o->out;

	cancel(o);
	if (memcmp(&before, o->out, sizeof(before)))
		complain(o->run, "cancel behind the end of the operation changed *out");
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct op *o = data;

	(void)c;
	if (o->inside)
		complain(o->run, "the ticket was resumed inside a call");
	if (result)
		complain(o->run, "the ticket was resumed with a result that is not NULL");
	if (why == CH_READY) {
		judge(o, CH_AGAIN);
		cancel_late(o);
		return finish(o);
	}
	cancel(o); /* so that the provider confirms the ticket: the ctx's memory waits for that */
	o->run->gone = o->run->gone || why == CH_GONE;
	if (why == CH_TIMEOUT) {
		complain(o->run, "the ticket was not resumed within %lld ms", (long long)(ch_now() - o->began) / 1000);
		o->run->broken = true;
	}
	return finish(o);
}

/* ---- the beginning ---- */

static struct ch_str key_of(struct op *o, const char *name, size_t n, char *out, size_t cap)
{
	return (struct ch_str){ out, n ? kv_key(o->run, name, n, out, cap) : 0 };
}

static bool fill(struct op *o, struct ch_kv_args *a)
{
	const struct step *s = o->s;
	int64_t n = s->value_bytes ? s->value_bytes : (int64_t)s->value.n;

	*a = (struct ch_kv_args){ .size = sizeof(*a), .when = s->when, .ttl_ms = s->ttl, .delta = s->delta,
		.timeout_ms = PATIENCE };
	a->key = key_of(o, s->key_bytes ? "k" : s->key.p, s->key_bytes ? (size_t)(s->key_bytes > 0) : s->key.n, o->key, sizeof(o->key));
	while (s->key_bytes > 0 && (int64_t)a->key.n < s->key_bytes)
		o->key[a->key.n++] = 'k';
	a->version = s->version == BOGUS ? ~UINT64_C(0) : o->run->versions[s->version];
	o->value = malloc((size_t)n + 1);
	if (!o->value)
		return false;
	for (int64_t i = 0; i < n; i++)
		o->value[i] = s->value_bytes ? pattern(i) : s->value.p[i];
	a->value = (struct ch_str){ o->value, (size_t)n };
	return true;
}

static void fill_buckets(struct op *o, struct ch_kv_take_args *a)
{
	const struct step *s = o->s;
	size_t n = 0;

	while (!s->repeat && n < LIMITS && s->limits[n].key.p)
		n++;
	o->nbuckets = s->repeat == NOTHING ? 0 : s->repeat ? s->repeat : n;
	for (size_t i = 0; i < o->nbuckets; i++) {
		const struct limit *w = &s->limits[s->repeat ? 0 : i];
		char name[64];
		size_t len = (size_t)snprintf(name, sizeof(name), "%.*s", (int)w->key.n, w->key.p);

		if (s->repeat)
			len += (size_t)snprintf(name + len, sizeof(name) - len, "%zu", i);
		o->buckets[i] = (struct ch_kv_bucket){ .key = key_of(o, name, len, o->keys[i], sizeof(o->keys[i])), .kind = w->kind,
			.burst = w->burst, .count = w->count, .period_ms = w->period, .cost = w->cost, .hold_ms = w->hold };
		if (w->holder.p) {
			memcpy(o->holders[i], w->holder.p, w->holder.n);
			o->buckets[i].holder = (struct ch_str){ o->holders[i], w->holder.n };
		}
	}
	*a = (struct ch_kv_take_args){ .size = sizeof(*a), .buckets = { o->buckets, o->nbuckets, sizeof(o->buckets[0]) },
		.timeout_ms = PATIENCE };
}

/* The call; what was handed over is overwritten behind it. */
static int call(struct op *o)
{
	const struct ch_kv_v1 *kv = kv_of(o->run);
	const struct ch_svc *svc = conf_of(o->run)->target;
	struct ch_kv_result *out = o->s->nobody ? NULL : o->out;
	struct ch_kv_take_args take;
	struct ch_kv_args args;
	int rc = CH_ERROR;

	fill_buckets(o, &take);
	if (!fill(o, &args))
		return rc;
	o->inside = true;
	switch (o->s->op) {
	case GET: rc = kv->get(svc, o->c, &args, out, o->ticket); break;
	case SET: rc = kv->set(svc, o->c, &args, out, o->ticket); break;
	case DEL: rc = kv->del(svc, o->c, &args, out, o->ticket); break;
	case ADD: rc = kv->add(svc, o->c, &args, out, o->ticket); break;
	case TAKE: rc = kv->take(svc, o->c, &take, out, o->ticket); break;
	case SETTLE: rc = kv->settle(svc, o->c, &take, out, o->ticket); break;
	}
	o->inside = false;
	memset(o->value, 0xdd, args.value.n);
	free(o->value);
	memset(o->key, 0xdd, sizeof(o->key));
	memset(o->keys, 0xdd, sizeof(o->keys));
	memset(o->holders, 0xdd, sizeof(o->holders));
	memset(o->buckets, 0xdd, sizeof(o->buckets));
	return rc;
}

static int begin(struct ch_ctx *c, void *data)
{
	struct op *o = data;
	int rc;

	o->c = c;
	o->began = ch_now();
	o->out = ch_alloc(c, sizeof(*o->out));
	o->ticket = o->s->nobody || !o->out ? 0 : ch_suspend(c, PATIENCE + conf_of(o->run)->slack, on_resumed, o);
	if (!o->out || (!o->ticket && !o->s->nobody)) {
		complain(o->run, "there is no memory for the operation");
		return finish(o);
	}
	o->out->size = sizeof(*o->out);
	rc = call(o);
	if (rc == CH_AGAIN && o->s->cancel) {
		o->cancelled = o->watching = true;
		ch_turn_end(o->run->loop, on_turn_end, o);
		cancel(o);
	}
	if (rc == CH_AGAIN && !o->s->nobody)
		return CH_AGAIN;
	ch_unsuspend(o->ticket);
	if (o->s->nobody && rc != CH_OK)
		complain(o->run, "expected CH_OK of a call for which nobody waits, found %d", rc);
	if (!o->s->nobody) {
		judge(o, rc);
		cancel_late(o);
	}
	return finish(o);
}

static void dropped(void *data)
{
	struct op *o = data;

	o->run->gone = true; /* the config has been replaced, or the server stops */
	finish(o);
}

void kv_step(struct kv_run *r)
{
	struct op *o = calloc(1, sizeof(*o));

	if (o)
		*o = (struct op){ .run = r, .s = &r->c->steps[r->step - 1] };
	if (o && ch_task(r->self, r->loop, 0, begin, o, dropped))
		return;
	free(o);
	r->gone = true;
	kv_step_over(r);
}

void complain(struct kv_run *r, const char *fmt, ...)
{
	size_t room = sizeof(r->notes) - r->noted;
	char text[400];
	va_list ap;

	r->failed = true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			*p = '?';
	if (room < sizeof(text) + 100)
		return; /* enough was said */
	if (r->c)
		r->noted += (size_t)snprintf(r->notes + r->noted, room, "# step %u, %s: ", r->step, op_names[r->c->steps[r->step - 1].op]);
	else
		r->noted += (size_t)snprintf(r->notes + r->noted, room, "# ");
	r->noted += (size_t)snprintf(r->notes + r->noted, sizeof(r->notes) - r->noted, "%s\n", text);
}
