/* SPDX-License-Identifier: Apache-2.0 */
/* enter.c - a request comes with a key: it leads, waits for who does, or is answered. */
#include "idempotency.h"

static void let_go(struct idem_request *k)
{
	idem_table_put(k->w.table, k->w.entry);
	k->w.entry = NULL;
}

void idem_abdicate(struct idem_request *k)
{
	struct idem_entry *claim;
	struct idem_waiter *next = idem_table_pass(k->w.table, k->w.entry, &claim);

	k->w.entry = NULL;
	if (claim)
		idem_settle(k->self, ch_loop(k->c), claim);
	idem_wake(next);
}

static int serve(struct idem_request *k)
{
	return idem_serve(k, idem_answer_text(k->w.answer), k->w.answer);
}

/* The one that is waited for works under our claim, or there is none yet. */
static int lead(struct idem_request *k)
{
	return k->w.entry->hold == IDEM_HELD ? idem_run(k) : idem_claim(k);
}

static int on_woken(struct ch_ctx *c, void *data, int why, void *result)
{
	struct idem_request *k = data;

	(void)c;
	(void)result;
	if (why != CH_READY) {
		if (idem_table_leave(&k->w))
			ch_unsuspend(k->w.ticket);
		return why == CH_GONE ? CH_DONE : idem_refuse(k, IDEM_C_IN_PROGRESS);
	}
	switch (k->w.verdict) {
	case IDEM_LEAD:
		return lead(k);
	case IDEM_ANSWERED:
		let_go(k);
		return serve(k);
	case IDEM_OTHER_PAYLOAD:
		let_go(k);
		return idem_refuse(k, IDEM_C_REUSED);
	default:
		let_go(k);
		return idem_refuse(k, IDEM_C_STORE_DOWN);
	}
}

int idem_enter(struct idem_request *k)
{
	int rc = idem_table_enter(idem_state(k->self)->table, k->scope, &k->w);

	if (rc == IDEM_NEEDS_TICKET) {
		k->w.ticket = ch_suspend(k->c, 0, on_woken, k);
		rc = k->w.ticket ? idem_table_enter(k->w.table, k->scope, &k->w) : IDEM_NO_MEMORY;
		if (rc != IDEM_WAITS)
			ch_unsuspend(k->w.ticket);
	}
	switch (rc) {
	case IDEM_LEADS:
		return idem_claim(k);
	case IDEM_WAITS:
		k->waited = true;
		ch_add(idem_state(k->self)->waits, 1);
		return CH_AGAIN;
	case IDEM_HAS_ANSWER:
		return serve(k);
	case IDEM_DIFFERS:
		return idem_refuse(k, IDEM_C_REUSED);
	default:
		return idem_refuse(k, IDEM_C_OVERLOADED);
	}
}
