/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner chain of a hook: CALL over a question to a service. Hooks that pass at once cost no suspension. When one waits, the hook that
 * asked waits too, by a ticket that only the end of the inner chain resumes, so deadline and GONE reach the innermost first.
 */
#include "core/plugin/gen.h"
#include "core/plugin/misuse.h"

struct outside { /* of the inner chain: what a call of a hook changes */
	const struct chi_hook *hook, *running;
	uint32_t wait;
	int64_t sampled_at;
	size_t sampled_used;
	bool busy;
};

static struct outside put_aside(const struct ch_ctx *c)
{
	return (struct outside){ c->hook, c->running, c->wait, c->sampled_at, c->sampled_used, c->busy };
}

static void put_back(struct ch_ctx *c, const struct outside *o)
{
	c->hook = o->hook;
	c->wait = o->wait;
	if (o->busy)
		chi_ctx_enter_again(c, o->running, o->sampled_at, o->sampled_used);
}

static int run(struct ch_ctx *c, struct chi_frame *f)
{
	int rc = CH_OK;
	while (rc == CH_OK && f->hook < f->end) {
		struct outside o = put_aside(c);
		c->hook = f->hook;
		c->wait = f->wait = ++c->waits;
		c->frame_runs = true;
		chi_ctx_enter(c, f->hook);
		rc = f->hook->fn(&f->hook->inst->self, c);
		chi_ctx_leave(c, f->hook);
		rc = chi_ctx_judge(c, f->hook, rc);
		c->frame_runs = false;
		put_back(c, &o);
		f->waiting = rc == CH_AGAIN;
		if (rc == CH_OK)
			f->hook++;
	}
	return rc;
}

int chi_call_hooks(struct ch_ctx *c, void *call, ch_resumed fn, void *data)
{
	const struct chi_chain *chain = &c->gen->phases[CH_P_CALL];
	bool out = chi_tickets_out(c, c->wait);
	if (c->call || out || !c->busy || c->ended) {
		chi_misuse(chi_ctx_who(c), c, "it asked a service with hooks %s: one question at a time, from a hook, a handler or a task",
			c->call ? "inside of another question" : c->busy && !c->ended ? "while a ticket was out" : "outside of a hook");
		return CH_ERROR;
	}
	c->call = call;
	if (!chain->n)
		return CH_OK;
	struct chi_frame *f = &c->frame_room;
	*f = (struct chi_frame){ .hook = chain->hooks, .end = chain->hooks + chain->n };
	c->frame = f;
	int rc = run(c, f);
	if (rc == CH_AGAIN && !(f->ticket = chi_ticket_timeless(c, fn, data)))
		rc = CH_ERROR;
	if (rc != CH_AGAIN)
		c->frame = NULL; /* without a ticket, too: what the hook waits for is a straggler's then */
	return rc;
}

void chi_call_abandon(struct ch_ctx *c)
{
	ch_ticket t = c->frame->ticket;
	c->frame = NULL;
	chi_ticket_take_back(t);
}

uint32_t chi_call_wait(const struct ch_ctx *c)
{
	return c->frame ? c->frame->wait : c->wait;
}

bool chi_call_waits(const struct ch_ctx *c, uint32_t wait)
{
	return c->frame && c->frame->waiting && c->frame->wait == wait;
}

void chi_call_resumed(struct ch_ctx *c, int rc)
{
	struct chi_frame *f = c->frame;
	if (rc == CH_AGAIN && !chi_tickets_out(c, f->wait))
		rc = chi_ctx_broken(c, f->hook, "goes on waiting (AGAIN) with no ticket out");
	else if (rc == CH_ERROR)
		rc = chi_ctx_broken(c, f->hook, "returned ERROR after a suspension");
	if (rc == CH_AGAIN) {
		chi_ctx_waits_on(c);
		return;
	}
	f->waiting = false;
	if (rc == CH_OK && !c->gone) { /* gone: nobody waits for the question, and a hook that began to wait now would not hear it */
		f->hook++;
		rc = run(c, f);
	}
	if (rc == CH_AGAIN)
		return;
	c->frame = NULL;
	chi_ticket_end(f->ticket, c->gone, (void *)(intptr_t)rc);
}

void chi_call_end(struct ch_ctx *c)
{
	const struct chi_chain *chain = &c->gen->phases[CH_P_CALL_END];
	if (!c->call || c->call_ending || c->frame) {
		chi_misuse(chi_ctx_who(c), c, "it called ch_call_end %s",
			!c->call ? "without a question that ch_call_hooks began" : c->call_ending ? "inside of a CALL_END hook" :
			"while CALL hooks are at work: only who asked ends the question, when ch_call_hooks has told its outcome");
		return;
	}
	c->call_ending = true;
	for (size_t i = 0; i < chain->n; i++) {
		const struct chi_hook *h = &chain->hooks[i];
		struct outside o = put_aside(c);
		c->hook = h;
		c->wait = ++c->waits;
		chi_ctx_enter(c, h);
		int rc = h->fn(&h->inst->self, c);
		chi_ctx_leave(c, h);
		if (rc != CH_OK || chi_tickets_out(c, c->wait))
			chi_ctx_broken(c, h, "returned something else than CH_OK, or left a ticket out");
		put_back(c, &o);
	}
	c->call_ending = false;
	c->call = NULL;
}

void *chi_call(struct ch_ctx *c)
{
	return c->call;
}
