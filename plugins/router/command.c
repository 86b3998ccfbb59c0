/* SPDX-License-Identifier: Apache-2.0 */
/* command.c - the backends as an operator sees them, and what he may do to them while the server runs. On the house loop. */
#include <stdio.h>

#include <chimera/kit/near.h>

#include "command.h"
#include "table.h"

/* What it serves, as the config lists it. */
static void models(const struct router *r, const struct router_backend *b, char *out, size_t cap)
{
	const struct router_served *s = &r->table->served[b->index];
	size_t at = 0;

	*out = '\0';
	for (size_t i = 0; i < s->n && at < cap; i++)
		at += (size_t)snprintf(out + at, cap - at, "%s%s", i ? ", " : "", s->v[i].name.p);
	if (at >= cap)
		memcpy(out + cap - 4, "...", 4);
}

static const char *state(const struct router_backend *b)
{
	return atomic_load(&b->state->disabled) ? "disabled" : "enabled";
}

static void latency(const struct router_state *s, char *out, size_t cap)
{
	int64_t us = atomic_load(&s->latency);

	if (us)
		snprintf(out, cap, "%.1f ms", (double)us / 1000);
	else
		snprintf(out, cap, "-");
}

static void places(unsigned now, int64_t most, char *out, size_t cap)
{
	if (most)
		snprintf(out, cap, "%u/%lld", now, (long long)most);
	else
		snprintf(out, cap, "%u", now);
}

static int show(const struct router *r, struct ch_ctx *c)
{
	static const char form[] = "%-20s %-9s %-10s %12s %12s %12s %10s %10s  %-21s %7s  %s\n";

	ch_out(c, form, "BACKEND", "STATE", "CIRCUIT", "IN FLIGHT", "WAITING", "LATENCY", "CALLS", "FAILURES", "LAST ERROR",
		"WEIGHT", "MODELS");
	for (size_t i = 0; i < r->nbackends; i++) {
		const struct router_backend *b = &r->backends[i];
		const struct router_state *s = b->state;
		int last = atomic_load(&s->last_code);
		char in_flight[48], waiting[48], average[32], calls[24], failures[24], weight[24], names[120];

		places(atomic_load(&s->in_flight), b->conf->max_in_flight, in_flight, sizeof(in_flight));
		places(atomic_load(&s->waiting), b->conf->max_waiting, waiting, sizeof(waiting));
		latency(s, average, sizeof(average));
		snprintf(calls, sizeof(calls), "%llu", (unsigned long long)atomic_load(&s->calls));
		snprintf(failures, sizeof(failures), "%llu", (unsigned long long)atomic_load(&s->failures));
		snprintf(weight, sizeof(weight), "%lld", (long long)b->conf->weight);
		models(r, b, names, sizeof(names));
		if (ch_out(c, form, b->id, state(b), ch_breaker_state_name(atomic_load(&s->circuit)), in_flight, waiting, average, calls,
			    failures, last ? ch_code_info((enum ch_code)last)->name : "-", weight, names) == CH_DONE)
			break;
	}
	return CH_DONE;
}

static struct router_backend *named(const struct router *r, struct ch_ctx *c, const char *id)
{
	struct router_backend *b = router_backend_find(r, (struct ch_str){ id, strlen(id) });
	struct ch_near near;

	if (b)
		return b;
	ch_near_init(&near, id);
	for (size_t i = 0; i < r->nbackends; i++)
		ch_near_offer(&near, r->backends[i].id);
	if (*near.best)
		ch_refuse(c, CH_E_NOT_FOUND, 0, "There is no backend \"%s\"; did you mean \"%s\"?", id, near.best);
	else
		ch_refuse(c, CH_E_NOT_FOUND, 0, "There is no backend \"%s\"; `backends` alone shows those that there are.", id);
	return NULL;
}

/* id NULL: none was named. */
static int change(const struct router *r, struct ch_ctx *c, const char *verb, const char *id)
{
	bool disable = !strcmp(verb, "disable"), reset = !strcmp(verb, "reset");
	struct router_backend *b;

	if (!disable && !reset && strcmp(verb, "enable"))
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "\"%s\" is nothing that can be done to a backend: disable, enable and reset are.",
			verb);
	if (!id)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "Which backend? Write: backends %s BACKEND.", verb);
	b = named(r, c, id);
	if (!b)
		return CH_DONE;
	if (reset)
		router_backend_reset(b);
	else
		router_backend_disable(b, disable);
	ch_log(b->self, c, CH_INFO, "%s: %s by command", b->id, reset ? "circuit reset" : disable ? "disabled" : "enabled");
	if (reset)
		ch_out(c, "The circuit of %s is closed, and its failures are forgotten.\n", b->id);
	else if (disable)
		ch_out(c,
			"%s gets no more questions. What it is asked now goes on. This outlives a reload, but not a restart: for good, "
			"take it out of the config.\n",
			b->id);
	else
		ch_out(c, "%s gets questions again.\n", b->id);
	return CH_DONE;
}

int router_command(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	const struct router *r = self->state;

	return argc ? change(r, c, argv[0], argc > 1 ? argv[1] : NULL) : show(r, c);
}
