/* SPDX-License-Identifier: MIT */
/*
 * store_call.c - a call to the provider under test, with what holds for every call: it returns OK or AGAIN; its ticket is resumed once,
 * with NULL, in time and not inside a call; a cancel is over soon, and does nothing before the beginning and behind the end; when the
 * ctx's deadline is over the provider lets go by itself.
 */
#include <stdlib.h>

#include "store_run.h"

static __thread char here; /* its address is the thread's name */

bool store_here(const struct store_call *k)
{
	void **mine = ch_loop_state(k->run->self, k->loop);

	return *mine == &here;
}

static int64_t ms_since(int64_t when)
{
	return (ch_now() - when) / 1000;
}

/* ---- the end ---- */

static void leave(void *data)
{
	struct store_call *k = data;

	k->over(k);
}

/* The ctx's memory goes: nobody holds the ticket any more. */
static void on_memory_gone(void *data)
{
	struct store_call *k = data;
	int64_t took = ms_since(k->began);

	ch_timer_free(k->timer);
	k->timer = NULL;
	if (k->lost)
		return; /* it was given up already */
	if (k->deadline && took > k->deadline + conf_of(k->run)->slack)
		complain(k->run, "the ctx's deadline was after %lld ms, and the ticket was held for %lld ms", (long long)k->deadline,
			(long long)took);
	if (!ch_post(k->loop, leave, k))
		abort(); /* the loop has ended before its work: a bug of the host */
}

static void on_never(void *data)
{
	struct store_call *k = data;

	complain(k->run, "the ticket was never resumed");
	atomic_store(&k->run->broken, true);
	k->lost = true;
	k->over(k);
}

/* ---- cancel ---- */

static void give_up(struct store_call *k)
{
	k->inside = true;
	k->give_up(k);
	k->give_up(k); /* idempotent */
	k->inside = false;
}

/* Before the beginning and behind the end it changes nothing. */
static void give_up_for_nothing(struct store_call *k, const char *when)
{
	void *before = malloc(k->out_size);

	if (!before)
		return;
	memcpy(before, k->out, k->out_size);
	give_up(k);
	if (memcmp(before, k->out, k->out_size))
		complain(k->run, "cancel %s of the call changed *out", when);
	free(before);
}

static void on_cancel(void *data)
{
	struct store_call *k = data;

	if (k->answered)
		return;
	k->cancelled = ch_now();
	give_up(k);
}

/* ---- the call ---- */

static void judge(struct store_call *k, int rc)
{
	int64_t slack = conf_of(k->run)->slack;

	k->answered = true;
	if (*(size_t *)k->out != k->out_size)
		complain(k->run, "the result's size was changed");
	if (k->cancelled && ms_since(k->cancelled) > slack)
		complain(k->run, "expected that the ticket is resumed soon behind a cancel, it took %lld ms",
			(long long)ms_since(k->cancelled));
	if (ms_since(k->began) > k->limit + slack)
		complain(k->run, "expected an end within %lld ms, it took %lld", (long long)k->limit, (long long)ms_since(k->began));
	k->judge(k, rc);
	give_up_for_nothing(k, "behind the end");
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct store_call *k = data;

	(void)c;
	if (k->inside)
		complain(k->run, "the ticket was resumed inside a call");
	if (result)
		complain(k->run, "the ticket was resumed with a result that is not NULL");
	if (why == CH_READY) {
		judge(k, CH_AGAIN);
		return CH_DONE;
	}
	if (why == CH_TIMEOUT && !k->deadline)
		complain(k->run, "the ticket was not resumed within %lld ms", (long long)ms_since(k->began));
	if (why == CH_GONE)
		atomic_store(&k->run->gone, true);
	if (!k->deadline || why == CH_GONE)
		give_up(k); /* so that the provider confirms the ticket */
	k->answered = true;
	ch_timer_free(k->timer);
	k->timer = ch_timer(k->loop, on_never, k);
	if (k->timer)
		ch_timer_set(k->timer, conf_of(k->run)->slack + 2000);
	return CH_DONE;
}

static void drop(void *data)
{
	struct store_call *k = data;

	atomic_store(&k->run->gone, true); /* the config has been replaced, or the server stops */
	k->dropped = true;
	if (!ch_post(k->loop, leave, k))
		abort();
}

static int begin(struct ch_ctx *c, void *data)
{
	struct store_call *k = data;
	int rc;

	*ch_loop_state(k->run->self, k->loop) = &here;
	k->c = c;
	k->began = ch_now();
	k->out = ch_alloc(c, k->out_size);
	if (!k->out || !ch_keep(c, on_memory_gone, k)) {
		drop(k);
		return CH_ERROR;
	}
	k->ticket = ch_suspend(c, k->deadline ? 0 : k->limit + conf_of(k->run)->slack + 2000, on_resumed, k);
	if (!k->ticket)
		return CH_ERROR;
	*(size_t *)k->out = k->out_size;
	if (k->cancel == CANCEL_BEFORE)
		give_up_for_nothing(k, "before the beginning");
	k->inside = true;
	rc = k->ask(k);
	k->inside = false;
	if (rc == CH_AGAIN) {
		if (k->cancel == CANCEL_AT_ONCE)
			on_cancel(k);
		else if (k->cancel == CANCEL_LATER && (k->timer = ch_timer(k->loop, on_cancel, k)))
			ch_timer_set(k->timer, k->cancel_ms);
		return CH_AGAIN;
	}
	ch_unsuspend(k->ticket);
	if (rc != CH_OK)
		complain(k->run, "it returned %d, expected CH_OK or CH_AGAIN", rc);
	judge(k, rc);
	return CH_DONE;
}

void store_call(struct store_call *k)
{
	k->c = NULL;
	k->out = NULL;
	k->timer = NULL;
	k->cancelled = k->began = 0;
	k->inside = k->answered = k->lost = k->dropped = false;
	if (!ch_task(k->run->self, k->loop, k->deadline, begin, k, drop))
		drop(k);
}
