/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/control.h"

#include "core/log/log.h"
#include "core/plugin/build.h"
#include "core/plugin/costs.h"
#include "core/plugin/host.h"
#include "core/plugin/openapi.h"

#include <chimera/inspect.h>
#include <chimera/json.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef CHIMERA_VERSION
#define CHIMERA_VERSION "0"
#endif

static const char *const levels[] = { "debug", "info", "warn", "error" };

static int answer(struct ch_ctx *c, const struct ch_jw *w)
{
	if (w->failed)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "the answer does not fit into the request's memory");
	return ch_respond(c, 200, "application/json", w->buf, w->len);
}

static int on_openapi(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return ch_respond(c, 200, "application/json", c->gen->openapi, c->gen->openapi_len);
}

static void loops(struct ch_jw *w)
{
	ch_jw_key(w, "loops");
	ch_jw_array(w);
	for (unsigned i = 0; i < chi_around.nloops; i++) {
		const struct ch_loop *l = chi_around.loops[i];
		ch_jw_object(w);
		ch_jw_key(w, "name");
		ch_jw_cstr(w, l->name);
		ch_jw_key(w, "lag_seconds");
		ch_jw_double(w, (double)atomic_load_explicit(&l->lag, memory_order_relaxed) / 1e6);
		ch_jw_object_end(w);
	}
	ch_jw_array_end(w);
}

static int on_status(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	struct ch_server s = { .size = sizeof s };
	struct ch_jw w;
	ch_server(&s);
	ch_jw_ctx(&w, c, 2048);
	ch_jw_object(&w);
	ch_jw_key(&w, "version");
	ch_jw_cstr(&w, s.version);
	ch_jw_key(&w, "profile");
	ch_jw_cstr(&w, s.profile);
	ch_jw_key(&w, "uptime_seconds");
	ch_jw_double(&w, s.uptime);
	ch_jw_key(&w, "state");
	ch_jw_cstr(&w, s.draining ? "draining" : s.ready ? "ready" : "starting");
	ch_jw_key(&w, "generation");
	ch_jw_uint(&w, s.generation);
	ch_jw_key(&w, "workers");
	ch_jw_uint(&w, s.workers);
	ch_jw_key(&w, "stalled");
	ch_jw_uint(&w, s.stalled);
	ch_jw_key(&w, "connections");
	ch_jw_uint(&w, s.connections);
	ch_jw_key(&w, "requests");
	ch_jw_uint(&w, s.requests);
	ch_jw_key(&w, "log_level");
	ch_jw_cstr(&w, levels[__atomic_load_n(&chi_log_least, __ATOMIC_RELAXED)]);
	loops(&w);
	ch_jw_object_end(&w);
	return answer(c, &w);
}

void chi_plugins_json(const struct chi_gen *g, const struct chi_costs *costs, struct ch_jw *w)
{
	ch_jw_object(w);
	ch_jw_key(w, "plugins");
	ch_jw_array(w);
	for (size_t k = 0; k < g->ninsts; k++) {
		const struct chi_inst *i = g->insts[k];
		const struct ch_plugin *p = i->self.plugin;
		if (i->conf == &chi_control_inst)
			continue;
		char abi[24];
		snprintf(abi, sizeof abi, "%u.%u", p->abi_major, p->abi_minor);
		ch_jw_object(w);
		ch_jw_key(w, "id");
		ch_jw_cstr(w, i->self.id);
		ch_jw_key(w, "plugin");
		ch_jw_cstr(w, p->name);
		ch_jw_key(w, "version");
		ch_jw_cstr(w, p->version);
		ch_jw_key(w, "abi");
		ch_jw_cstr(w, abi);
		ch_jw_key(w, "summary");
		ch_jw_cstr(w, p->summary);
		ch_jw_key(w, "provides");
		ch_jw_array(w);
		for (size_t n = 0; n < p->provides.n; n++)
			ch_jw_cstr(w, ((const struct ch_provide *)chi_row(&p->provides, n))->iface);
		ch_jw_array_end(w);
		ch_jw_object_end(w);
	}
	ch_jw_array_end(w);
	ch_jw_key(w, "chains");
	ch_jw_object(w);
	for (int phase = CH_P_HEADERS; phase <= CH_P_CALL_END; phase++) {
		ch_jw_key(w, chi_phase_name(phase));
		ch_jw_array(w);
		for (size_t n = 0; n < g->phases[phase].n; n++)
			ch_jw_cstr(w, g->phases[phase].hooks[n].inst->self.id);
		ch_jw_array_end(w);
	}
	ch_jw_object_end(w);
	ch_jw_key(w, "routes");
	ch_jw_array(w);
	for (size_t k = 0; k < chi_routes_count(g->routes); k++) {
		const struct chi_path *p = chi_routes_at(g->routes, k);
		for (int m = 0; m < CHI_METHODS; m++) {
			const struct chi_route *r = p->methods[m];
			if (!r || r->def->cls == CHI_ROUTE_CONTROL || chi_method_number(r->def->method) != m)
				continue;
			ch_jw_object(w);
			ch_jw_key(w, "method");
			ch_jw_cstr(w, r->def->method);
			ch_jw_key(w, "pattern");
			ch_jw_cstr(w, p->pattern);
			ch_jw_key(w, "id");
			ch_jw_cstr(w, r->handler.inst->self.id);
			ch_jw_object_end(w);
		}
	}
	ch_jw_array_end(w);
	if (costs) {
		ch_jw_key(w, "hooks");
		chi_costs_json(costs, g, w);
	}
	ch_jw_object_end(w);
}

static int say_plugins(struct ch_ctx *c, const struct chi_costs *costs)
{
	struct ch_jw w;
	ch_jw_ctx(&w, c, 2048);
	chi_plugins_json(c->gen, costs, &w);
	return answer(c, &w);
}

static void *take_costs(void *data)
{
	(void)data;
	return chi_costs_take();
}

static int on_costs(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	if (why != CH_READY)
		return CH_DONE;
	int rc = say_plugins(c, result);
	chi_costs_free(result);
	return rc;
}

static int on_plugins(struct ch_self *self, struct ch_ctx *c)
{
	ch_ticket t = chi_ticket_timeless(c, on_costs, NULL);
	if (t && ch_offload(self, take_costs, NULL, t, chi_costs_free))
		return CH_AGAIN;
	ch_unsuspend(t);
	return say_plugins(c, NULL); /* the pool is full: what there is can be said all the same */
}

static int say_level(struct ch_ctx *c)
{
	char body[48];
	int n = snprintf(body, sizeof body, "{\"level\":\"%s\"}", levels[__atomic_load_n(&chi_log_least, __ATOMIC_RELAXED)]);
	return ch_respond(c, 200, "application/json", body, (size_t)n);
}

static int on_level(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return say_level(c);
}

static int on_level_set(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	struct ch_str b = ch_body(c);
	for (int i = CH_DEBUG; i <= CH_ERR; i++)
		if (b.n == strlen(levels[i]) && !memcmp(b.p, levels[i], b.n)) {
			chi_log_level_set(i);
			return say_level(c);
		}
	return ch_refuse_param(c, CH_E_BAD_REQUEST, "level", "the body must be one of debug, info, warn, error");
}

static int on_reloaded(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	if (why != CH_READY)
		return CH_DONE; /* nobody reads the report any more */
	if (!result)
		return ch_refuse(c, CH_E_DRAINING, 0, "the server is stopping: it takes no config any more");
	int rc = ch_respond(c, 200, "application/json", result, strlen(result));
	free(result);
	return rc;
}

static int on_reload(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	ch_ticket t = chi_around.reload ? chi_ticket_timeless(c, on_reloaded, NULL) : 0;
	if (t && chi_around.reload(t))
		return CH_AGAIN;
	ch_unsuspend(t);
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for a reload now");
}

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/openapi.json", .cls = CH_OPEN, .fn = on_openapi, .summary = "This document: the routes of this server" },
	{ .method = "GET", .pattern = "/control/status", .cls = CHI_ROUTE_CONTROL, .fn = on_status },
	{ .method = "GET", .pattern = "/control/plugins", .cls = CHI_ROUTE_CONTROL, .fn = on_plugins },
	{ .method = "POST", .pattern = "/control/reload", .cls = CHI_ROUTE_CONTROL, .fn = on_reload },
	{ .method = "GET", .pattern = "/control/commands", .cls = CHI_ROUTE_CONTROL, .fn = chi_control_commands },
	{ .method = "POST",
		.pattern = "/control/run/{instance}/{command}",
		.cls = CHI_ROUTE_CONTROL,
		.body = CH_BODY_BUFFER,
		.max_body = 256 << 10,
		.fn = chi_control_run },
	{ .method = "GET", .pattern = "/control/log-level", .cls = CHI_ROUTE_CONTROL, .fn = on_level },
	{ .method = "POST",
		.pattern = "/control/log-level",
		.cls = CHI_ROUTE_CONTROL,
		.body = CH_BODY_BUFFER,
		.max_body = 64,
		.fn = on_level_set },
};

static const struct ch_plugin plugin = {
	.size = sizeof plugin, .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR,
	.name = "core", .version = CHIMERA_VERSION, .summary = "The server's own routes", .routes = CH_TABLE(routes),
};

struct chi_conf_inst chi_control_inst = { .id = "core", .plugin = &plugin };

/* The core's own use of the SDK's wrappers. */
const struct ch_host *ch_host_ = &chi_host;
