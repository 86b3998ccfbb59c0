/* SPDX-License-Identifier: Apache-2.0 */
#include "core/work/work.h"

#include "core/log/log.h"
#include "core/plugin/account.h"
#include "core/plugin/gen.h"

#include <stdlib.h>

struct ch_ctx *chi_ctx_new(struct ch_loop *l, struct chi_gen *g, const struct chi_owner *owner, size_t extra)
{
	size_t slots = g->ninsts * sizeof(void *);
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
	return c;
}

static void ctx_free(struct ch_ctx *c)
{
	struct ch_loop *l = c->loop;
	struct chi_gen *g = c->gen;
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

void chi_ctx_leave(struct ch_ctx *c, const struct chi_hook *hook)
{
	if (hook)
		chi_account_leave(c, hook);
	c->running = NULL;
	c->busy = false;
}

/* The plugin broke its promise: say so, count it, and go on as if it had said ERROR. */
static int broken(struct ch_ctx *c, const char *what)
{
	chi_account_error(c->hook);
	chi_log(CH_ERR, &(struct chi_log_fields){ .plugin = c->hook->inst->self.id, .req_id = c->facts.req_id },
	        "%s hook %s: the request ends with 500; this is a bug in the plugin", c->hook->phase, what);
	return CH_ERROR;
}

static void tell_gone(void *data)
{
	struct ch_ctx *c = data;
	if (c->suspended && !c->ended)
		chi_ticket_gone(c);
	chi_ctx_unpin(c);
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
		c->wait++;
		chi_ctx_enter(c, c->hook);
		rc = c->hook->fn(&c->hook->inst->self, c);
		chi_ctx_leave(c, c->hook);
		if (rc == CH_AGAIN && !c->armed)
			rc = broken(c, "returned AGAIN without a ticket");
		else if (rc == CH_ERROR)
			rc = broken(c, "returned ERROR");
		else if (rc < CH_ERROR || rc > CH_AGAIN)
			rc = broken(c, "returned a value that is none of CH_OK, CH_DONE, CH_AGAIN, CH_ERROR");
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

void chi_ctx_resumed(struct ch_ctx *c, uint32_t wait, int rc)
{
	if (!c->suspended || wait != c->wait)
		return; /* the ctx went on by another ticket; this one was a straggler's */
	if (rc == CH_AGAIN && !c->armed)
		rc = broken(c, "goes on waiting (AGAIN) with no ticket out");
	else if (rc == CH_ERROR)
		rc = broken(c, "returned ERROR after a suspension");
	if (rc == CH_AGAIN)
		return;
	c->suspended = false;
	if (rc == CH_OK) {
		c->hook++;
		run(c);
		return;
	}
	c->owner->came(c, rc);
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
	c->ended = true;
	c->pins++; /* until chi_ctx_end: an END hook may take the last ticket back */
	const struct chi_chain *chain = &c->gen->phases[CH_P_END];
	for (size_t i = 0; i < chain->n; i++) {
		c->hook = &chain->hooks[i];
		chi_ctx_enter(c, c->hook);
		int rc = c->hook->fn(&c->hook->inst->self, c);
		chi_ctx_leave(c, c->hook);
		if (rc != CH_OK)
			broken(c, "returned something else than CH_OK");
	}
}

void chi_ctx_end(struct ch_ctx *c)
{
	chi_ctx_end_hooks(c);
	chi_ctx_unpin(c);
}

/* ---- tasks ---- */

struct task {
	struct chi_msg msg;
	struct chi_inst *inst;
	int64_t timeout_ms;
	ch_task_fn fn;
	void *data;
	ch_fn drop;
};

struct task_room { /* behind the task's ctx */
	struct ch_ctx *next, **self; /* among the loop's tasks */
	ch_task_fn fn;
	void *data;
};

static struct task_room *room_of(struct ch_ctx *c)
{
	return (struct task_room *)(c + 1);
}

int chi_task_call(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return room_of(c)->fn(c, room_of(c)->data);
}

static void task_came(struct ch_ctx *c, int rc)
{
	(void)rc;
	struct task_room *r = room_of(c);
	*r->self = r->next;
	if (r->next)
		room_of(r->next)->self = r->self;
	chi_ctx_end(c);
}

void chi_tasks_gone(struct ch_loop *l)
{
	for (struct ch_ctx *c = l->tasks; c; c = room_of(c)->next)
		chi_ctx_gone(c);
}

static const struct chi_owner task_owner = { .came = task_came };

static void on_task(struct ch_loop *l, struct chi_msg *m)
{
	struct task t = *(struct task *)m;
	struct chi_gen *g = t.inst->gen;
	free(m);
	bool left = g->loops[l->index].left; /* the config was replaced since */
	struct ch_ctx *c = left ? NULL : chi_ctx_new(l, g, &task_owner, sizeof(struct task_room));
	if (!c) {
		if (!left)
			chi_log(CH_ERR, &(struct chi_log_fields){ .plugin = t.inst->self.id },
				"no memory for a background task: it is left out this time");
		if (t.drop)
			t.drop(t.data);
		atomic_fetch_sub(&g->tasks, 1);
		return;
	}
	atomic_fetch_sub(&g->tasks, 1);
	struct task_room *r = room_of(c);
	r->fn = t.fn;
	r->data = t.data;
	r->next = l->tasks;
	r->self = &l->tasks;
	if (r->next)
		room_of(r->next)->self = &r->next;
	l->tasks = c;
	if (t.timeout_ms > 0)
		c->deadline = chi_clock() + t.timeout_ms * 1000;
	chi_ctx_run_one(c, &t.inst->task);
}

bool chi_task_start(struct chi_inst *inst, struct ch_loop *l, int64_t timeout_ms, ch_task_fn fn, void *data, ch_fn drop)
{
	struct task *t = malloc(sizeof *t);
	if (!t)
		return false;
	*t = (struct task){ .msg.fn = on_task, .inst = inst, .timeout_ms = timeout_ms, .fn = fn, .data = data, .drop = drop };
	atomic_fetch_add(&inst->gen->tasks, 1);
	if (chi_loop_here() == l) {
		chi_loop_ready(l, &t->msg);
		return true;
	}
	if (chi_loop_send(l, &t->msg))
		return true;
	atomic_fetch_sub(&inst->gen->tasks, 1);
	free(t);
	return false;
}
