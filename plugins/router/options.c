/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - what [router] and [router.MODEL] may say. Names and what they point to are table.c's to judge. */
#include <chimera/inspect.h>

#include "options.h"
#include "table.h"

static const char *const balances[] = { "weighted", "least_in_flight", "ewma", "in_order", NULL };
static const char *const row_balances[] = { "router", "weighted", "least_in_flight", "ewma", "in_order", NULL };

#define OPT(name, T, ...) CH_OPT(struct router_conf, name, T, __VA_ARGS__)
#define ROW(name, T, ...) CH_OPT(struct router_row, name, T, __VA_ARGS__)
#define TIME .min = "1ms", .max = "1d"

const struct ch_option router_options[ROUTER_OPTIONS] = {
	OPT(backends, SERVICES, .flags = CH_O_REQUIRED, .def = "*", .iface = "inference/1",
		.help = "The backends it chooses among; * is all"),
	OPT(registry, SERVICE, .def = "auto", .iface = "models/1",
		.help = "Whose manifests are models, too; auto: the one that there is, if any"),
	CH_OPT_AS(struct router_conf, def, "default", STR, .env = "PROMPT_BACKEND",
		.help = "Where a request goes that names no model: BACKEND or BACKEND/MODEL; empty: the backend, if there is one alone"),
	OPT(fallback, LIST, .help = "Where a question goes when those that serve its model fail: BACKEND or BACKEND/MODEL, in this order"),
	OPT(connect_timeout, DURATION, TIME, .def = "5s", .help = "Name, connection and TLS together, where a backend says nothing"),
	OPT(timeout, DURATION, TIME, .def = "10m", .env = "LLM_TIMEOUT_MS:ms",
		.help = "One attempt on one backend, where that says nothing"),
	OPT(budget, DURATION, .def = "20m", .min = "0s", .max = "1d",
		.help = "A whole question: attempts, retries and waiting; 0s: no limit"),
	OPT(first_token_timeout, DURATION, TIME, .def = "60s",
		.help = "Streams: until the first piece of an answer, where a backend says nothing"),
	OPT(idle_timeout, DURATION, TIME, .def = "60s", .help = "Streams: between two pieces of an answer, where a backend says nothing"),
	OPT(retries, INT, .def = "2", .min = "0", .max = "10",
		.help = "Most retries of a question among the backends that serve its model"),
	OPT(retry_on, LIST, .def = "connect, 429, 5xx",
		.help = "What is retried: connect, 429, 5xx, by comma; \"none\": nothing. Never a timeout: it was billed"),
	OPT(retry_budget, SHARE, .def = "10%", .help = "Most retries, as a share of all questions of the process"),
	OPT(balance, ENUM, .def = "weighted", .values = balances, .help = "Which of the backends that serve a model alike is asked"),
	OPT(breaker_failures, INT, .def = "5", .min = "0", .max = "1000000",
		.help = "So many failures in a row open a backend's circuit; 0: never for that"),
	OPT(breaker_error_rate, SHARE, .def = "50%", .help = "Such a share of failures within 10 s opens it; 0%: never for that"),
	OPT(breaker_min_requests, INT, .def = "20", .min = "1", .max = "1000000",
		.help = "Fewer requests than these within 10 s have no share"),
	OPT(breaker_slow, DURATION, .def = "0s", .min = "0s", .max = "1d",
		.help = "An answer, of a stream its first piece, that takes longer counts as a failure; 0s: none does"),
	OPT(breaker_cooldown, DURATION, .def = "10s", .min = "1ms", .max = "1d",
		.help = "How long an open circuit waits until it tries one request"),
	OPT(allow_backend_header, BOOL, .def = "no", .help = "Whether a request may choose a backend by the header X-Chimera-Backend"),
	OPT(allow_backend_member, BOOL, .def = "yes",
		.help = "Whether a request may choose a backend by the member \"backend\" of its body"),
	OPT(models_ttl, DURATION, .def = "60s", .min = "0s", .max = "1d", .help = "How long a backend's own list of models is believed"),
	OPT(models_timeout, DURATION, TIME, .def = "2s",
		.help = "How long a backend may take to list its models; after it its configured names count"),
};

const struct ch_option router_row_options[ROUTER_ROW_OPTIONS] = {
	ROW(backends, LIST, .help = "Who serves this model: BACKEND or BACKEND/MODEL, by comma; empty: who lists it"),
	ROW(fallback, LIST, .help = "In place of [router] fallback for this model; \"none\": nowhere"),
	ROW(timeout, DURATION, .def = "0s", .min = "0s", .max = "1d", .help = "One attempt; 0s: the backend's own, else the router's"),
	ROW(budget, DURATION, .def = "0s", .min = "0s", .max = "1d", .help = "A whole question; 0s: the router's"),
	ROW(balance, ENUM, .def = "router", .values = row_balances, .help = "Which of its backends is asked; router: as [router] says"),
	ROW(price_in, DOUBLE, .def = "0", .min = "0", .help = "Price of a million tokens of prompt, in any currency"),
	ROW(price_out, DOUBLE, .def = "0", .min = "0", .help = "Price of a million tokens of answer, in the same"),
};

static int reason_of(const char *word)
{
	for (int i = ROUTER_CONNECT; i <= ROUTER_5XX; i++)
		if (!strcmp(word, router_reason_names[i]))
			return i;
	return -1;
}

unsigned router_retry_bits(const struct ch_list *retry_on)
{
	unsigned bits = 0;

	for (size_t i = 0; i < retry_on->n; i++) {
		int reason = reason_of(retry_on->v[i].p);

		bits |= reason < 0 ? 0 : 1u << reason;
	}
	return bits;
}

static bool check_retry_on(struct ch_self *self, const struct ch_list *retry_on)
{
	bool ok = true;

	if (retry_on->n == 1 && !strcmp(retry_on->v[0].p, "none"))
		return true;
	for (size_t i = 0; i < retry_on->n; i++) {
		if (reason_of(retry_on->v[i].p) >= 0)
			continue;
		ch_config_error(self, NULL, "retry_on", "\"%s\" is nothing to retry: connect, 429 and 5xx are, by comma, or none alone%s",
			retry_on->v[i].p, strcmp(retry_on->v[i].p, "timeout") ? "" : "; an attempt that timed out was billed");
		ok = false;
	}
	return ok;
}

int router_check(struct ch_self *self)
{
	const struct router_conf *conf = self->conf;
	struct router r = { .self = self, .conf = conf };
	bool ok = check_retry_on(self, &conf->retry_on);

	ok &= router_table_make(&r, false);
	router_table_free(&r);
	return ok ? CH_OK : CH_ERROR;
}
