/* SPDX-License-Identifier: Apache-2.0 */
/* jwks_source.c - the key set of an issuer, fetched again and again. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <chimera/http.h>
#include <chimera/kit/backoff.h>

#include "jwks_source.h"

enum { FETCH_MS = 10000, TASK_MS = 15000, LEAST_S = 60, YEAR_S = 31536000 };

enum result { R_OK, R_AWAY, R_STATUS, R_INVALID, RESULTS };
const char *const auth_jwks_results[] = { "ok", "away", "status", "invalid", NULL };

struct jwks_source {
	struct ch_self *self;
	const struct auth_jwt_conf *conf;
	int algs;
	_Atomic uint64_t generation; /* 0: there is no set */
	_Atomic int64_t good_until;  /* ch_now */
	pthread_mutex_t lock;        /* over what follows */
	struct jwks *set;
	int64_t came;                /* ch_wall, when the set was fetched or read; 0: there is none */
	struct jwks_waiter *waiting;
	bool fetching, answered;     /* answered: the last fetch was good */
	int64_t asked;               /* ch_now of the last fetch; 0: none */
	/* the house loop's own */
	struct ch_timer *timer;
	int64_t due;
	unsigned failures;
	unsigned results[RESULTS], time; /* series */
};

int64_t jwks_lifetime(struct ch_str v)
{
	int64_t seconds = -1;

	for (size_t at = 0; at < v.n;) {
		const char *p = v.p + at, *comma = memchr(p, ',', v.n - at);
		size_t n = comma ? (size_t)(comma - p) : v.n - at;

		at += n + 1;
		for (; n && (*p == ' ' || *p == '\t'); n--)
			p++;
		if ((n >= 8 && !strncasecmp(p, "no-store", 8)) || (n >= 8 && !strncasecmp(p, "no-cache", 8)))
			return 0;
		if (n <= 8 || strncasecmp(p, "max-age=", 8))
			continue;
		seconds = 0;
		for (size_t i = 8; i < n && p[i] >= '0' && p[i] <= '9' && seconds < YEAR_S; i++)
			seconds = seconds * 10 + (p[i] - '0');
		seconds = seconds < YEAR_S ? seconds : YEAR_S;
	}
	return seconds;
}

/* ---- the set ---- */

/* Takes the caller's hold. A set that is the same as before leaves the generation, and with it the tokens that are known to be good. */
static void put(struct jwks_source *s, struct jwks *set, int64_t came, int64_t good_until)
{
	struct jwks *old;

	pthread_mutex_lock(&s->lock);
	old = s->set;
	s->set = set;
	s->came = came;
	atomic_store(&s->good_until, good_until);
	if (!jwks_same(old, set))
		atomic_fetch_add(&s->generation, 1);
	pthread_mutex_unlock(&s->lock);
	jwks_let(old);
}

void jwks_source_put(struct jwks_source *s, struct jwks *set)
{
	put(s, set, ch_wall(), INT64_MAX);
}

void jwks_source_adopt(struct jwks_source *s, struct jwks_source *prev)
{
	struct jwks *set;
	int64_t came;

	if (!s->conf->jwks[0] || strcmp(s->conf->jwks, prev->conf->jwks) || s->algs != prev->algs)
		return;
	pthread_mutex_lock(&prev->lock);
	set = jwks_hold(prev->set);
	came = prev->came;
	pthread_mutex_unlock(&prev->lock);
	if (set)
		put(s, set, came, atomic_load(&prev->good_until));
}

uint64_t jwks_source_generation(const struct jwks_source *s)
{
	return ch_now() < atomic_load(&s->good_until) ? atomic_load(&s->generation) : 0;
}

struct jwks *jwks_source_hold(struct jwks_source *s, uint64_t *generation)
{
	struct jwks *set = NULL;

	pthread_mutex_lock(&s->lock);
	*generation = jwks_source_generation(s);
	if (*generation)
		set = jwks_hold(s->set);
	pthread_mutex_unlock(&s->lock);
	return set;
}

/* Of an instance that is in force: a reload that is refused leaves the series to the one before. */
static void say_time(struct jwks_source *s)
{
	int64_t came;

	pthread_mutex_lock(&s->lock);
	came = s->came;
	pthread_mutex_unlock(&s->lock);
	if (came)
		ch_set(s->time, (double)came / 1e6);
}

/* ---- the end of a fetch ---- */

/* Who is resumed may be gone before this returns: its memory is not touched after. */
static void wake(struct jwks_source *s, bool answered)
{
	struct jwks_waiter *w, *next;

	pthread_mutex_lock(&s->lock);
	s->fetching = false;
	s->answered = answered;
	w = s->waiting;
	s->waiting = NULL;
	for (struct jwks_waiter *x = w; x; x = x->next)
		x->at = NULL;
	pthread_mutex_unlock(&s->lock);
	for (; w; w = next) {
		next = w->next;
		ch_resume(w->ticket, NULL, NULL);
	}
}

/* When to ask again, from now. */
static int64_t pause_after(struct jwks_source *s, bool good, const struct ch_http_result *out)
{
	int64_t most = s->conf->refresh * 1000, least = INT64_C(1000000) * LEAST_S, said;

	if (!good)
		return 1000000 + ch_backoff_full(1000000, 60000000, s->failures++, ch_random());
	s->failures = 0;
	said = jwks_lifetime(ch_http_field(out, "Cache-Control"));
	if (said < 0 || said >= most / 1000000)
		return most;
	if (said < LEAST_S)
		return least < most ? least : most;
	return said * 1000000;
}

/* False: what came is nothing to go by. */
static bool take(struct jwks_source *s, const struct ch_http_result *out)
{
	char why[200] = "";
	struct jwks *set = NULL;
	uint64_t before = atomic_load(&s->generation);
	size_t n;

	if (out->error || out->status != 200) {
		ch_add(s->results[out->error ? R_AWAY : R_STATUS], 1);
		snprintf(why, sizeof(why), "its answer is %d, not 200", out->status);
		ch_degraded(s->self, "jwks", true, "the issuer's keys cannot be fetched, and those that are known are good for jwks_keep: %s",
			out->error && out->detail ? out->detail : why);
		return false;
	}
	set = jwks_read(out->body.p, out->body.n, s->algs, why, sizeof(why));
	ch_add(s->results[set ? R_OK : R_INVALID], 1);
	if (!set) {
		ch_degraded(s->self, "jwks", true, "what the issuer sent is no set of keys, and those that are known stay: %s", why);
		return false;
	}
	n = jwks_count(set);
	put(s, set, ch_wall(), ch_now() + s->conf->keep * 1000);
	say_time(s);
	ch_degraded(s->self, "jwks", false, "the issuer's keys have come");
	if (before != atomic_load(&s->generation))
		ch_log(s->self, NULL, why[0] ? CH_WARN : CH_INFO, "the issuer's set has %zu keys that can be used%s%s", n, why[0] ? "; " : "", why);
	return true;
}

/* ---- a fetch: a task on the house loop ---- */

struct fetch {
	struct jwks_source *s;
	struct ch_ctx *c;
	struct ch_http_field accept;
	struct ch_http_args args;
	struct ch_http_result out;
};

static int ended(struct fetch *f)
{
	struct jwks_source *s = f->s;
	bool good = take(s, &f->out);
	int64_t us = pause_after(s, good, &f->out);

	s->due = ch_now() + us;
	if (s->timer)
		ch_timer_set(s->timer, us / 1000 + 1);
	wake(s, good);
	return CH_DONE;
}

static int on_end(struct ch_ctx *c, void *data, int why, void *result)
{
	struct fetch *f = data;
	const struct ch_svc *http = f->s->conf->http;

	(void)result;
	if (why != CH_READY) {
		((const struct ch_http_v1 *)http->vt)->cancel(http, c, &f->out);
		f->out.error = CH_HTTP_TIMEOUT_TOTAL;
		f->out.detail = "it did not answer in time";
	}
	return ended(f);
}

static void on_drop(void *data)
{
	wake(data, false);
}

static int fetch(struct ch_ctx *c, void *data)
{
	struct jwks_source *s = data;
	const struct ch_svc *http = s->conf->http;
	struct fetch *f = ch_alloc(c, sizeof(*f));
	ch_ticket t = f ? ch_suspend(c, 0, on_end, f) : 0;
	int rc;

	if (!t) {
		wake(s, false);
		return CH_DONE;
	}
	f->s = s;
	f->c = c;
	f->accept = (struct ch_http_field){ CH_STR("Accept"), CH_STR("application/jwk-set+json, application/json") };
	f->args = (struct ch_http_args){ .size = sizeof(f->args), .method = CH_STR("GET"), .url = { s->conf->jwks, strlen(s->conf->jwks) },
		.fields = &f->accept, .nfields = 1, .total_timeout_ms = FETCH_MS, .max_body = JWKS_MAX };
	f->out.size = sizeof(f->out);
	rc = ((const struct ch_http_v1 *)http->vt)->request(http, c, &f->args, NULL, &f->out, t);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(t);
	if (rc != CH_OK) {
		f->out.error = CH_HTTP_BAD_REQUEST;
		f->out.detail = "the HTTP client is broken; see the server's log";
	}
	return ended(f);
}

/* Under the lock. False: one runs already, or none can be begun. */
static bool begin(struct jwks_source *s)
{
	if (s->fetching || !ch_task(s->self, NULL, TASK_MS, fetch, s, on_drop))
		return false;
	s->fetching = true;
	s->asked = ch_now();
	return true;
}

/* The timer is set again here too: a task that is dropped for want of memory sets none. */
static void on_tick(void *data)
{
	struct jwks_source *s = data;

	if (ch_now() >= s->due) {
		s->due = ch_now() + INT64_C(1000) * (TASK_MS + FETCH_MS);
		pthread_mutex_lock(&s->lock);
		begin(s);
		pthread_mutex_unlock(&s->lock);
	}
	ch_timer_set(s->timer, (s->due - ch_now()) / 1000 + 1);
}

/* ---- who waits ---- */

int jwks_source_ask(struct jwks_source *s, struct jwks_waiter *w)
{
	int rc = JWKS_FRESH;

	w->at = NULL;
	if (!s->conf->jwks[0])
		return JWKS_FRESH;
	pthread_mutex_lock(&s->lock);
	if (s->fetching || ((!s->asked || ch_now() - s->asked >= s->conf->retry * 1000) && begin(s))) {
		w->next = s->waiting;
		w->at = &s->waiting;
		if (w->next)
			w->next->at = &w->next;
		s->waiting = w;
		rc = JWKS_WAIT;
	} else if (!s->answered) {
		rc = JWKS_AWAY;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

bool jwks_source_answered(struct jwks_source *s)
{
	bool answered;

	pthread_mutex_lock(&s->lock);
	answered = s->answered;
	pthread_mutex_unlock(&s->lock);
	return answered;
}

bool jwks_source_forget(struct jwks_source *s, struct jwks_waiter *w)
{
	bool waited;

	pthread_mutex_lock(&s->lock);
	waited = w->at;
	if (waited) {
		*w->at = w->next;
		if (w->next)
			w->next->at = w->at;
		w->at = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	return waited;
}

/* ---- life ---- */

struct jwks_source *jwks_source_new(struct ch_self *self, const struct auth_jwt_conf *conf, int algs)
{
	struct jwks_source *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->self = self;
	s->conf = conf;
	s->algs = algs;
	pthread_mutex_init(&s->lock, NULL);
	for (size_t i = 0; i < RESULTS; i++)
		s->results[i] = ch_series(self, AUTH_JWKS_M_FETCHES, &auth_jwks_results[i]);
	s->time = ch_series(self, AUTH_JWKS_M_TIME, NULL);
	return s;
}

void jwks_source_free(struct jwks_source *s)
{
	if (!s)
		return;
	jwks_let(s->set);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int jwks_source_start(struct jwks_source *s, struct ch_loop *loop)
{
	say_time(s);
	if (!s->conf->jwks[0])
		return CH_OK;
	s->timer = ch_timer(loop, on_tick, s);
	if (!s->timer)
		return CH_ERROR;
	ch_timer_set(s->timer, 0);
	return CH_OK;
}

void jwks_source_stop(struct jwks_source *s)
{
	if (s->timer)
		ch_timer_free(s->timer);
	s->timer = NULL;
}
