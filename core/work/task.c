/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Background tasks: a ctx without HTTP. One that an instance begins before the loops have taken it (in start) waits until they have; one
 * that is begun, or arrives, when the loop has let the instance go is dropped.
 */
#include "core/log/log.h"
#include "core/plugin/gen.h"

#include <pthread.h>
#include <stdlib.h>

struct chi_early {
	struct chi_msg msg;
	struct ch_loop *loop;
	struct chi_early *next; /* of those that wait */
	struct chi_inst *inst;
	int64_t timeout_ms;
	ch_task_fn fn;
	void *data;
	ch_fn drop, ended;
};

struct task_room { /* behind the task's ctx */
	struct ch_ctx *next, **self; /* among the loop's tasks */
	ch_task_fn fn;
	void *data;
	ch_fn ended;
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

static void task_freed(struct ch_ctx *c)
{
	if (room_of(c)->ended)
		room_of(c)->ended(room_of(c)->data);
}

static const struct chi_owner task_owner = { .came = task_came, .freed = task_freed };

static void on_task(struct ch_loop *l, struct chi_msg *m)
{
	struct chi_early t = *(struct chi_early *)m;
	struct chi_gen *g = chi_gen_of(l, t.inst);
	free(m);
	struct ch_ctx *c = g ? chi_ctx_new(l, g, &task_owner, sizeof(struct task_room)) : NULL;
	if (!c) {
		if (g)
			chi_log(CH_ERR, &(struct chi_log_fields){ .plugin = t.inst->self.id },
				"no memory for a background task: it is left out this time");
		if (t.drop)
			t.drop(t.data);
		atomic_fetch_sub(&t.inst->tasks, 1);
		return;
	}
	atomic_fetch_sub(&t.inst->tasks, 1);
	struct task_room *r = room_of(c);
	r->fn = t.fn;
	r->data = t.data;
	r->ended = t.ended;
	r->next = l->tasks;
	r->self = &l->tasks;
	if (r->next)
		room_of(r->next)->self = &r->next;
	l->tasks = c;
	if (t.timeout_ms > 0)
		c->deadline = chi_clock() + t.timeout_ms * 1000;
	chi_ctx_run_one(c, &t.inst->task);
}

/* Counted as on its way already. */
static bool send(struct chi_early *t)
{
	if (chi_loop_here() == t->loop) {
		chi_loop_ready(t->loop, &t->msg);
		return true;
	}
	if (chi_loop_send(t->loop, &t->msg))
		return true;
	atomic_fetch_sub(&t->inst->tasks, 1);
	return false;
}

static pthread_mutex_t early_lock = PTHREAD_MUTEX_INITIALIZER;

/* False: the instance is live by now. */
static bool keep_early(struct chi_early *t)
{
	pthread_mutex_lock(&early_lock);
	bool live = atomic_load(&t->inst->live);
	if (!live) {
		struct chi_early **p = &t->inst->early;
		while (*p)
			p = &(*p)->next;
		*p = t;
	}
	pthread_mutex_unlock(&early_lock);
	return !live;
}

bool chi_task_begin(struct chi_inst *inst, struct ch_loop *l, int64_t timeout_ms, ch_task_fn fn, void *data, ch_fn drop, ch_fn ended)
{
	struct chi_early *t = malloc(sizeof *t);
	if (!t)
		return false;
	*t = (struct chi_early){ .msg.fn = on_task,
		.loop = l,
		.inst = inst,
		.timeout_ms = timeout_ms,
		.fn = fn,
		.data = data,
		.drop = drop,
		.ended = ended };
	if (!atomic_load(&inst->live) && keep_early(t))
		return true;
	atomic_fetch_add(&inst->tasks, 1);
	if (send(t))
		return true;
	free(t);
	return false;
}

bool chi_task_start(struct chi_inst *inst, struct ch_loop *l, int64_t timeout_ms, ch_task_fn fn, void *data, ch_fn drop)
{
	return chi_task_begin(inst, l, timeout_ms, fn, data, drop, NULL);
}

static void dropped(struct chi_early *t)
{
	if (t->drop)
		t->drop(t->data);
	free(t);
}

void chi_tasks_live(struct chi_inst *inst)
{
	pthread_mutex_lock(&early_lock);
	struct chi_early *t = inst->early;
	inst->early = NULL;
	atomic_store(&inst->live, true);
	pthread_mutex_unlock(&early_lock);
	while (t) {
		struct chi_early *next = t->next;
		atomic_fetch_add(&inst->tasks, 1);
		if (!send(t))
			dropped(t);
		t = next;
	}
}

void chi_tasks_drop(struct chi_inst *inst)
{
	while (inst->early) {
		struct chi_early *t = inst->early;
		inst->early = t->next;
		dropped(t);
	}
}
