/* SPDX-License-Identifier: Apache-2.0 */
#include "core/work/work.h"

#include "core/log/log.h"
#include "core/plugin/account.h"
#include "core/plugin/gen.h"
#include "core/plugin/misuse.h"

#include <math.h>
#include <stdlib.h>

struct chi_kept {
	struct chi_kept *next;
	ch_fn fn;
	void *data;
};

struct ch_ctx *chi_ctx_new(struct ch_loop *l, struct chi_gen *g, const struct chi_owner *owner, size_t extra)
{
	size_t slots = g->nslots * sizeof(void *);
	struct ch_ctx *c = chi_arena_object(l, sizeof *c + extra);
	if (!c)
		return NULL;
	c->loop = l;
	c->owner = owner;
	c->gen = g;
	c->slots = chi_arena_alloc(&c->arena, slots);
	if (!c->slots) {
		chi_arena_free(&c->arena);
		return NULL;
	}
	g->loops[l->index].held++;
	c->facts.size = sizeof c->facts;
	c->facts.endpoint = "";
	c->facts.started = l->now;
	c->facts.cost = NAN;
	return c;
}

bool chi_ctx_keep(struct ch_ctx *c, ch_fn fn, void *data)
{
	struct chi_kept *k = chi_arena_has(&c->arena, sizeof *k) ? chi_arena_raw(&c->arena, sizeof *k) : NULL;
	if (!k)
		return false;
	*k = (struct chi_kept){ c->kept, fn, data };
	c->kept = k;
	return true;
}

static void ctx_free(struct ch_ctx *c)
{
	struct ch_loop *l = c->loop;
	struct chi_gen *g = c->gen;
	for (struct chi_kept *k = c->kept; k; k = k->next)
		k->fn(k->data);
	if (c->owner->freed)
		c->owner->freed(c);
	chi_arena_free(&c->arena);
	chi_gen_release(l, g);
}

void chi_ctx_unpin(struct ch_ctx *c)
{
	if (--c->pins == 0 && c->ended)
		ctx_free(c);
}

void chi_ctx_enter(struct ch_ctx *c, const struct chi_hook *hook)
{
	c->busy = true;
	c->running = hook;
	if (hook)
		chi_account_enter(c, hook);
}

void chi_ctx_enter_again(struct ch_ctx *c, const struct chi_hook *hook, int64_t sampled_at, size_t sampled_used)
{
	c->busy = true;
	c->running = hook;
	c->sampled_at = sampled_at;
	c->sampled_used = sampled_used;
	if (hook)
		chi_account_again(c, hook);
}

void chi_ctx_leave(struct ch_ctx *c, const struct chi_hook *hook)
{
	if (hook)
		chi_account_leave(c, hook);
	c->running = NULL;
	c->busy = false;
}

int chi_ctx_broken(struct ch_ctx *c, const struct chi_hook *hook, const char *what)
{
	chi_account_error(hook);
	chi_misuse(hook->inst->self.id, c, "its %s hook %s%s", hook->phase, what, c->req && !c->ended && !c->call_ending ? ": the request ends with 500" : "");
	return CH_ERROR;
}

int chi_ctx_judge(struct ch_ctx *c, const struct chi_hook *hook, int rc)
{
	bool out = c->armed && chi_tickets_out(c, c->wait);
	if (rc != CH_AGAIN && c->frame && !c->frame_runs) {
		chi_misuse(hook->inst->self.id, c, "its %s hook got CH_AGAIN of ch_call_hooks and did not return it", hook->phase);
		chi_call_abandon(c);
		out = false;
	}
	if (rc == CH_AGAIN && !out)
		return chi_ctx_broken(c, hook, "returned AGAIN without a ticket");
	if (rc == CH_ERROR)
		return chi_ctx_broken(c, hook, "returned ERROR");
	if (rc < CH_ERROR || rc > CH_AGAIN)
		return chi_ctx_broken(c, hook, "returned a value that is none of CH_OK, CH_DONE, CH_AGAIN, CH_ERROR");
	if (rc == CH_OK && out)
		chi_misuse(hook->inst->self.id, c, "its %s hook returned OK with a ticket out: return AGAIN, or take it back with ch_unsuspend",
		           hook->phase);
	return rc;
}

const char *chi_ctx_who(const struct ch_ctx *c)
{
	return c->running ? c->running->inst->self.id : NULL;
}

static void tell_gone(void *data)
{
	struct ch_ctx *c = data;
	if (c->suspended && !c->ended && chi_ticket_gone(c))
		c->gone_told = true;
	chi_ctx_unpin(c);
}

void chi_ctx_waits_on(struct ch_ctx *c)
{
	if (!c->gone || c->gone_told)
		return;
	c->pins++;
	chi_loop_turn_end(c->loop, tell_gone, c);
}

/* The hook waits. If the client left before it began to wait, it hears so at the end of the turn. */
static void wait_for_ticket(struct ch_ctx *c)
{
	c->suspended = true;
	if (c->gone) {
		c->pins++;
		chi_loop_turn_end(c->loop, tell_gone, c);
	}
}

static void run(struct ch_ctx *c)
{
	int rc = CH_OK;
	while (c->hook < c->hook_end) {
		c->wait = ++c->waits;
		chi_ctx_enter(c, c->hook);
		rc = c->hook->fn(&c->hook->inst->self, c);
		chi_ctx_leave(c, c->hook);
		if (rc != CH_OK || c->armed || c->frame)
			rc = chi_ctx_judge(c, c->hook, rc);
		if (rc == CH_AGAIN) {
			wait_for_ticket(c);
			return;
		}
		if (rc != CH_OK)
			break;
		c->hook++;
	}
	c->owner->came(c, rc);
}

void chi_ctx_run(struct ch_ctx *c, const struct chi_chain *chain)
{
	c->hook = chain->hooks;
	c->hook_end = chain->hooks + chain->n;
	run(c);
}

void chi_ctx_run_one(struct ch_ctx *c, const struct chi_hook *hook)
{
	c->hook = hook;
	c->hook_end = hook + 1;
	run(c);
}

int chi_ctx_call(struct ch_ctx *c, const struct chi_hook *hook, uint32_t wait, ch_resumed fn, void *data, int why, void *result)
{
	const struct chi_hook *outer = c->hook;
	uint32_t outer_wait = c->wait;
	bool inner = chi_call_waits(c, wait);
	if (inner) { /* what it begins now belongs to the inner chain */
		c->hook = hook;
		c->wait = wait;
	}
	chi_ctx_enter(c, hook);
	int rc = fn(c, data, why, result);
	chi_ctx_leave(c, hook);
	if (inner) {
		c->hook = outer;
		c->wait = outer_wait;
	}
	return rc;
}

void chi_ctx_resumed(struct ch_ctx *c, uint32_t wait, int rc)
{
	if (chi_call_waits(c, wait)) {
		chi_call_resumed(c, rc);
		return;
	}
	if (!c->suspended || wait != c->wait)
		return; /* the ctx went on by another ticket; this one was a straggler's */
	if (rc != CH_AGAIN && c->frame) {
		chi_misuse(c->hook->inst->self.id, c, "its %s hook got CH_AGAIN of ch_call_hooks and did not return it", c->hook->phase);
		chi_call_abandon(c);
	}
	if (rc == CH_AGAIN && !chi_tickets_out(c, c->wait))
		rc = chi_ctx_broken(c, c->hook, "goes on waiting (AGAIN) with no ticket out");
	else if (rc == CH_ERROR)
		rc = chi_ctx_broken(c, c->hook, "returned ERROR after a suspension");
	if (rc == CH_AGAIN) {
		chi_ctx_waits_on(c);
		return;
	}
	c->suspended = false;
	if (rc == CH_OK) {
		c->hook++;
		run(c);
		return;
	}
	c->owner->came(c, rc);
}

void chi_ctx_stuck(struct ch_ctx *c)
{
	uint32_t wait = chi_call_wait(c);
	if (c->suspended && !c->busy && !c->ended && !chi_tickets_out(c, wait))
		chi_ctx_resumed(c, wait, CH_AGAIN); /* which finds that out, and says so */
}

void chi_ctx_gone(struct ch_ctx *c)
{
	if (c->gone)
		return;
	c->gone = true;
	if (c->suspended)
		wait_for_ticket(c); /* at the end of the turn: we may be inside a call of the hook's own */
}

void chi_ctx_end_hooks(struct ch_ctx *c)
{
	if (c->ended)
		return;
	if (c->call && !c->call_ending) {
		chi_misuse(NULL, c, "its handler asked a service with hooks and did not call ch_call_end");
		chi_call_end(c); /* what CALL hooks have reserved must be settled */
	}
	c->ended = true;
	c->pins++; /* until chi_ctx_end: an END hook may take the last ticket back */
	c->ending = true;
	const struct chi_chain *chain = &c->gen->phases[CH_P_END];
	for (size_t i = 0; i < chain->n; i++) {
		c->hook = &chain->hooks[i];
		chi_ctx_enter(c, c->hook);
		int rc = c->hook->fn(&c->hook->inst->self, c);
		chi_ctx_leave(c, c->hook);
		if (rc != CH_OK)
			chi_ctx_broken(c, c->hook, "returned something else than CH_OK");
	}
	c->ending = false;
}

void chi_ctx_hold(struct ch_ctx *c)
{
	if (!c->ending) {
		chi_misuse(chi_ctx_who(c), c, "it called ch_hold outside of an END hook");
		return;
	}
	c->holds++;
	c->pins++;
}

static void on_left(struct ch_loop *l, struct chi_msg *m)
{
	struct ch_ctx *c = (struct ch_ctx *)((char *)m - offsetof(struct ch_ctx, left));
	(void)l;
	if (c->owner->let_go)
		c->owner->let_go(c, !c->cut);
	chi_ctx_unpin(c);
}

/* What goes on may run handlers of the next request on the connection, so it does not run inside a call of the plugin's. */
void chi_ctx_let_go(struct ch_ctx *c, bool ok)
{
	if (!c->holds) {
		chi_misuse(NULL, c, "ch_let_go was called more often than ch_hold");
		return;
	}
	c->cut = c->cut || !ok;
	if (--c->holds || c->ending) { /* END still runs: whoever ran it looks, and goes on by itself */
		chi_ctx_unpin(c);
		return;
	}
	c->left.fn = on_left;
	chi_loop_ready(c->loop, &c->left);
}

void chi_ctx_end(struct ch_ctx *c)
{
	chi_ctx_end_hooks(c);
	chi_ctx_unpin(c);
}
