/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write.c - what goes to the store behind a client's back.
 *
 * A write replaces what is ours: our claim, known by the process and the claim's nonce, whatever version it has by now; or nothing. What
 * somebody else has put there stays.
 */
#include "idempotency.h"

#define TRIES_MAX 6

/* ---- kv/1 ---- */

static const struct ch_kv_v1 *kv(const struct ch_self *self)
{
	return idem_conf(self)->store->vt;
}

int idem_ask(
	struct ch_self *self, struct ch_ctx *c, int what, const struct ch_kv_args *a, struct ch_kv_result *out, ch_resumed fn, void *data)
{
	const struct ch_svc *store = idem_conf(self)->store;
	ch_ticket t = ch_suspend(c, 0, fn, data);
	int rc;

	*out = (struct ch_kv_result){ .size = sizeof(*out) };
	if (!t) {
		out->error = CH_KV_NO_MEMORY;
		return CH_OK;
	}
	rc = (what == IDEM_GET ? kv(self)->get : what == IDEM_SET ? kv(self)->set : kv(self)->del)(store, c, a, out, t);
	if (rc == CH_AGAIN)
		return rc;
	ch_unsuspend(t);
	if (rc != CH_OK) {
		out->error = CH_KV_UNKNOWN;
		out->detail = "The store's plugin is broken; see the log.";
	}
	return CH_OK;
}

void idem_give_up(struct ch_self *self, struct ch_ctx *c, struct ch_kv_result *out)
{
	kv(self)->cancel(idem_conf(self)->store, c, out);
}

bool idem_failed(struct ch_self *self, int op, const struct ch_kv_result *out)
{
	struct idem_state *state = idem_state(self);

	if (!out->error) {
		if (atomic_load_explicit(&state->away, memory_order_relaxed)) {
			atomic_store(&state->away, false);
			ch_degraded(self, "store", false, "the store answers");
		}
		return false;
	}
	ch_add(state->errors[op], 1);
	if (out->error == CH_KV_BAD_REQUEST)
		ch_log(self, NULL, CH_ERR, "the store refuses what this plugin asks, which is a bug in one of the two: %s",
			out->detail ? out->detail : "it does not say why");
	if (out->error == CH_KV_NO_MEMORY || out->error == CH_KV_CANCELLED || out->error == CH_KV_BAD_REQUEST)
		return true; /* the store is there */
	atomic_store(&state->away, true);
	ch_degraded(self, "store", true, "%s", out->detail ? out->detail : "the store fails");
	return true;
}

struct ch_str idem_name(char out[IDEM_NAME_MAX], const char *kind, const void *bytes, size_t n, const char *suffix)
{
	static const char prefix[] = "idempotency:";
	size_t at = sizeof(prefix) - 1, k = strlen(kind), s = strlen(suffix);

	memcpy(out, prefix, at);
	memcpy(out + at, kind, k);
	at += k;
	ch_hex(bytes, n, out + at);
	at += 2 * n;
	memcpy(out + at, suffix, s);
	return (struct ch_str){ out, at + s };
}

/* ---- one write ---- */

static int on_written(struct ch_ctx *c, void *data, int why, void *result);

static bool ours(const struct idem_write *w)
{
	struct idem_record r;

	return idem_record_read(w->out.value, &r) && r.kind == IDEM_CLAIM && r.nonce == w->e->nonce &&
	       !memcmp(r.process, idem_table_process(idem_state(w->self)->table), IDEM_PROCESS);
}

static int set(struct idem_write *w, struct ch_str value, int64_t ttl_ms, int when)
{
	struct ch_kv_args a = { .size = sizeof(a), .value = value, .when = when, .version = w->version, .ttl_ms = ttl_ms };

	a.key = w->e ? idem_name(w->name, "", w->e->scope, CH_SHA256, "")
	             : idem_name(w->name, "alive:", idem_table_process(idem_state(w->self)->table), IDEM_PROCESS, "");
	return idem_ask(w->self, w->c, IDEM_SET, &a, &w->out, on_written, w);
}

static int release(struct idem_write *w)
{
	struct ch_kv_args a = { .size = sizeof(a), .when = w->version ? CH_KV_IF_VERSION : CH_KV_ALWAYS, .version = w->version };

	a.key = idem_name(w->name, "", w->e->scope, CH_SHA256, "");
	return idem_ask(w->self, w->c, w->version ? IDEM_DEL : IDEM_GET, &a, &w->out, on_written, w);
}

static int issue(struct idem_write *w)
{
	struct idem_entry *e = w->e;

	w->tries++;
	switch (w->job) {
	case IDEM_J_ALIVE:
		return set(w, (struct ch_str)CH_STR("1"), IDEM_ALIVE_MS, CH_KV_ALWAYS);
	case IDEM_J_PROLONG:
		idem_record_claim(w->claim, e->print, idem_table_process(idem_state(w->self)->table), e->nonce);
		return set(w, (struct ch_str){ (const char *)w->claim, sizeof(w->claim) }, idem_conf(w->self)->ttl, CH_KV_IF_VERSION);
	default:
		if (!e->answer)
			return release(w);
		return set(w, idem_answer_text(e->answer), w->left_ms,
			w->version ? CH_KV_IF_VERSION : CH_KV_IF_ABSENT);
	}
}

/* What came of it; WAITS: it is to be tried again. */
static int judge(struct idem_write *w)
{
	const struct ch_kv_result *out = &w->out;
	bool releases = w->job == IDEM_J_SETTLE && !w->e->answer;

	if (idem_failed(w->self, w->job == IDEM_J_ALIVE ? IDEM_O_ALIVE : IDEM_O_WRITE, out))
		return IDEM_W_FAILED;
	if (out->done && !(releases && !w->version)) {
		w->version = out->version;
		return IDEM_W_DONE;
	}
	if (!out->version && (releases || w->job == IDEM_J_PROLONG)) /* it is gone: nothing to release, and perhaps the work has ended */
		return releases ? IDEM_W_DONE : IDEM_W_LOST;
	if (out->version && !ours(w))
		return IDEM_W_LOST;
	w->version = out->version;
	return w->tries < TRIES_MAX ? IDEM_W_WAITS : IDEM_W_FAILED;
}

static int go(struct idem_write *w)
{
	int wrote;

	do {
		if (issue(w) == CH_AGAIN)
			return IDEM_W_WAITS;
		wrote = judge(w);
	} while (wrote == IDEM_W_WAITS);
	return wrote;
}

static int on_written(struct ch_ctx *c, void *data, int why, void *result)
{
	struct idem_write *w = data;
	int wrote = IDEM_W_FAILED;

	(void)result;
	if (why == CH_READY)
		wrote = judge(w);
	else
		idem_give_up(w->self, c, &w->out);
	if (wrote == IDEM_W_WAITS)
		wrote = go(w);
	return wrote == IDEM_W_WAITS ? CH_AGAIN : w->then(w, wrote);
}

int idem_write(struct idem_write *w, int job, struct idem_entry *e)
{
	w->job = job;
	w->e = e;
	w->tries = 0;
	w->version = e ? e->version : 0;
	w->left_ms = job == IDEM_J_SETTLE ? (e->expires - ch_now() + 999) / 1000 : 0;
	if (job == IDEM_J_SETTLE && w->left_ms <= 0)
		return IDEM_W_LOST; /* the claim has expired, too */
	return go(w);
}

/* ---- an entry is settled ---- */

void idem_settled(struct ch_self *self, struct idem_entry *e, int wrote)
{
	struct idem_state *state = idem_state(self);

	if (wrote == IDEM_W_FAILED) {
		idem_table_later(state->table, e);
		ch_set(state->unwritten, (double)idem_queue_count(idem_table_unwritten(state->table)));
		return;
	}
	if (e->answer) {
		if (wrote == IDEM_W_DONE)
			ch_add(state->stored_bytes, (double)e->answer->n);
		idem_table_written(state->table, e);
	}
	idem_table_put(state->table, e);
}

static int on_settled(struct idem_write *w, int wrote)
{
	idem_settled(w->self, w->e, wrote);
	idem_table_busy(idem_state(w->self)->table, -1);
	return CH_DONE;
}

static void left_out(void *data)
{
	struct idem_entry *e = data;
	struct ch_self *self = e->self;

	idem_settled(self, e, IDEM_W_FAILED);
	idem_table_busy(idem_state(self)->table, -1);
}

static int begin(struct ch_ctx *c, void *data)
{
	struct idem_entry *e = data;
	struct idem_write *w = ch_alloc(c, sizeof(*w));
	int wrote;

	if (!w) {
		left_out(e);
		return CH_DONE;
	}
	w->self = e->self;
	w->c = c;
	w->then = on_settled;
	wrote = idem_write(w, IDEM_J_SETTLE, e);
	return wrote == IDEM_W_WAITS ? CH_AGAIN : on_settled(w, wrote);
}

void idem_settle(struct ch_self *self, struct ch_loop *l, struct idem_entry *e)
{
	e->self = self;
	if (!e->answer)
		e->expires = ch_now() + idem_conf(self)->ttl * 1000;
	idem_table_busy(idem_state(self)->table, 1);
	if (!ch_task(self, l, 0, begin, e, left_out))
		left_out(e);
}
