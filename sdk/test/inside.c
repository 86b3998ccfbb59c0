/* SPDX-License-Identifier: MIT */
#include "sdk/test/harness.h"

#include "core/plugin/account.h"
#include "core/plugin/build.h"
#include "core/plugin/host.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the pool ---- */

struct chi_job {
	struct chi_job *next;
	void *(*work)(void *);
	void *data;
	ch_ticket ticket;
	ch_fn drop;
};

static bool offload(struct chi_inst *i, void *(*work)(void *), void *data, ch_ticket ticket, ch_fn drop)
{
	struct ch_test *t = chi_test;
	(void)i;
	if (t->pool == CH_TEST_FULL || !chi_world_may_alloc())
		return false;
	struct chi_job *j = chi_test_alloc(sizeof *j);
	*j = (struct chi_job){ .work = work, .data = data, .ticket = ticket, .drop = drop };
	*t->jobs_tail = j;
	t->jobs_tail = &j->next;
	return true;
}

static size_t run_jobs(struct ch_test *t)
{
	size_t n = 0;
	struct chi_job *j = t->jobs;
	t->jobs = NULL;
	t->jobs_tail = &t->jobs;
	for (; j; n++) {
		struct chi_job job = *j;
		free(j);
		chi_ticket_resume(job.ticket, job.work(job.data), job.drop);
		j = job.next;
	}
	return n;
}

bool chi_jobs_run(struct ch_test *t)
{
	return run_jobs(t) > 0;
}

void ch_test_offload(struct ch_test *t, int pool)
{
	t->pool = pool;
	if (pool == CH_TEST_AUTO)
		chi_test_run(t);
}

size_t ch_test_offload_run(struct ch_test *t)
{
	size_t n = run_jobs(t);
	chi_test_run(t);
	return n;
}

/* ---- instances and tasks ---- */

struct ch_self *ch_test_self(struct ch_test *t, const char *id)
{
	struct chi_inst *i = t->gen ? chi_gen_find(t->gen, id) : NULL;
	return i ? &i->self : NULL;
}

const struct ch_svc *ch_test_provided(struct ch_test *t, const char *id, const char *iface)
{
	struct ch_self *s = ch_test_self(t, id);
	for (size_t k = 0; s && k < s->plugin->provides.n; k++) {
		const struct ch_provide *row = chi_row(&s->plugin->provides, k);
		if (!strcmp(row->iface, iface))
			return &chi_inst_of(s)->provides[k];
	}
	return NULL;
}

bool ch_test_task(struct ch_test *t, const char *id, int64_t timeout_ms, ch_task_fn fn, void *data)
{
	/* Without a name: the core's own instance, which every generation has. */
	struct ch_self *s = !t->gen ? NULL : id ? ch_test_self(t, id) : &t->gen->insts[t->gen->ninsts - 1]->self;
	if (!s) {
		chi_test_fail("there is no instance \"%s\": a section of the config enables one", id ? id : "");
		return false;
	}
	bool taken = chi_task_start(chi_inst_of(s), t->worker, timeout_ms, fn, data, NULL);
	chi_test_run(t);
	return taken;
}

void ch_test_on_loop(struct ch_test *t, ch_fn fn, void *data)
{
	struct ch_loop *old = chi_world_enter(t->worker);
	fn(data);
	chi_world_enter(old);
	chi_test_run(t);
}

/* ---- checks ---- */

struct chi_checked {
	struct chi_checked *next;
	char name[80];
	const struct ch_check *row;
	struct chi_inst *inst;
	struct chi_hook hook;
	struct ch_check_result result;
	int64_t at, took; /* microseconds; at 0: never run */
	bool running;
};

struct room { /* behind a check's ctx */
	struct chi_checked *check;
	int64_t began;
	struct ch_check_result out;
};

static struct room *room_of(struct ch_ctx *c)
{
	return (struct room *)(c + 1);
}

static int call_check(struct ch_self *self, struct ch_ctx *c)
{
	return room_of(c)->check->row->fn(self, c, &room_of(c)->out);
}

static void check_came(struct ch_ctx *c, int rc)
{
	struct room *m = room_of(c);
	if (rc == CH_ERROR) {
		m->out.health = CH_UNHEALTHY;
		snprintf(m->out.message, sizeof m->out.message, "the check itself failed");
	}
	m->check->running = false;
	m->check->result = m->out;
	m->check->at = chi_clock();
	m->check->took = m->check->at - m->began;
	chi_ctx_end(c);
}

static const struct chi_owner check_owner = { .came = check_came };

static struct chi_checked *add_check(struct ch_test *t, struct chi_inst *i, const struct ch_check *row, const char *name)
{
	struct chi_checked *v = chi_test_alloc(sizeof *v), **at = &t->checked;
	snprintf(v->name, sizeof v->name, "%s", name);
	v->row = row;
	v->inst = i;
	v->hook = (struct chi_hook){ .fn = call_check, .inst = i, .phase = "check" };
	chi_account_init(&v->hook);
	while (*at)
		at = &(*at)->next;
	return *at = v;
}

/* The checks of the current generation; those of the one before are forgotten. */
static void list_checks(struct ch_test *t)
{
	if (!t->gen || t->checked_gen == t->gen->id)
		return;
	t->checked_gen = t->gen->id;
	while (t->checked) {
		struct chi_checked *v = t->checked;
		t->checked = v->next;
		free(v);
	}
	for (size_t k = 0; k < t->gen->ninsts; k++) {
		struct chi_inst *i = t->gen->insts[k];
		for (size_t j = 0; j < i->self.plugin->checks.n; j++) {
			const struct ch_check *row = chi_row(&i->self.plugin->checks, j);
			char name[80];
			snprintf(name, sizeof name, strcmp(row->name, i->self.id) ? "%s.%s" : "%s", i->self.id, row->name);
			add_check(t, i, row, name);
		}
	}
}

static void check_again(struct ch_test *t, void *name)
{
	ch_test_check(t, name, NULL);
}

bool ch_test_check(struct ch_test *t, const char *name, struct ch_check_result *out)
{
	chi_sweep(t, check_again, (void *)name, "check %s", name);
	list_checks(t);
	struct chi_checked *v = t->checked;
	while (v && strcmp(v->name, name))
		v = v->next;
	if (!v)
		return false;
	struct ch_loop *old = chi_world_enter(t->house);
	struct ch_ctx *c = v->running ? NULL : chi_ctx_new(t->house, t->gen, &check_owner, sizeof(struct room));
	if (c) {
		int64_t ms = v->row->timeout_ms ? v->row->timeout_ms : t->gen->conf->server->startup_check_timeout;
		*room_of(c) = (struct room){ .check = v, .began = chi_clock() };
		room_of(c)->out = (struct ch_check_result){ .size = sizeof v->result, .health = CH_UNHEALTHY };
		c->deadline = chi_clock() + ms * 1000;
		v->running = true;
		chi_ctx_run_one(c, &v->hook);
	}
	chi_world_enter(old);
	chi_test_run(t);
	if (v->running || !v->at)
		return false;
	if (out)
		*out = v->result;
	return true;
}

int64_t ch_test_checks_interval(struct ch_test *t)
{
	return t->gen ? chi_gen_checks_interval(t->gen) : 0;
}

static void checks_walk(void (*fn)(void *, const struct ch_check_state *), void *data)
{
	list_checks(chi_test);
	for (const struct chi_checked *v = chi_test->checked; v; v = v->next) {
		struct ch_check_state s = { .size = sizeof s, .name = v->name, .health = v->result.health,
			.critical = v->row->critical && chi_test->gen && chi_gen_needed(chi_test->gen, v->inst), .message = v->result.message, .duration_ms = (double)v->took / 1e3,
			.age = v->at ? (double)(chi_clock() - v->at) / 1e6 : -1 };
		fn(data, &s);
	}
}

/* ---- the server ---- */

static void server(struct ch_server *s)
{
	*s = chi_test->server;
	s->uptime = (double)(chi_wall() / 1000000 - s->started_wall);
	s->connections = (uint64_t)atomic_load(&chi_test->shared.connections);
	s->requests = atomic_load(&chi_test->shared.requests);
}

void chi_inside_start(struct ch_test *t)
{
	(void)t;
	chi_around.offload = offload;
	chi_around.server = server;
	chi_around.checks_walk = checks_walk;
}

void chi_inside_free(struct ch_test *t)
{
	while (t->checked) {
		struct chi_checked *v = t->checked;
		t->checked = v->next;
		free(v);
	}
	while (t->jobs) {
		struct chi_job *j = t->jobs;
		t->jobs = j->next;
		free(j);
	}
}
