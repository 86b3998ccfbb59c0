/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http/http.h"

#include "core/log/log.h"
#include "core/metrics/metrics.h"
#include "core/plugin/gen.h"

#include <stdio.h>

static const double seconds[] = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10 };
static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "other", NULL };
static const char *const codes[] = { "bad_request", "request_timeout", "uri_too_long", "expectation_failed", "headers_too_large",
	"not_implemented", "http_version_not_supported", "overloaded", NULL };

static const struct ch_metric table[] = {
	{ .name = "http_requests_total",
		.kind = CH_COUNTER,
		.help = "Requests answered, by method, route pattern and status",
		.labels = { { "method", CH_L_FIXED, methods }, { "endpoint", CH_L_HOST, NULL }, { "status", CH_L_HOST, NULL } },
		.max_series = 5000 },
	{ .name = "http_request_duration_seconds",
		.kind = CH_HISTOGRAM,
		.help = "Time from a request's first byte to the end of its answer",
		.labels = { { "method", CH_L_FIXED, methods }, { "endpoint", CH_L_HOST, NULL } },
		.buckets = seconds,
		.nbuckets = 11 },
	{ .name = "http_requests_in_progress", .kind = CH_GAUGE, .help = "Requests that are not answered yet" },
	{ .name = "active_connections", .kind = CH_GAUGE, .help = "Open client connections" },
	{ .name = "chimera_http_rejected_total",
		.kind = CH_COUNTER,
		.help = "Connections and requests refused before a request began, by reason",
		.labels = { { "code", CH_L_FIXED, codes } } },
};
enum { REQUESTS, DURATION, IN_PROGRESS, CONNECTIONS, REJECTED, FAMILIES };

static const struct chi_family *families[FAMILIES];
static unsigned in_progress, connections;
static struct chi_route none[CHI_METHODS]; /* requests without a route, by method */

bool chi_stats_init(char *why, size_t cap)
{
	for (int i = 0; i < FAMILIES; i++)
		if (!(families[i] = chi_metrics_family(&table[i], why, cap)))
			return false;
	chi_metrics_host_value("endpoint", "none");
	in_progress = chi_metrics_series(families[IN_PROGRESS], NULL);
	connections = chi_metrics_series(families[CONNECTIONS], NULL);
	return true;
}

void chi_stats_route(struct chi_route *route)
{
	chi_metrics_host_value("endpoint", route->path->pattern);
}

void chi_stats_conn(int delta)
{
	chi_metrics_add(connections, delta);
}

void chi_stats_begin(void)
{
	chi_metrics_add(in_progress, 1);
}

static unsigned requests_series(struct chi_route *route, const char *method, const char *endpoint, int status)
{
	unsigned s = atomic_load_explicit(&route->requests[status], memory_order_relaxed);
	if (!s) {
		char text[12];
		snprintf(text, sizeof text, "%d", status);
		chi_metrics_host_value("status", text);
		s = chi_metrics_series(families[REQUESTS], (const char *const[]){ method, endpoint, text });
		atomic_store_explicit(&route->requests[status], s, memory_order_relaxed);
	}
	return s;
}

/* The families come after the first config's routes, so a series is made when it is first needed. */
static unsigned duration_series(struct chi_route *route, const char *method, const char *endpoint)
{
	unsigned s = atomic_load_explicit(&route->duration, memory_order_relaxed);
	if (!s) {
		s = chi_metrics_series(families[DURATION], (const char *const[]){ method, endpoint });
		atomic_store_explicit(&route->duration, s, memory_order_relaxed);
	}
	return s;
}

static void access_line(struct chi_req *r, int64_t took)
{
	const struct ch_facts *f = &r->ctx->facts;
	struct chi_line l;
	chi_line_begin(&l, CH_INFO, NULL, "request", 7);
	chi_line_str(&l, "req_id", f->req_id, f->req_id ? strlen(f->req_id) : 0);
	chi_line_str(&l, "trace_id", f->trace_id, strlen(f->trace_id));
	chi_line_str(&l, "client.address", f->client, f->client ? strlen(f->client) : 0);
	chi_line_str(&l, "http.request.method", f->method, strlen(f->method));
	chi_line_str(&l, "http.route", f->endpoint, strlen(f->endpoint));
	chi_line_str(&l, "url.path", r->path, r->path_len);
	chi_line_int(&l, "http.response.status_code", f->status);
	chi_line_micros(&l, "duration_s", took);
	chi_line_int(&l, "bytes_in", (int64_t)f->bytes_in);
	chi_line_int(&l, "bytes_out", (int64_t)f->bytes_out);
	if (f->owner)
		chi_line_str(&l, "owner", f->owner, strlen(f->owner));
	if (f->backend)
		chi_line_str(&l, "backend", f->backend, strlen(f->backend));
	const char *asked = f->asked ? f->asked : f->model;
	if (asked)
		chi_line_str(&l, "gen_ai.request.model", asked, strlen(asked));
	if (f->model && asked != f->model && strcmp(asked, f->model))
		chi_line_str(&l, "gen_ai.response.model", f->model, strlen(f->model));
	if (f->code)
		chi_line_str(&l, "error.type", f->code, strlen(f->code));
	if (f->aborted)
		chi_line_bool(&l, "aborted", true);
	chi_line_end(&l);
}

void chi_stats_end(struct chi_req *r)
{
	const struct ch_facts *f = &r->ctx->facts;
	int status = f->status >= 100 && f->status < 600 ? f->status : 500;
	int64_t took = chi_clock() - f->started;
	struct chi_route *route = r->route ? (struct chi_route *)r->route : &none[r->head.method];
	const char *endpoint = r->route ? r->match.path->pattern : "none";
	const char *method = r->route ? route->def->method : f->method;
	chi_metrics_add(requests_series(route, method, endpoint, status), 1);
	chi_metrics_observe(duration_series(route, method, endpoint), (double)took / 1e6);
	chi_metrics_add(in_progress, -1);
	atomic_fetch_add_explicit(&r->http->shared->requests, 1, memory_order_relaxed);
	int access = r->http->access;
	if (access == CHI_ACCESS_ALL || (access == CHI_ACCESS_ERRORS && (status >= 400 || f->aborted || f->code)))
		access_line(r, took);
}

void chi_stats_reject(struct chi_http *h, int code, const char *detail, const char *peer)
{
	chi_metrics_add(chi_metrics_series(families[REJECTED], (const char *const[]){ chi_problem_name(code) }), 1);
	int64_t second = h->loop->now / 1000000;
	if (h->garbage_logged == second)
		return; /* one line a second and loop: garbage must not flood the log */
	h->garbage_logged = second;
	struct chi_log_kv kv[] = { { .key = "client.address", .type = CHI_LOG_STR, .s = { peer, strlen(peer) } } };
	chi_log(CH_WARN, &(struct chi_log_fields){ .kv = kv, .nkv = 1 }, "refused: %s", detail);
}
