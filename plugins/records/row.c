/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row.c - END: what a request was and cost becomes a row of the ledger.
 *
 * Threads and ownership: on the request's loop. All is read from the facts and copied by the journal; nothing here prints, allocates or
 * asks the system.
 */
#include <math.h>

#include <chimera/kit/uuid.h>

#include "records.h"

#define TEXT_MAX 512 /* bytes of a name; one that a client made up may be as long as a body */

/* The order is a contract with migrations/.../0001_initial and with rows that lie in journals. */
enum {
	ROW_ID, TIME, REQ_ID, TRACE_ID, ENDPOINT, METHOD, BACKEND, MODEL, ASKED, OWNER, TIER, STATUS, ERROR_TYPE, TOKENS_IN, TOKENS_OUT, COST,
	LATENCY, FIRST_BYTE, BYTES_IN, BYTES_OUT, ABORTED, PROMPT, ANSWER, COLUMNS
};

static const struct ch_column columns[COLUMNS] = {
	[ROW_ID] = { "row_id", CH_V_UUID, 0 },
	[TIME] = { "time", CH_V_TIME, 0 },
	[REQ_ID] = { "req_id", CH_V_TEXT, 0 },
	[TRACE_ID] = { "trace_id", CH_V_TEXT, CH_COLUMN_NULL },
	[ENDPOINT] = { "endpoint", CH_V_TEXT, 0 },
	[METHOD] = { "method", CH_V_TEXT, 0 },
	[BACKEND] = { "backend", CH_V_TEXT, CH_COLUMN_NULL },
	[MODEL] = { "model", CH_V_TEXT, CH_COLUMN_NULL },
	[ASKED] = { "asked", CH_V_TEXT, CH_COLUMN_NULL },
	[OWNER] = { "owner", CH_V_TEXT, CH_COLUMN_NULL },
	[TIER] = { "tier", CH_V_TEXT, CH_COLUMN_NULL },
	[STATUS] = { "status", CH_V_INT, 0 },
	[ERROR_TYPE] = { "error_type", CH_V_TEXT, CH_COLUMN_NULL },
	[TOKENS_IN] = { "tokens_in", CH_V_INT, 0 },
	[TOKENS_OUT] = { "tokens_out", CH_V_INT, 0 },
	[COST] = { "cost", CH_V_REAL, CH_COLUMN_NULL },
	[LATENCY] = { "latency_ms", CH_V_REAL, 0 },
	[FIRST_BYTE] = { "first_byte_ms", CH_V_REAL, CH_COLUMN_NULL },
	[BYTES_IN] = { "bytes_in", CH_V_INT, 0 },
	[BYTES_OUT] = { "bytes_out", CH_V_INT, 0 },
	[ABORTED] = { "aborted", CH_V_BOOL, 0 },
	[PROMPT] = { "prompt", CH_V_TEXT, CH_COLUMN_NULL },
	[ANSWER] = { "answer", CH_V_TEXT, CH_COLUMN_NULL },
};

const struct ch_relation records_inference = { sizeof(records_inference), "inference_records", CH_TABLE(columns) };

/* At most TEXT_MAX bytes of whole characters; NULL: null. */
static struct ch_value text(const char *s)
{
	size_t n;

	if (!s)
		return ch_v_null(CH_V_TEXT);
	n = strnlen(s, TEXT_MAX + 1);
	if (n > TEXT_MAX)
		for (n = TEXT_MAX; n && ((unsigned char)s[n] & 0xC0) == 0x80; n--)
			;
	return ch_v_bytes(CH_V_TEXT, s, n);
}

/* The same; an empty text is no value. */
static struct ch_value known(const char *s)
{
	return text(s && *s ? s : NULL);
}

static struct ch_value some(const char *s)
{
	return text(s ? s : "");
}

static struct ch_value count(uint64_t n)
{
	return ch_v_int(n > INT64_MAX ? INT64_MAX : (int64_t)n);
}

static struct ch_value kept(struct ch_str s)
{
	return ch_v_bytes(CH_V_TEXT, s.p, s.n);
}

/*
 * With on_full = refuse_requests what room is left is for requests that were let in before. Refusals would fill it soon, at hundreds of
 * times their number a second.
 */
static bool has_room(const struct ch_self *self, const struct ch_facts *f)
{
	const struct records *state = self->state;

	if (f->backend || journal_takes(state->ledger->journal))
		return true;
	ch_add(state->left_out, 1);
	return false;
}

int records_on_end(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_facts *f = ch_facts(c);
	int64_t now = ch_now(), wall = ch_wall();
	struct ch_value row[COLUMNS];
	struct records_content content = { { NULL, 0 }, { NULL, 0 } };
	unsigned char id[16];
	char req_id[CH_UUID_TEXT];

	if (!f->ledger || strcmp(f->ledger, "inference") || !has_room(self, f))
		return CH_OK;
	ch_uuid7(id, wall, ch_random(), ch_random());
	row[ROW_ID] = ch_v_uuid(id);
	row[TIME] = ch_v_time(wall - (now - f->started));
	if (!f->req_id) /* without the plugin that names requests a row is still found by a name of its own */
		ch_uuid_text(id, req_id);
	row[REQ_ID] = text(f->req_id ? f->req_id : req_id);
	row[TRACE_ID] = known(f->trace_id);
	row[ENDPOINT] = some(f->endpoint);
	row[METHOD] = some(f->method);
	row[BACKEND] = known(f->backend);
	row[MODEL] = known(f->model);
	row[ASKED] = known(f->asked);
	row[OWNER] = known(f->owner);
	row[TIER] = known(f->tier);
	row[STATUS] = ch_v_int(f->status);
	row[ERROR_TYPE] = known(f->code);
	row[TOKENS_IN] = count(f->tokens_in);
	row[TOKENS_OUT] = count(f->tokens_out);
	row[COST] = isfinite(f->cost) ? ch_v_real(f->cost) : ch_v_null(CH_V_REAL);
	row[LATENCY] = ch_v_real((double)(now - f->started) / 1000);
	row[FIRST_BYTE] = f->first_byte ? ch_v_real((double)(f->first_byte - f->started) / 1000) : ch_v_null(CH_V_REAL);
	row[BYTES_IN] = count(f->bytes_in);
	row[BYTES_OUT] = count(f->bytes_out);
	row[ABORTED] = ch_v_bool(f->aborted);
	records_content(self, c, &content);
	row[PROMPT] = kept(content.prompt);
	row[ANSWER] = kept(content.answer);
	records_keep(self, c, row);
	return CH_OK;
}
