/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - see report.h. */
#include <string.h>
#include <strings.h>

#include "report.h"

static const char *const words[] = { "healthy", "degraded", "unhealthy" };
static const char *const draft_words[] = { "pass", "warn", "fail" };

int health_judge(const struct health_report *r)
{
	int worst = CH_HEALTHY;

	for (size_t i = 0; i < r->n; i++) {
		if (r->v[i].health == CH_UNHEALTHY && r->v[i].required)
			return CH_UNHEALTHY;
		if (r->v[i].health != CH_HEALTHY)
			worst = CH_DEGRADED;
	}
	return worst;
}

/* Is the check called "instance" or "instance.something"? */
static bool belongs(const char *check, const char *instance)
{
	size_t n = strlen(instance);

	return !strncmp(check, instance, n) && (!check[n] || check[n] == '.');
}

/* Is none of its checks unhealthy? -1: it has none. */
static int works(const struct health_report *r, const char *instance)
{
	int found = -1;

	for (size_t k = 0; k < r->n && found; k++)
		if (belongs(r->v[k].name, instance))
			found = r->v[k].health != CH_UNHEALTHY;
	return found;
}

int health_of_storage(const struct health_report *r)
{
	int found = -1;

	for (size_t i = 0; i < r->ninstances && found; i++) {
		int one = r->instances[i].storage ? works(r, r->instances[i].id) : -1;
		found = one < 0 ? found : one;
	}
	return found;
}

/* ---- forms ---- */

/* To the millisecond: more digits would say nothing. */
static void write_uptime(struct ch_jw *w, const struct health_report *r)
{
	ch_jw_key(w, "version");
	ch_jw_cstr(w, r->version);
	ch_jw_key(w, "uptime");
	ch_jw_double(w, (double)(int64_t)(r->uptime * 1000) / 1000);
}

void health_write(struct ch_jw *w, const struct health_report *r)
{
	ch_jw_object(w);
	ch_jw_key(w, "status");
	ch_jw_cstr(w, words[health_judge(r)]);
	write_uptime(w, r);
	ch_jw_key(w, "components");
	ch_jw_array(w);
	for (size_t i = 0; i < r->n; i++) {
		ch_jw_object(w);
		ch_jw_key(w, "name");
		ch_jw_cstr(w, r->v[i].name);
		ch_jw_key(w, "status");
		ch_jw_cstr(w, words[r->v[i].health]);
		ch_jw_key(w, "message");
		ch_jw_cstr(w, r->v[i].message);
		ch_jw_key(w, "check_duration_ms");
		ch_jw_double(w, r->v[i].duration_ms);
		ch_jw_object_end(w);
	}
	ch_jw_array_end(w);
	ch_jw_object_end(w);
}

static void write_gpus(struct ch_jw *w, const struct gpu_list *gpus)
{
	if (!gpus) {
		ch_jw_null(w);
		return;
	}
	ch_jw_array(w);
	for (unsigned i = 0; i < gpus->n; i++) {
		const struct gpu *g = &gpus->v[i];

		ch_jw_object(w);
		ch_jw_key(w, "name");
		ch_jw_cstr(w, g->name);
		ch_jw_key(w, "utilization");
		if (g->utilization < 0)
			ch_jw_null(w);
		else
			ch_jw_double(w, g->utilization / 100.0);
		ch_jw_key(w, "memory_used_bytes");
		ch_jw_uint(w, g->memory_used);
		ch_jw_key(w, "memory_total_bytes");
		ch_jw_uint(w, g->memory_total);
		ch_jw_object_end(w);
	}
	ch_jw_array_end(w);
}

/* One member an enabled instance: is none of its checks unhealthy? Then what they offer by names of their own. */
static void write_capabilities(struct ch_jw *w, const struct health_report *r)
{
	ch_jw_object(w);
	for (size_t i = 0; i < r->ninstances; i++) {
		ch_jw_key(w, r->instances[i].id);
		ch_jw_bool(w, works(r, r->instances[i].id) != 0);
	}
	for (size_t i = 0; i < r->ncapabilities; i++) {
		ch_jw_key(w, r->capabilities[i].name);
		ch_jw_bool(w, r->capabilities[i].there);
	}
	ch_jw_object_end(w);
}

void health_write_summary(struct ch_jw *w, const struct health_report *r, const struct gpu_list *gpus)
{
	int db = health_of_storage(r);

	ch_jw_object(w);
	ch_jw_key(w, "status");
	ch_jw_cstr(w, health_judge(r) == CH_HEALTHY ? "ok" : "degraded");
	write_uptime(w, r);
	ch_jw_key(w, "db_ok");
	if (db < 0)
		ch_jw_null(w);
	else
		ch_jw_bool(w, db);
	ch_jw_key(w, "gpu");
	write_gpus(w, gpus);
	ch_jw_key(w, "capabilities");
	write_capabilities(w, r);
	ch_jw_object_end(w);
}

/* A component's key is "name:measurement", as section 4 of the draft has it; ours is how long the check took. */
void health_write_draft(struct ch_jw *w, const struct health_report *r, bool never_fail)
{
	static const char measured[] = ":responseTime";
	int whole = health_judge(r);

	ch_jw_object(w);
	ch_jw_key(w, "status");
	ch_jw_cstr(w, draft_words[whole == CH_UNHEALTHY && never_fail ? CH_DEGRADED : whole]);
	ch_jw_key(w, "version");
	ch_jw_cstr(w, "1");
	ch_jw_key(w, "releaseId");
	ch_jw_cstr(w, r->version);
	ch_jw_key(w, "checks");
	ch_jw_object(w);
	for (size_t i = 0; i < r->n; i++) {
		char key[192];
		size_t n = strlen(r->v[i].name);

		if (n > sizeof(key) - sizeof(measured))
			n = sizeof(key) - sizeof(measured);
		memcpy(key, r->v[i].name, n);
		memcpy(key + n, measured, sizeof(measured));
		ch_jw_key(w, key);
		ch_jw_array(w);
		ch_jw_object(w);
		ch_jw_key(w, "status");
		ch_jw_cstr(w, draft_words[r->v[i].health]);
		ch_jw_key(w, "observedValue");
		ch_jw_double(w, r->v[i].duration_ms);
		ch_jw_key(w, "observedUnit");
		ch_jw_cstr(w, "ms");
		if (r->v[i].health != CH_HEALTHY) { /* the draft wants no output with "pass" */
			ch_jw_key(w, "output");
			ch_jw_cstr(w, r->v[i].message);
		}
		ch_jw_object_end(w);
		ch_jw_array_end(w);
	}
	ch_jw_object_end(w);
	ch_jw_object_end(w);
}

static void put(struct ch_jw *w, const char *text)
{
	ch_jw_raw(w, text, strlen(text));
}

/* A message on one line: what would break it becomes a blank. */
static void put_message(struct ch_jw *w, const char *text)
{
	for (; *text; text++)
		ch_jw_raw(w, (unsigned char)*text < ' ' || *text == 0x7f ? " " : text, 1);
}

void health_write_lines(struct ch_jw *w, const struct health_report *r, const char *probe)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct health_component *c = &r->v[i];

		put(w, c->health == CH_UNHEALTHY ? "[-]" : "[+]");
		put(w, c->name);
		if (c->health == CH_HEALTHY) {
			put(w, " ok\n");
			continue;
		}
		put(w, c->health == CH_DEGRADED ? " degraded: " : c->required ? " failed: " : " failed, not required: ");
		put_message(w, c->message);
		put(w, "\n");
	}
	put(w, probe);
	put(w, health_judge(r) == CH_UNHEALTHY ? " check failed\n" : " check passed\n");
}

/* ---- what the client asked for ---- */

/* Takes the next parameter off *query; false at the end. `value` has p NULL without '='. */
static bool next_parameter(struct ch_str *query, struct ch_str *name, struct ch_str *value)
{
	const char *amp, *equals;
	size_t n;

	if (!query->n)
		return false;
	amp = memchr(query->p, '&', query->n);
	n = amp ? (size_t)(amp - query->p) : query->n;
	equals = memchr(query->p, '=', n);
	*name = (struct ch_str){ query->p, equals ? (size_t)(equals - query->p) : n };
	*value = equals ? (struct ch_str){ equals + 1, (size_t)(query->p + n - equals) - 1 } : (struct ch_str){ NULL, 0 };
	query->p += n + (amp != NULL);
	query->n -= n + (amp != NULL);
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Is s, decoded, this text? */
static bool equal(struct ch_str s, const char *text)
{
	for (size_t i = 0; i < s.n; i++, text++) {
		int c = (unsigned char)s.p[i];

		if (c == '%' && s.n - i > 2 && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
			c = hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]);
			i += 2;
		}
		if (!*text || c != (unsigned char)*text)
			return false;
	}
	return !*text;
}

bool health_query_has(struct ch_str query, const char *wanted)
{
	struct ch_str name, value;

	while (next_parameter(&query, &name, &value))
		if (equal(name, wanted))
			return true;
	return false;
}

bool health_excluded(struct ch_str query, const char *component)
{
	struct ch_str name, value;

	while (next_parameter(&query, &name, &value))
		if (value.p && equal(name, "exclude") && equal(value, component))
			return true;
	return false;
}

bool health_wants_draft(struct ch_str accept)
{
	static const char type[] = "application/health+json";
	const size_t n = sizeof(type) - 1;
	size_t i = 0;

	while (i < accept.n) {
		const char *p = accept.p + i, *comma = memchr(p, ',', accept.n - i);
		size_t len = comma ? (size_t)(comma - p) : accept.n - i;

		i += len + 1;
		while (len && (*p == ' ' || *p == '\t')) {
			p++;
			len--;
		}
		if (len >= n && !strncasecmp(p, type, n) && (len == n || p[n] == ';' || p[n] == ' '))
			return true;
	}
	return false;
}

/* ---- thresholds ---- */

int health_if_low(double share, double warn, double critical)
{
	return share < critical ? CH_UNHEALTHY : share < warn ? CH_DEGRADED : CH_HEALTHY;
}

int health_if_high(double share, double warn, double critical)
{
	return share > critical ? CH_UNHEALTHY : share > warn ? CH_DEGRADED : CH_HEALTHY;
}
