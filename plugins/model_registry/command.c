/* SPDX-License-Identifier: Apache-2.0 */
/* command.c - `chimeractl models`: arguments, and the list. */
#include <stdio.h>

#include <chimera/kit/near.h>

#include "model_registry.h"

enum { NAME, BACKEND, REVISION, CONTEXT, SIZE, STATE, COLUMNS };

struct job { /* in the command's arena */
	struct ch_self *self;
	struct registry_model **models;
	const char **why; /* for each: NULL if it is there */
	size_t n;
	bool verify;
};

/* ---- the list ---- */

static const char *size_of(struct ch_ctx *c, int64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double n = (double)bytes;
	size_t unit = 0;

	if (bytes < 0)
		return "-";
	while (n >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		n /= 1024;
		unit++;
	}
	return ch_print(c, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
}

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

static bool fill(struct ch_ctx *c, const struct registry_model *m, const char *why, const char **cells)
{
	cells[NAME] = m->name;
	cells[BACKEND] = or_dash(m->row->backend);
	cells[REVISION] = or_dash(m->row->revision);
	cells[CONTEXT] = m->row->context ? ch_print(c, "%lld", (long long)m->row->context) : "-";
	cells[SIZE] = size_of(c, atomic_load(&m->bytes));
	cells[STATE] = why ? ch_print(c, "missing: %s", why) : "there";
	return cells[CONTEXT] && cells[SIZE] && cells[STATE];
}

static int show(struct ch_ctx *c, const struct job *job)
{
	static const char *const heading[COLUMNS] = { "name", "backend", "revision", "context", "size", "state" };
	const char *(*rows)[COLUMNS] = ch_alloc(c, (job->n + 1) * sizeof(*rows));
	size_t widest[COLUMNS] = { 0 };

	if (!rows)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for the list");
	memcpy(rows[0], heading, sizeof(heading));
	for (size_t i = 0; i < job->n; i++)
		if (!fill(c, job->models[i], job->why[i], rows[i + 1]))
			return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for the list");
	for (size_t i = 0; i <= job->n; i++)
		for (size_t k = 0; k < COLUMNS; k++)
			if (strlen(rows[i][k]) > widest[k])
				widest[k] = strlen(rows[i][k]);
	for (size_t i = 0; i <= job->n; i++)
		ch_out(c, "%-*s  %-*s  %-*s  %*s  %*s  %s\n", (int)widest[NAME], rows[i][NAME], (int)widest[BACKEND], rows[i][BACKEND],
			(int)widest[REVISION], rows[i][REVISION], (int)widest[CONTEXT], rows[i][CONTEXT], (int)widest[SIZE], rows[i][SIZE],
			rows[i][STATE]);
	return CH_DONE;
}

/* ---- what is asked for ---- */

static void *look(void *data)
{
	struct job *job = data;

	for (size_t i = 0; i < job->n; i++)
		job->why[i] = registry_look(job->self, job->models[i]);
	return NULL;
}

static int looked(struct ch_ctx *c, void *data, int why, void *result)
{
	struct job *job = data;

	(void)result;
	if (why != CH_READY)
		return CH_DONE;
	return job->verify ? registry_verify(job->self, c, job->models, job->n) : show(c, job);
}

/* All models, or the one of that name. False: there is none, which was told. */
static bool choose(struct ch_self *self, struct ch_ctx *c, const char *name, struct job *job)
{
	const struct registry_state *state = self->state;
	struct ch_near near;

	if (name)
		ch_near_init(&near, name);
	for (size_t i = 0; i < state->n; i++) {
		if (!name || !strcmp(state->models[i].name, name))
			job->models[job->n++] = &state->models[i];
		if (name)
			ch_near_offer(&near, state->models[i].name);
	}
	if (job->n)
		return true;
	if (!name)
		ch_refuse(c, CH_E_NOT_FOUND, 0, "there are no models: give each a section [%s.NAME]", self->id);
	else
		ch_refuse(c, CH_E_NOT_FOUND, 0, "there is no model '%.128s'%s%s: `models list` names all", name,
			*near.best ? ": did you mean " : "", near.best);
	return false;
}

int registry_command(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	const struct registry_state *state = self->state;
	struct job *job = ch_alloc(c, sizeof(*job));
	bool verify = !strcmp(argv[0], "verify");

	if (!verify && strcmp(argv[0], "list"))
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "'%.80s' is neither list nor verify", argv[0]);
	if (job) {
		job->self = self;
		job->verify = verify;
		job->models = ch_alloc(c, (state->n + 1) * sizeof(*job->models));
		job->why = ch_alloc(c, (state->n + 1) * sizeof(*job->why));
	}
	if (!job || !job->models || !job->why)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for this command now");
	if (!choose(self, c, argc > 1 ? argv[1] : NULL, job))
		return CH_DONE;
	ch_ticket ticket = ch_suspend(c, 0, looked, job);
	if (ticket && ch_offload(self, look, job, ticket, NULL))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "the pool of threads takes no more work now: try again");
}
