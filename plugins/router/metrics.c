/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c - what the router counts. Label values come from the config alone: ids of backends, and the config's names for models
 * ("gpt-*"), so that a client cannot make series.
 */
#include <stdlib.h>

#include "metrics.h"
#include "table.h"

static const double seconds[] = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600 };
static const double first_seconds[] = { .001, .005, .01, .025, .05, .1, .25, .5, .75, 1, 2.5, 5, 10, 30, 60 };
static const double between_seconds[] = { .001, .0025, .005, .01, .015, .02, .03, .05, .075, .1, .15, .2, .3, .5, 1, 2.5, 10 };
static const double overhead_seconds[] = { .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30 };
#define BUCKETS(array) .kind = CH_HISTOGRAM, .buckets = array, .nbuckets = sizeof(array) / sizeof((array)[0])

static const char *const kinds[] = { "prompt", "completion", NULL };

#define BACKEND { "backend", CH_L_CONFIG, NULL }
#define MODEL { "model", CH_L_CONFIG, NULL }
#define PROVIDER { "provider", CH_L_CONFIG, NULL }
#define STATUS { "status", CH_L_FIXED, router_status_names }

const struct ch_metric router_metrics[ROUTER_METRICS] = {
	[M_REQUESTS] = { "inference_requests_total", CH_COUNTER, .labels = { BACKEND, MODEL, STATUS },
		.help = "Questions that ended, by the backend that answered or was asked last, and by the config's name for the model" },
	[M_ERRORS] = { "inference_errors_total", CH_COUNTER, .labels = { BACKEND, { "error_type", CH_L_CONFIG, NULL } },
		.help = "Attempts that failed, and questions for which nobody could be asked, by the code of the error" },
	[M_LATENCY] = { "inference_latency_seconds", BUCKETS(seconds), .labels = { BACKEND, MODEL },
		.help = "Time of a question that some backend was asked, waiting, retries and fallbacks included" },
	[M_LLM_REQUESTS] = { "llm_requests_total", CH_COUNTER, .labels = { PROVIDER, MODEL, STATUS },
		.help = "Attempts, by the provider's protocol" },
	[M_LLM_DURATION] = { "llm_request_duration_seconds", BUCKETS(seconds), .labels = { PROVIDER, MODEL },
		.help = "Time of an attempt that was answered" },
	[M_LLM_TOKENS] = { "llm_tokens_used_total", CH_COUNTER, .labels = { PROVIDER, MODEL, { "kind", CH_L_FIXED, kinds } },
		.help = "Tokens, as the provider counted them" },
	[M_FIRST_TOKEN] = { "chimera_time_to_first_token_seconds", BUCKETS(first_seconds), .labels = { BACKEND, MODEL },
		.help = "Streams: from the question to the first piece of its answer" },
	[M_BETWEEN] = { "chimera_time_between_tokens_seconds", BUCKETS(between_seconds), .labels = { BACKEND, MODEL },
		.help = "Streams: the mean time between two pieces of an answer" },
	[M_COST] = { "chimera_cost_total", CH_COUNTER, .labels = { BACKEND, MODEL },
		.help = "What the tokens cost by price_in and price_out, in their currency" },
	[M_RETRIES] = { "chimera_retries_total", CH_COUNTER, .labels = { BACKEND, { "reason", CH_L_FIXED, router_reason_names } },
		.help = "Attempts that were followed by another one, on the same backend or the next, by what they failed with" },
	[M_FALLBACKS] = { "chimera_fallbacks_total", CH_COUNTER, .labels = { { "from", CH_L_CONFIG, NULL }, { "to", CH_L_CONFIG, NULL } },
		.max_series = 2500, .help = "Questions that went on to a fallback" },
	[M_OVERHEAD] = { "chimera_gateway_overhead_seconds", BUCKETS(overhead_seconds),
		.help = "What the gateway itself took of a request's time: all of it less the time in which a backend was asked" },
	[M_BREAKER] = { "chimera_breaker_state", CH_GAUGE, .labels = { BACKEND },
		.help = "The backend's circuit: 0 closed, 1 open, 2 half open" },
	[M_IN_FLIGHT] = { "chimera_backend_in_flight", CH_GAUGE, .labels = { BACKEND },
		.help = "Questions that the backend is asked now" },
	[M_WAITING] = { "chimera_backend_waiting", CH_GAUGE, .labels = { BACKEND },
		.help = "Questions that wait for a place at the backend" },
};

static void rule_series(struct ch_self *self, const struct router_backend *b, struct router_rule *rule)
{
	struct router_rule_series *s = &rule->series;
	const char *of[] = { b->id, rule->name, NULL }, *by[] = { b->about->provider ? b->about->provider : b->id, rule->name, NULL };

	for (int i = 0; i < ROUTER_STATUSES; i++) {
		of[2] = by[2] = router_status_names[i];
		s->requests[i] = ch_series(self, M_REQUESTS, of);
		s->llm_requests[i] = ch_series(self, M_LLM_REQUESTS, by);
	}
	s->latency = ch_series(self, M_LATENCY, of);
	s->llm_duration = ch_series(self, M_LLM_DURATION, by);
	by[2] = kinds[0];
	s->tokens_in = ch_series(self, M_LLM_TOKENS, by);
	by[2] = kinds[1];
	s->tokens_out = ch_series(self, M_LLM_TOKENS, by);
	s->first_token = ch_series(self, M_FIRST_TOKEN, of);
	s->between = ch_series(self, M_BETWEEN, of);
	s->cost = ch_series(self, M_COST, of);
}

/* Codes that a backend gives; another one would be a mistake of its plugin, and counts as such. */
static bool is_backends(int code)
{
	switch (code) {
	case CH_E_BAD_REQUEST:
	case CH_E_NOT_FOUND:
	case CH_E_TOO_LARGE:
	case CH_E_UNSUPPORTED_MEDIA:
	case CH_E_UNPROCESSABLE:
	case CH_E_NOT_IMPLEMENTED:
	case CH_E_OVERLOADED:
		return true;
	default:
		return code >= CH_E_UPSTREAM_AUTH && code < ROUTER_CODES;
	}
}

static void backend_series(struct ch_self *self, struct router_backend *b)
{
	struct router_backend_series *s = &b->series;
	const char *of[] = { b->id, NULL };

	for (int i = 0; i < ROUTER_CODES; i++) {
		of[1] = ch_code_info(is_backends(i) ? (enum ch_code)i : CH_E_INTERNAL)->name;
		s->errors[i] = ch_series(self, M_ERRORS, of);
	}
	for (int i = 0; i < ROUTER_REASONS; i++) {
		of[1] = router_reason_names[i];
		s->retries[i] = ch_series(self, M_RETRIES, of);
	}
	s->breaker = ch_series(self, M_BREAKER, of);
	s->in_flight = ch_series(self, M_IN_FLIGHT, of);
	s->waiting = ch_series(self, M_WAITING, of);
	for (size_t i = 0; i < b->nrules; i++)
		rule_series(self, b, &b->rules[i]);
}

static bool among(const struct router_table *t, const struct router_refs *refs, const struct router_backend *from,
	const struct router_backend *to)
{
	for (size_t i = 0; i < refs->n; i++) /* to itself only for another model, which this reference names, or a row's */
		if (refs->v[i].backend == to && (from != to || refs->v[i].model || t->nrows))
			return true;
	return false;
}

/* Does any fallback of the config lead that way? Other ways need no series. */
static bool leads(const struct router_table *t, const struct router_backend *from, const struct router_backend *to)
{
	for (size_t i = 0; i < t->nrows; i++)
		if (among(t, &t->rows[i].fallback, from, to))
			return true;
	return among(t, &t->fallback, from, to);
}

bool router_metrics_start(struct router *r)
{
	r->fallbacks = calloc(r->nbackends * r->nbackends + 1, sizeof(*r->fallbacks));
	if (!r->fallbacks)
		return false;
	for (size_t i = 0; i < r->nbackends; i++) {
		backend_series(r->self, &r->backends[i]);
		for (size_t k = 0; k < r->nbackends; k++) {
			const char *way[] = { r->backends[i].id, r->backends[k].id };

			if (leads(r->table, &r->backends[i], &r->backends[k]))
				r->fallbacks[i * r->nbackends + k] = ch_series(r->self, M_FALLBACKS, way);
		}
	}
	r->overhead = ch_series(r->self, M_OVERHEAD, NULL);
	return true;
}
