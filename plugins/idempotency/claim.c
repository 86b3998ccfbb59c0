/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claim.c - the leader asks the store: is the key ours to work on?
 *
 * One operation says all: a set that is done only if nothing stands there, and otherwise tells what does. Where somebody else works on
 * the key it is asked again, with growing pauses, up to wait_timeout; meanwhile a mark tells the owner that someone waits, and its own
 * key tells us whether it lives.
 */
#include "idempotency.h"

#define PAUSE_FIRST 25
#define PAUSE_MAX 1000
#define TRIES_MAX 8                       /* without a pause: a store that contradicts itself is not asked for ever */
#define MARK_EVERY_US 1000000

static int ask(struct idem_request *k, int when, uint64_t version);
static int judge(struct idem_request *k);

static int64_t since_ms(int64_t then)
{
	return (ch_now() - then) / 1000;
}

/* ---- its ends ---- */

static int refuse(struct idem_request *k, int conflict)
{
	idem_abdicate(k);
	return idem_refuse(k, conflict);
}

/* The client left while the store was asked: the claim may stand there. */
static int gone(struct idem_request *k)
{
	idem_give_up(k->self, k->c, &k->out);
	if (k->w.entry->hold == IDEM_NOT_HELD)
		k->w.entry->hold = IDEM_UNSURE;
	idem_abdicate(k);
	return CH_DONE;
}

/* A deadline of the ctx: the same, and it is answered. */
static int too_late(struct idem_request *k)
{
	gone(k);
	return idem_refuse(k, IDEM_C_IN_PROGRESS);
}

/* It is answered, as k->out.value says. Whoever waits here gets the same; without memory for that they ask the store themselves. */
static int answered(struct idem_request *k)
{
	const struct idem_conf *conf = idem_conf(k->self);
	struct idem_entry *e = k->w.entry;
	struct ch_str value = k->out.value;
	struct idem_answer *shared = NULL;
	int64_t ttl = k->out.ttl_ms ? k->out.ttl_ms : conf->ttl;

	if (idem_table_waited(k->w.table, e))
		shared = idem_answer_new(value.n, conf->max_held_bytes);
	if (shared)
		idem_answer_add(shared, value.p, value.n, conf->max_held_bytes);
	idem_wake(idem_table_answer(k->w.table, e, shared, false, ch_now() + ttl * 1000));
	idem_answer_unref(shared);
	idem_table_put(k->w.table, e);
	k->w.entry = NULL;
	return idem_serve(k, value, NULL);
}

/* We know that it was answered, and nothing stood there: it is not done again. The claim becomes a record of that. */
static int forgotten(struct idem_request *k)
{
	const struct idem_conf *conf = idem_conf(k->self);
	struct idem_entry *e = k->w.entry;
	struct idem_answer *spent = idem_answer_new(IDEM_SPENT_SIZE, INT64_MAX);

	if (!spent)
		return refuse(k, IDEM_C_OVERLOADED);
	idem_record_spent((unsigned char *)spent->bytes, e->print);
	spent->n = IDEM_SPENT_SIZE;
	idem_wake(idem_table_answer(k->w.table, e, spent, true, ch_now() + conf->ttl * 1000));
	idem_answer_unref(spent);
	k->w.entry = NULL;
	idem_settle(k->self, ch_loop(k->c), e);
	return idem_refuse(k, IDEM_C_NOT_REPLAYABLE);
}

/* The store does not say. What is known to have been begun or answered is not begun again; for the rest the operator has decided. */
static int away(struct idem_request *k)
{
	struct idem_entry *e = k->w.entry;

	if (k->out.error == CH_KV_UNKNOWN && e->hold == IDEM_NOT_HELD)
		e->hold = IDEM_UNSURE;
	if (k->out.error == CH_KV_NO_MEMORY)
		return refuse(k, IDEM_C_OVERLOADED);
	if (!e->known && idem_conf(k->self)->on_store_down == IDEM_PASS &&
			idem_queue_count(idem_table_unwritten(k->w.table)) < IDEM_UNWRITTEN_MAX)
		return idem_run(k);
	idem_wake(idem_table_away(k->w.table, e));
	return refuse(k, IDEM_C_STORE_DOWN);
}

/* ---- somebody else works on it ---- */

/* Tells the owner that someone waits; nobody waits for that to be stored. */
static void mark(struct idem_request *k, int64_t ttl_ms)
{
	const struct ch_svc *store = idem_conf(k->self)->store;
	char name[IDEM_NAME_MAX];
	struct ch_kv_args a = { .size = sizeof(a), .value = CH_STR("1"), .ttl_ms = ttl_ms };

	a.key = idem_name(name, "", k->scope, CH_SHA256, ":wanted");
	((const struct ch_kv_v1 *)store->vt)->set(store, k->c, &a, NULL, 0);
	k->marked = ch_now();
}

static int on_slept(struct ch_ctx *c, void *data, int why, void *result)
{
	struct idem_request *k = data;

	(void)c;
	(void)result;
	ch_unsuspend(k->sleep);
	if (why == CH_GONE) {
		idem_abdicate(k);
		return CH_DONE;
	}
	k->tries = 0;
	return ask(k, CH_KV_IF_ABSENT, 0);
}

/* How long it waits yet: an owner that seems dead is looked at until that is sure, however short wait_timeout is. */
static int64_t patience(const struct idem_request *k)
{
	int64_t left = idem_conf(k->self)->wait_timeout - since_ms(k->arrived);
	int64_t unsure = k->absent ? IDEM_ABSENT_MS - since_ms(k->absent) : 0;

	return left > unsure ? left : unsure;
}

static int sleep_on_it(struct idem_request *k)
{
	int64_t left = patience(k);

	if (left <= 0)
		return refuse(k, IDEM_C_IN_PROGRESS);
	k->pause = !k->pause ? PAUSE_FIRST : k->pause * 2 > PAUSE_MAX ? PAUSE_MAX : k->pause * 2;
	k->sleep = ch_suspend(k->c, k->pause < left ? k->pause : left, on_slept, k);
	return k->sleep ? CH_AGAIN : refuse(k, IDEM_C_OVERLOADED);
}

static int owner_lost(struct idem_request *k)
{
	ch_add(idem_state(k->self)->lost, 1);
	if (idem_conf(k->self)->on_owner_lost == IDEM_LOST_REFUSE)
		return refuse(k, IDEM_C_INDETERMINATE);
	ch_log(k->self, k->c, CH_WARN, "a request's server is gone: it is begun anew here (on_owner_lost = retry)");
	return ask(k, CH_KV_IF_VERSION, k->theirs);
}

/* The owner is seen alive, or not. */
static int seen(struct idem_request *k)
{
	if (idem_failed(k->self, IDEM_O_LOOK, &k->out) || k->out.done)
		k->absent = 0;
	else if (!k->absent)
		k->absent = ch_now();
	if (k->absent && since_ms(k->absent) >= IDEM_ABSENT_MS)
		return owner_lost(k);
	if (patience(k) > 0)
		return sleep_on_it(k);
	mark(k, IDEM_RETRY_MS + IDEM_WANTED_MS); /* until the client has come again */
	return refuse(k, IDEM_C_IN_PROGRESS);
}

static int on_seen(struct ch_ctx *c, void *data, int why, void *result)
{
	struct idem_request *k = data;

	(void)c;
	(void)result;
	if (why == CH_READY)
		return seen(k);
	idem_give_up(k->self, k->c, &k->out);
	idem_abdicate(k);
	return why == CH_GONE ? CH_DONE : idem_refuse(k, IDEM_C_IN_PROGRESS);
}

static int elsewhere(struct idem_request *k, const struct idem_record *r)
{
	struct ch_kv_args a = { .size = sizeof(a) };
	char name[IDEM_NAME_MAX];
	int rc;

	if (memcmp(k->process, r->process, IDEM_PROCESS) != 0)
		k->absent = 0;
	memcpy(k->process, r->process, IDEM_PROCESS);
	k->theirs = k->out.version;
	idem_wake(idem_table_await(k->w.table, k->w.entry, ch_now() + idem_conf(k->self)->ttl * 1000));
	if (!k->waited)
		ch_add(idem_state(k->self)->waits, 1);
	k->waited = true;
	if (!k->marked || ch_now() - k->marked >= MARK_EVERY_US)
		mark(k, IDEM_WANTED_MS);
	a.key = idem_name(name, "alive:", r->process, IDEM_PROCESS, "");
	rc = idem_ask(k->self, k->c, IDEM_GET, &a, &k->out, on_seen, k);
	return rc == CH_AGAIN ? rc : seen(k);
}

/* ---- what the store says ---- */

static int held(struct idem_request *k)
{
	struct idem_entry *e = k->w.entry;

	e->hold = IDEM_HELD;
	e->claimed = ch_now();
	e->version = k->out.version;
	return e->known == IDEM_DONE ? forgotten(k) : idem_run(k);
}

/* A claim of this process, and nobody here works on it: a set whose answer did not come, or one that could not be released. */
static int left_over(struct idem_request *k, const struct idem_record *r)
{
	if (r->nonce == k->w.entry->nonce && !memcmp(r->print, k->w.print, CH_SHA256))
		return held(k);
	return ask(k, CH_KV_IF_VERSION, k->out.version);
}

static int judge(struct idem_request *k)
{
	struct idem_record r;

	if (idem_failed(k->self, IDEM_O_CLAIM, &k->out))
		return away(k);
	if (k->out.done)
		return held(k);
	if (++k->tries > TRIES_MAX)
		return sleep_on_it(k);
	if (!k->out.version)
		return ask(k, CH_KV_IF_ABSENT, 0);
	if (!idem_record_read(k->out.value, &r)) {
		k->out.error = CH_KV_WRONG_KIND;
		k->out.detail = "What stands in the store under a key of ours is not ours.";
		idem_failed(k->self, IDEM_O_CLAIM, &k->out);
		return away(k);
	}
	if (r.kind == IDEM_CLAIM && !memcmp(r.process, idem_table_process(k->w.table), IDEM_PROCESS))
		return left_over(k, &r);
	if (memcmp(r.print, k->w.print, CH_SHA256) != 0)
		return refuse(k, IDEM_C_REUSED);
	return r.kind == IDEM_CLAIM ? elsewhere(k, &r) : answered(k);
}

static int on_asked(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)result;
	return why == CH_READY ? judge(data) : why == CH_GONE ? gone(data) : too_late(data);
}

static int ask(struct idem_request *k, int when, uint64_t version)
{
	unsigned char claim[IDEM_CLAIM_SIZE];
	struct ch_kv_args a = { .size = sizeof(a), .when = when, .version = version, .ttl_ms = idem_conf(k->self)->ttl };
	int rc;

	idem_record_claim(claim, k->w.print, idem_table_process(k->w.table), k->w.entry->nonce);
	a.key = idem_name(k->name, "", k->scope, CH_SHA256, "");
	a.value = (struct ch_str){ (const char *)claim, sizeof(claim) };
	rc = idem_ask(k->self, k->c, IDEM_SET, &a, &k->out, on_asked, k);
	return rc == CH_AGAIN ? rc : judge(k);
}

int idem_claim(struct idem_request *k)
{
	return ask(k, CH_KV_IF_ABSENT, 0);
}
