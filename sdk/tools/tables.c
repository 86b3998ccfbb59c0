/* SPDX-License-Identifier: MIT */
/* tables.c - what the tables of a descriptor say, in sentences; by the core's own functions where it has one. In the child. */
#include "sdk/tools/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chimera/http.h>
#include <chimera/inference.h>
#include <chimera/kit/json.h>

#include "core/http/http.h"
#include "core/http/route.h"
#include "core/plugin/build.h"
#include "core/plugin/schedule.h"

#define ROWS_MAX 10000

/* ---- rows ---- */

bool is_snake(const char *s, size_t most)
{
	size_t n = s ? strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") : 0;

	return n && n <= most && !s[n] && *s >= 'a' && *s <= 'z';
}

bool check_rows(const char *what, const struct ch_table *t, size_t ours)
{
	find_stage("while its table of %s was read", what);
	if (!t->n && t->rows)
		find_wrong("its table of %s has no rows: CH_TABLE wants the array itself, not a pointer to it", what);
	if (!t->n)
		return false;
	if (!t->rows || !t->row_size) {
		find_wrong("its table of %s should have %zu rows and has %s: fill it by CH_TABLE(array)", what, t->n,
			t->rows ? "a row size of 0" : "no address");
		return false;
	}
	if (t->row_size != ours)
		find_wrong("its table of %s has rows of %zu bytes, and in plugin interface %d.%d they have %zu: build it with the headers of "
			   "this chimera", what, t->row_size, CH_ABI_MAJOR, CH_ABI_MINOR, ours);
	if (t->n > ROWS_MAX) {
		find_wrong("its table of %s has %zu rows: fill it by CH_TABLE(array)", what, t->n);
		return false;
	}
	return true;
}

void take_row(const struct ch_table *t, size_t i, void *row, size_t ours)
{
	memset(row, 0, ours);
	memcpy(row, (const char *)t->rows + i * t->row_size, t->row_size < ours ? t->row_size : ours);
}

/* For each row: struct TYPE row, and its number i. */
#define EACH_ROW(table, type, row) \
	for (size_t i = 0; i < (table)->n; i++) \
		for (struct type row, *once = (take_row(table, i, &row, sizeof(row)), &row); once; once = NULL)

/* Is `name`, in row i at `offset`, that of an earlier row too? Then it is told once. */
static void check_twice(const char *what, const struct ch_table *t, size_t i, size_t offset)
{
	char row[1024];
	const char *name, *other;

	take_row(t, i, row, sizeof(row));
	memcpy(&name, row + offset, sizeof(name));
	for (size_t k = 0; name && k < i; k++) {
		take_row(t, k, row, sizeof(row));
		memcpy(&other, row + offset, sizeof(other));
		if (other && !strcmp(name, other)) {
			find_wrong("two of its %s are called '%s': rows %zu and %zu", what, name, k, i);
			return;
		}
	}
}

static void check_budget(const char *what, size_t i, int64_t us)
{
	if (us < 0)
		find_wrong("%s %zu has a budget of %lld us: it is a time, or 0 for the server's own", what, i, (long long)us);
	else if (us > 1000000)
		find_unwise("%s %zu has a budget of %lld us: no callback should hold up its loop so long, see ch_offload", what, i, (long long)us);
}

/* ---- hooks and taps ---- */

/* Is `name` a member of the list by comma? */
static bool listed(const char *list, const char *name)
{
	for (size_t n = strlen(name), len; list && *list; list += len) {
		list += strspn(list, ", ");
		len = strcspn(list, ", ");
		if (len == n && !memcmp(list, name, n))
			return true;
	}
	return false;
}

static void check_names(const struct ch_plugin *p, size_t i, const char *key, const char *list, const char *other)
{
	char name[128];

	for (size_t len; list && *list; list += len) {
		list += strspn(list, ", ");
		len = strcspn(list, ", ");
		if (!len)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(len < 100 ? len : 100), list);
		if (!is_snake(name, 31))
			find_wrong("hook %zu is to run %s '%s', which can be no plugin's name: name plugins, by comma", i, key, name);
		else if (!strcmp(name, p->name))
			find_wrong("hook %zu is to run %s its own plugin: hooks of one plugin run in the order of the table", i, key);
		else if (listed(other, name) && !strcmp(key, "before"))
			find_wrong("hook %zu is to run both before and after '%s'", i, name);
	}
}

static void check_hooks(const struct ch_plugin *p)
{
	if (!check_rows("hooks", &p->hooks, sizeof(struct ch_hook)))
		return;
	EACH_ROW(&p->hooks, ch_hook, h) {
		if (h.phase < CH_P_HEADERS || h.phase > CH_P_CALL_END)
			find_wrong("hook %zu has the phase %d, which there is not: enum ch_phase goes from CH_P_HEADERS (%d) to CH_P_CALL_END (%d)",
				i, h.phase, CH_P_HEADERS, CH_P_CALL_END);
		if (h.band < CH_EARLY || h.band > CH_LATE)
			find_wrong("hook %zu has the band %d: allowed are CH_EARLY, CH_NORMAL and CH_LATE", i, h.band);
		if (!h.fn)
			find_wrong("hook %zu has no function", i);
		check_names(p, i, "after", h.after, h.before);
		check_names(p, i, "before", h.before, h.after);
		check_budget("hook", i, h.budget_us);
	}
}

static void check_taps(const struct ch_plugin *p)
{
	if (!check_rows("taps", &p->taps, sizeof(struct ch_tap)))
		return;
	EACH_ROW(&p->taps, ch_tap, t)
		if (!t.fn)
			find_wrong("tap %zu has no function", i);
}

/* ---- routes ---- */

static void check_schema(const char *route, const char *which, const char *schema)
{
	size_t pos, n = schema ? strlen(schema) : 0;
	const char *why;

	if (!schema)
		return;
	if (!ch_json_valid(schema, n, 0, 0, &pos, &why))
		find_wrong("route %s: its %s is no JSON, at byte %zu: %s", route, which, pos, why);
	else if (schema[strspn(schema, " \t\r\n")] != '{')
		find_wrong("route %s: its %s is no JSON Schema: an object", route, which);
}

/* The pattern that the host would take with the defaults. NULL: what is wrong was told, or there is nothing to say. */
static const char *pattern_of(const struct ch_plugin *p, size_t i, const struct ch_route *r)
{
	struct ch_option o;

	if (!r->pattern_option)
		return r->pattern;
	if (r->pattern)
		find_unwise("route %zu has a pattern and a pattern_option: the option holds", i);
	if (find_str_option(p, r->pattern_option, &o))
		return o.def;
	find_wrong("route %zu takes its pattern from the option '%s', which is no STR option of its table", i, r->pattern_option);
	return NULL;
}

static void check_route(const struct ch_route *r, const char *name)
{
	if (r->cls < CH_PUBLIC || r->cls > CH_OPEN)
		find_wrong("route %s has the class %d: allowed are CH_PUBLIC, CH_OPS, CH_ADMIN and CH_OPEN", name, r->cls);
	if (r->body != CH_BODY_NONE && r->body != CH_BODY_BUFFER)
		find_wrong("route %s has the body mode %d: allowed are CH_BODY_NONE and CH_BODY_BUFFER", name, r->body);
	if (r->body == CH_BODY_NONE && (r->max_body || r->request_schema))
		find_unwise("route %s says what its body may be, and drops it: set .body = CH_BODY_BUFFER", name);
	if (!r->summary || !*r->summary)
		find_unwise("route %s has no summary: /openapi.json shows one line about each route", name);
	if (r->response_type && !strchr(r->response_type, '/'))
		find_wrong("route %s has the response_type '%s', which is no media type such as text/plain", name, r->response_type);
	check_schema(name, "request_schema", r->request_schema);
	check_schema(name, "response_schema", r->response_schema);
}

static void check_routes(const struct ch_plugin *p)
{
	static struct chi_inst inst; /* whose routes they are: the core wants to know */
	struct chi_routes *all = chi_routes_new();
	struct ch_route *rows;

	if (!check_rows("routes", &p->routes, sizeof(*rows)))
		return;
	inst.self = (struct ch_self){ .size = sizeof(inst.self), .id = p->name, .plugin = p };
	rows = calloc(p->routes.n, sizeof(*rows));
	if (!all || !rows)
		exit(TOOL_OSERR);
	for (size_t i = 0; i < p->routes.n; i++) {
		char name[300], buf[512];
		const char *pattern, *why;

		take_row(&p->routes, i, &rows[i], sizeof(*rows));
		pattern = pattern_of(p, i, &rows[i]);
		snprintf(name, sizeof(name), "%zu (%s %s)", i, rows[i].method ? rows[i].method : "no method", pattern ? pattern : "no pattern");
		why = pattern || !rows[i].pattern_option ? chi_routes_add(all, &inst, &rows[i], pattern, buf, sizeof(buf)) : NULL;
		if (why)
			find_wrong("route %s is refused: %s", name, why);
		else if (pattern)
			find_route(rows[i].method, pattern, rows[i].summary);
		check_route(&rows[i], name);
		check_budget("route", i, rows[i].budget_us);
	}
}

/* ---- services ---- */

/* Interfaces that this chimera knows, all of whose members behind the size are functions that must be there. */
static const struct {
	const char *iface;
	size_t size;
} known[] = { { "inference/1", sizeof(struct ch_inference_v1) }, { "http/1", sizeof(struct ch_http_v1) } };

static bool is_iface(const char *s)
{
	const char *slash = s ? strchr(s, '/') : NULL;
	char name[64];

	if (!slash || slash - s > 31 || !slash[1] || slash[1] == '0' || strlen(slash + 1) > 4)
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)(slash - s), s);
	return is_snake(name, 31) && slash[1 + strspn(slash + 1, "0123456789")] == '\0';
}

static void check_vtable(const struct ch_provide *s)
{
	size_t size;

	memcpy(&size, s->vt, sizeof(size));
	if (size < sizeof(size) || size > 65536) {
		find_wrong("the vtable of %s says that it has %zu bytes: it begins with its size, .size = sizeof(…)", s->iface, size);
		return;
	}
	for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++) {
		if (strcmp(known[k].iface, s->iface))
			continue;
		if (size < known[k].size)
			find_wrong("the vtable of %s has %zu bytes, and its header says %zu: build it with the headers of this chimera", s->iface,
				size, known[k].size);
		for (size_t at = sizeof(size), n = 1; at + sizeof(void *) <= size && at < known[k].size; at += sizeof(void *), n++) {
			void *fn;

			memcpy(&fn, (const char *)s->vt + at, sizeof(fn));
			if (!fn)
				find_wrong("function %zu of the vtable of %s is missing: who uses the service calls all of them", n, s->iface);
		}
	}
}

static void check_provides(const struct ch_plugin *p)
{
	if (!check_rows("services", &p->provides, sizeof(struct ch_provide)))
		return;
	EACH_ROW(&p->provides, ch_provide, s) {
		if (!is_iface(s.iface))
			find_wrong("service %zu is called '%s': an interface is a name and a major version, such as inference/1", i,
				s.iface ? s.iface : "");
		check_twice("services", &p->provides, i, offsetof(struct ch_provide, iface));
		if (!s.vt)
			find_wrong("service %zu (%s) has no vtable", i, s.iface ? s.iface : "");
		else if (s.iface)
			check_vtable(&s);
	}
}

/* ---- checks, crons, commands, seams ---- */

static void check_named(const char *what, size_t i, const char *name, bool has_fn)
{
	if (!is_snake(name, 63))
		find_wrong("%s %zu is called '%s': a name is lower snake case", what, i, name ? name : "");
	if (!has_fn)
		find_wrong("%s %zu (%s) has no function", what, i, name ? name : "");
}

static void check_checks(const struct ch_plugin *p)
{
	if (!check_rows("checks", &p->checks, sizeof(struct ch_check)))
		return;
	EACH_ROW(&p->checks, ch_check, c) {
		check_named("check", i, c.name, c.fn);
		check_twice("checks", &p->checks, i, offsetof(struct ch_check, name));
		if (c.critical != 0 && c.critical != 1)
			find_wrong("check %zu (%s) has .critical = %d: 1 is critical, 0 is not", i, c.name ? c.name : "", c.critical);
		if (c.timeout_ms < 0)
			find_wrong("check %zu (%s) has a timeout of %d ms: it is a time, or 0 for the server's own", i, c.name ? c.name : "", c.timeout_ms);
	}
}

static void check_when(const struct ch_plugin *p, size_t i, const struct ch_cron *c)
{
	struct chi_schedule s;
	struct ch_option o = { .def = NULL };
	const char *when = c->when;
	char why[512];

	if (c->when_option) {
		if (when)
			find_unwise("cron %zu has a when and a when_option: the option holds", i);
		if (!find_str_option(p, c->when_option, &o)) {
			find_wrong("cron %zu takes its time from the option '%s', which is no STR option of its table", i, c->when_option);
			return;
		}
		when = o.def ? o.def : "";
	}
	if (!when)
		find_wrong("cron %zu says not when: set .when = \"5m\", or .when_option to an option that holds it", i);
	else if (!chi_schedule_parse(&s, when, why, sizeof(why)))
		find_wrong("cron %zu: its time '%s' %s", i, when, why);
	else if (!s.every_ms && *when && !chi_schedule_next(&s, 0))
		find_wrong("cron %zu: its time '%s' never comes", i, when);
}

static void check_crons(const struct ch_plugin *p)
{
	if (!check_rows("crons", &p->crons, sizeof(struct ch_cron)))
		return;
	EACH_ROW(&p->crons, ch_cron, c) {
		check_named("cron", i, c.name, c.fn);
		check_twice("crons", &p->crons, i, offsetof(struct ch_cron, name));
		check_when(p, i, &c);
		if (c.timeout_ms < 0)
			find_wrong("cron %zu has a timeout of %lld ms: it is a time, or 0 for none", i, (long long)c.timeout_ms);
	}
}

static void check_commands(const struct ch_plugin *p)
{
	if (!check_rows("commands", &p->commands, sizeof(struct ch_command)))
		return;
	EACH_ROW(&p->commands, ch_command, c) {
		check_named("command", i, c.name, c.fn);
		check_twice("commands", &p->commands, i, offsetof(struct ch_command, name));
		if (!(c.modes & (CH_LIVE | CH_OFFLINE)) || (c.modes & ~(CH_LIVE | CH_OFFLINE | CH_EACH)))
			find_wrong("command %zu has the modes %d: allowed are CH_LIVE, CH_OFFLINE, or both, and CH_EACH", i, c.modes);
		if (c.min_args > c.max_args)
			find_wrong("command %zu takes at least %zu arguments and at most %zu: nobody can call it", i, c.min_args, c.max_args);
		if (c.max_args && (!c.args || !*c.args))
			find_unwise("command %zu takes arguments and does not say which: .args = \"KEY [VALUE]\" is for the help", i);
		if (!c.summary || !*c.summary)
			find_unwise("command %zu has no summary: the help shows one line about each", i);
	}
}

static void check_seams(const struct ch_plugin *p)
{
	bool filled[CH_SEAMS] = { false };

	if (!check_rows("seams", &p->seams, sizeof(struct ch_seam)))
		return;
	EACH_ROW(&p->seams, ch_seam, s) {
		if (!s.fn)
			find_wrong("seam %zu has no function", i);
		if (s.seam < 0 || s.seam >= CH_SEAMS) {
			find_wrong("seam %zu is %d, which there is not: enum ch_seam_name goes from 0 to %d", i, s.seam, CH_SEAMS - 1);
			continue;
		}
		if (filled[s.seam])
			find_wrong("seam %d is filled twice", s.seam);
		filled[s.seam] = true;
	}
}

/* ---- the descriptor ---- */

static void check_descriptor(const struct ch_plugin *p)
{
	if (!is_snake(p->name, 31) || strlen(p->name) < 2)
		find_wrong("its name '%s' is no section of a config: 2 to 31 lower-case letters, digits and underscores, a letter first", p->name);
	if (p->size > sizeof(*p))
		find_unwise("its descriptor has %zu bytes, and in plugin interface %d.%d it has %zu: what is more is not looked at", p->size,
			CH_ABI_MAJOR, CH_ABI_MINOR, sizeof(*p));
	if (!p->version || !*p->version)
		find_unwise("it has no version: chimeractl plugins shows it");
	if (!p->summary || !*p->summary)
		find_unwise("it has no summary: one line that says what it gives");
	else if (strchr(p->summary, '\n'))
		find_wrong("its summary has more than one line");
	if (!p->hooks.n && !p->taps.n && !p->routes.n && !p->provides.n && !p->checks.n && !p->crons.n && !p->commands.n && !p->seams.n)
		find_unwise("it has neither hooks, taps, routes, services, checks, crons, commands nor seams: nothing will ever call it");
	if (p->state_size > 64u << 20)
		find_unwise("its state_size is %zu bytes, for each instance", p->state_size);
}

void check_tables(const struct ch_plugin *p)
{
	char why[256];

	chi_stats_init(why, sizeof(why)); /* the core's own metrics are there first */
	check_descriptor(p);
	check_options(p);
	check_metrics(p);
	check_hooks(p);
	check_taps(p);
	check_routes(p);
	check_provides(p);
	check_checks(p);
	check_crons(p);
	check_commands(p);
	check_seams(p);
}
