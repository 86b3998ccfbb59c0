/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - what is answered in place of the work: the answer that there is, or why there is none. */
#include <strings.h>

#include "idempotency.h"

#define IN_ONE_PIECE ((size_t)32 << 10) /* up to here a body is copied and leaves with its head */

static const struct refusal {
	int code;
	int64_t retry_after_ms;
	const char *detail;
} refusals[IDEM_CONFLICTS] = {
	[IDEM_C_REUSED] = { CH_E_IDEMPOTENCY_REUSED, 0,
		"This Idempotency-Key came before with another body, query or Content-Type; take a new key for a new request." },
	[IDEM_C_IN_PROGRESS] = { CH_E_IDEMPOTENCY_IN_PROGRESS, IDEM_RETRY_MS,
		"The first request with this Idempotency-Key is still being worked on; send the same request again to get its answer." },
	[IDEM_C_NOT_REPLAYABLE] = { CH_E_IDEMPOTENCY_NOT_REPLAYABLE, 0,
		"The request with this Idempotency-Key was answered, and its answer was not kept; take a new key to have it done again." },
	[IDEM_C_INDETERMINATE] = { CH_E_IDEMPOTENCY_INDETERMINATE, 0,
		"The server that worked on the request with this Idempotency-Key is gone, and nobody knows how far it came; "
		"take a new key to have it done again." },
	[IDEM_C_STORE_DOWN] = { CH_E_UNAVAILABLE, IDEM_RETRY_MS,
		"The store that knows what became of this Idempotency-Key cannot be asked now; send the same request again." },
	[IDEM_C_OVERLOADED] = { CH_E_OVERLOADED, IDEM_RETRY_MS, "No memory is left for this request; send it again." },
};

int idem_refuse_in(struct ch_self *self, struct ch_ctx *c, int conflict)
{
	const struct refusal *r = &refusals[conflict];

	ch_add(idem_state(self)->conflicts[conflict], 1);
	return ch_refuse(c, r->code, r->retry_after_ms, "%s", r->detail);
}

int idem_refuse(struct idem_request *k, int conflict)
{
	return idem_refuse_in(k->self, k->c, conflict);
}

int idem_refuse_key(struct ch_self *self, struct ch_ctx *c, const char *what)
{
	ch_add(idem_state(self)->conflicts[IDEM_C_MALFORMED], 1);
	return ch_refuse_param(c, CH_E_BAD_REQUEST, "Idempotency-Key",
		"The Idempotency-Key %s; send one of 1 to 255 visible ASCII characters, bare or in double quotes.", what);
}

/* Sets the fields; gives the Content-Type, which ch_respond wants by itself. */
static const char *set_fields(struct ch_ctx *c, const struct idem_record *r)
{
	const char *name, *value, *type = NULL;
	size_t at = 0;

	while (idem_record_next(r, &at, &name, &value)) {
		if (!strcasecmp(name, "Content-Type"))
			type = value;
		else
			ch_header_set(c, name, value);
	}
	ch_header_set(c, "Idempotent-Replayed", "true");
	return type;
}

/* Sent from where it lies. A body of known length has it said; a stream of events stays one. */
static int stream(struct ch_ctx *c, const struct idem_record *r, const char *type, struct idem_answer *owned)
{
	if (type)
		ch_header_set(c, "Content-Type", type);
	if (!r->stream)
		ch_length(c, r->body.n);
	if (ch_begin(c, r->status) == CH_OK && r->body.n)
		ch_write(c, r->body.p, r->body.n, owned ? idem_answer_unref : NULL, owned);
	else
		idem_answer_unref(owned);
	ch_end(c);
	return CH_DONE;
}

int idem_serve(struct idem_request *k, struct ch_str bytes, struct idem_answer *owned)
{
	struct idem_record r;
	const char *type;
	int rc;

	if (!idem_record_read(bytes, &r) || r.kind == IDEM_CLAIM || memcmp(r.print, k->w.print, CH_SHA256) != 0)
		rc = idem_refuse(k, IDEM_C_REUSED);
	else if (r.kind == IDEM_SPENT)
		rc = idem_refuse(k, IDEM_C_NOT_REPLAYABLE);
	else {
		ch_add(idem_state(k->self)->hits, 1);
		type = set_fields(k->c, &r);
		if (r.stream || r.body.n > IN_ONE_PIECE)
			return stream(k->c, &r, type, owned);
		rc = ch_respond(k->c, r.status, type, r.body.p, r.body.n);
	}
	idem_answer_unref(owned);
	return rc;
}
