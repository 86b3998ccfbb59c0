/* SPDX-License-Identifier: MIT */
/* store_run.c - the cases of a suite of storage one after the other, and the report. */
#include <stdio.h>
#include <stdlib.h>

#include "store_run.h"

static void next_case(struct store_run *r);

void complain(struct store_run *r, const char *fmt, ...)
{
	char text[500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			*p = '?';
	pthread_mutex_lock(&r->lock);
	atomic_store(&r->failed, true);
	if (r->noted + sizeof(text) + 40 < sizeof(r->notes)) { /* else enough was said */
		if (r->step)
			r->noted += (size_t)snprintf(r->notes + r->noted, 40, "# step %u: ", r->step);
		r->noted += (size_t)snprintf(r->notes + r->noted, sizeof(r->notes) - r->noted, "%s%s\n", r->step ? "" : "# ", text);
	}
	pthread_mutex_unlock(&r->lock);
}

/* ---- the end ---- */

static void free_run(void *data)
{
	struct store_run *r = data;

	if (atomic_load(&r->broken))
		return;
	pthread_mutex_destroy(&r->lock);
	free(r->own);
	free(r);
}

static void end_run(struct store_run *r)
{
	const char *why = r->bail;

	if (atomic_load(&r->gone))
		why = "the server stops or replaces its config";
	else if (atomic_load(&r->broken))
		why = "the provider holds a ticket for ever";
	tap_end(&r->tap, why);
	ch_timer_free(r->timer);
	ch_resume(r->ticket, NULL, NULL);
	ch_post(r->loop, free_run, r); /* the case that ended last is still on the stack */
}

/* ---- the cases ---- */

/* Does the query's case= name it? */
static bool chosen(const struct store_run *r, const char *name)
{
	for (const char *p = r->filter; *p; p += *p == ',') {
		size_t n = strcspn(p, ",&");

		if (n && !strncmp(name, p, n))
			return true;
		p += n;
		if (*p == '&')
			return false;
	}
	return !*r->filter;
}

void store_case_over(struct store_run *r)
{
	tap_case(&r->tap, !atomic_load(&r->failed), r->suite->name(r->next - 1), "", r->notes);
	next_case(r);
}

static void next_case(struct store_run *r)
{
	while (r->next < r->suite->n && !chosen(r, r->suite->name(r->next)))
		r->next++;
	atomic_store(&r->failed, false);
	r->noted = 0;
	r->notes[0] = 0;
	r->step = 0;
	if (r->next < r->suite->n && !store_given_up(r))
		r->suite->begin(r, r->next++);
	else
		end_run(r);
}

static void on_again(void *data)
{
	struct store_run *r = data;

	r->suite->prepare(r);
}

/* What else was wrong with the call is wrong with those of the cases, too. */
void store_prepared(struct store_run *r, const char *why)
{
	if (!why) {
		next_case(r);
	} else if (ch_now() < r->ready_by && !atomic_load(&r->gone) && !atomic_load(&r->broken)) {
		ch_timer_set(r->timer, 50);
	} else {
		r->bail = why;
		end_run(r);
	}
}

/* ---- the route ---- */

static int on_report_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct store_run *r = data;

	(void)c, (void)result;
	if (why != CH_READY) { /* end_run resumes the ticket still */
		atomic_store(&r->gone, true);
		r->tap.c = NULL;
	}
	return CH_DONE;
}

int store_conform(struct ch_self *self, struct ch_ctx *c, const struct store_suite *suite, void *own)
{
	struct ch_str q = ch_query(c);
	struct store_run *r = calloc(1, sizeof(*r));

	if (!r || !own) {
		free(r);
		free(own);
		return CH_ERROR;
	}
	r->self = self;
	r->loop = ch_loop(c);
	r->suite = suite;
	r->id = ch_random();
	r->own = own;
	pthread_mutex_init(&r->lock, NULL);
	r->filter = ch_dup(c, q.p, q.n);
	r->ticket = ch_suspend(c, 0, on_report_over, r);
	r->timer = ch_timer(r->loop, on_again, r);
	r->ready_by = ch_now() + 10 * conf_of(r)->slack * 1000;
	if (!r->filter || !r->ticket || !r->timer || tap_begin(&r->tap, c) != CH_OK) {
		ch_unsuspend(r->ticket);
		ch_timer_free(r->timer);
		free_run(r);
		return CH_ERROR;
	}
	if (!strncmp(r->filter, "case=", 5))
		r->filter += 5;
	suite->prepare(r);
	return CH_AGAIN;
}
