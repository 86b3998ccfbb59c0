/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c - the leader works: what it answers is kept as it goes by, and at its end the key is settled.
 *
 * Kept are the status, the handler's fields and the body's bytes. The handler's are the fields that were not there before it began and that
 * nobody adds as the head leaves: this hook is the first of its phase. A few names are left out wherever they come from, because what
 * they say holds for one request alone.
 */
#include <strings.h>

#include "idempotency.h"

#define ROOM 1024 /* for the head of an answer, and a small body */

static struct idem_request *running(struct ch_self *self, struct ch_ctx *c)
{
	return *(struct idem_request **)ch_slot(self, c);
}

int idem_run(struct idem_request *k)
{
	struct ch_str name, value;

	for (size_t i = 0; i < IDEM_FIELDS_BEFORE && ch_answer_header_at(k->c, i, &name, &value); i++)
		k->before[k->nbefore++] = value.p;
	k->runs = true;
	*ch_slot(k->self, k->c) = k;
	ch_outlive(k->c, idem_wanted, k);
	ch_add(idem_state(k->self)->in_flight, 1);
	ch_add(idem_state(k->self)->first, 1);
	idem_wake(idem_table_run(k->w.table, k->w.entry));
	return CH_OK;
}

/* ---- what is worth keeping ---- */

bool idem_worth(int status, bool complete, const char *code, int upstream)
{
	static const short never[] = { 401, 402, 403, 408, 409, 425, 429 }; /* the next try may go better */

	if (!complete || status < 200 || status > 499)
		return false;
	if (status < 300)
		return !code;
	if (status < 400 || status != upstream)
		return false;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (status == never[i])
			return false;
	return true;
}

/* Does that field say something about this one request? */
static bool of_the_request(struct ch_str name)
{
	static const char *const names[] = { "X-Request-Id", "traceparent", "tracestate", "Server-Timing", "Retry-After", "retry-after-ms",
		"x-should-retry", "Idempotent-Replayed" };
	static const char *const beginnings[] = { "RateLimit", "X-RateLimit-" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (name.n == strlen(names[i]) && !strncasecmp(name.p, names[i], name.n))
			return true;
	for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
		if (name.n >= strlen(beginnings[i]) && !strncasecmp(name.p, beginnings[i], strlen(beginnings[i])))
			return true;
	return false;
}

static bool of_the_handler(const struct idem_request *k, struct ch_str name, struct ch_str value)
{
	for (size_t i = 0; i < k->nbefore; i++)
		if (k->before[i] == value.p)
			return false;
	return !of_the_request(name);
}

/* ---- capture ---- */

static void drop(struct idem_request *k)
{
	idem_answer_unref(k->answer);
	k->answer = NULL;
	k->full = true;
}

static void keep(struct idem_request *k, const void *p, size_t n)
{
	const struct idem_conf *conf = idem_conf(k->self);

	if (!k->answer)
		return;
	if (k->answer->n + n > CH_KV_VALUE_MAX)
		drop(k);
	else if (!(k->answer = idem_answer_add(k->answer, p, n, conf->max_held_bytes)))
		k->full = true;
}

static void keep_field(struct idem_request *k, struct ch_str name, struct ch_str value)
{
	unsigned char lengths[IDEM_FIELD_HEAD];

	idem_record_field(lengths, name.n, value.n);
	keep(k, lengths, sizeof(lengths));
	keep(k, name.p, name.n);
	keep(k, "", 1);
	keep(k, value.p, value.n);
	keep(k, "", 1);
}

static bool is(struct ch_str name, const char *what)
{
	return name.n == strlen(what) && !strncasecmp(name.p, what, name.n);
}

int idem_on_response(struct ch_self *self, struct ch_ctx *c)
{
	struct idem_request *k = running(self, c);
	unsigned char head[IDEM_ANSWER_HEAD] = { 0 };
	struct ch_str name, value;
	unsigned nfields = 0;
	bool stream = false;

	if (!k || !idem_worth(ch_status(c), true, ch_facts(c)->code, k->upstream))
		return CH_OK;
	k->answer = idem_answer_new(ROOM, idem_conf(self)->max_held_bytes);
	k->full = !k->answer;
	keep(k, head, sizeof(head));
	for (size_t i = 0; nfields < IDEM_FIELDS_MAX && ch_answer_header_at(c, i, &name, &value); i++) {
		if (!of_the_handler(k, name, value))
			continue;
		if (is(name, "Content-Type"))
			stream = value.n >= 17 && !strncasecmp(value.p, "text/event-stream", 17);
		keep_field(k, name, value);
		nfields++;
	}
	if (k->answer) {
		idem_record_answer((unsigned char *)k->answer->bytes, k->w.print, ch_status(c), stream, nfields);
		k->head = k->answer->n;
	}
	return CH_OK;
}

void idem_on_body(struct ch_self *self, struct ch_ctx *c, const void *p, size_t n, bool complete)
{
	struct idem_request *k = running(self, c);

	if (!k)
		return;
	if (!n)
		k->complete = complete;
	else if (k->answer && k->answer->n - k->head + n > (size_t)idem_conf(self)->max_response_bytes)
		drop(k);
	else
		keep(k, p, n);
}

int idem_on_call_end(struct ch_self *self, struct ch_ctx *c)
{
	struct idem_request *k = running(self, c);
	struct ch_inference_call *call = k ? ch_inference_call(c) : NULL;

	if (call)
		k->upstream = call->out->code ? call->out->status : 0;
	return CH_OK;
}

/* ---- the end ---- */

/* What was too much, or found no room: that there was an answer. */
static struct idem_answer *spent(struct idem_request *k)
{
	struct idem_answer *a = idem_answer_new(IDEM_SPENT_SIZE, INT64_MAX);

	if (a) {
		idem_record_spent((unsigned char *)a->bytes, k->w.print);
		a->n = IDEM_SPENT_SIZE;
	}
	return a;
}

static void settle(struct idem_request *k, struct idem_answer *a)
{
	struct idem_entry *e = k->w.entry;

	k->w.entry = NULL;
	idem_wake(idem_table_answer(k->w.table, e, a, true, ch_now() + idem_conf(k->self)->ttl * 1000));
	idem_answer_unref(a);
	idem_settle(k->self, ch_loop(k->c), e);
}

int idem_on_end(struct ch_self *self, struct ch_ctx *c)
{
	struct idem_request *k = running(self, c);
	const struct ch_facts *f = ch_facts(c);
	struct idem_answer *a;
	bool worth, full;

	if (!k)
		return CH_OK;
	*ch_slot(self, c) = NULL;
	k->runs = false;
	idem_alone_no_more(k);
	ch_add(idem_state(self)->in_flight, -1);
	worth = idem_worth(ch_status(c), k->complete, f->code, k->upstream);
	a = k->answer;
	k->answer = NULL;
	full = worth && !a;
	if (!worth) {
		idem_answer_unref(a);
		a = NULL;
	} else if (full) {
		a = spent(k);
	}
	ch_add(idem_state(self)->fates[full ? IDEM_NOT_KEPT : a ? IDEM_STORED : IDEM_RELEASED], 1);
	if (a)
		settle(k, a);
	else
		idem_abdicate(k); /* also without memory for those few bytes: the claim is released */
	return CH_OK;
}
