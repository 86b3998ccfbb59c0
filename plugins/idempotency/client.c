/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c - work whose client has left. It goes on while somebody waits for it: here, which the table knows, or elsewhere, which is told
 * by a mark in the store. When nobody does any more it is forsaken.
 */
#include <stdlib.h>

#include "idempotency.h"

struct idem_look {                        /* a look for the mark; both its request and its task may end first */
	atomic_uint refs;
	struct ch_self *self;
	struct idem_request *k;           /* NULL: it has ended. On the loop */
	unsigned char scope[CH_SHA256];
	struct ch_kv_result *out;
};

static void unref(void *data)
{
	struct idem_look *l = data;

	if (atomic_fetch_sub(&l->refs, 1) == 1)
		free(l);
}

static int looked(struct idem_look *l)
{
	struct idem_request *k = l->k;
	bool wanted = idem_failed(l->self, IDEM_O_LOOK, l->out) || l->out->done; /* who cannot look gives nothing up */

	if (k) {
		k->look = NULL;
		unref(l);
		if (wanted || idem_table_waited(k->w.table, k->w.entry))
			ch_timer_set(k->timer, IDEM_LOOK_MS);
		else
			ch_forsake(k->c);
	}
	unref(l);
	return CH_DONE;
}

static int on_looked(struct ch_ctx *c, void *data, int why, void *result)
{
	struct idem_look *l = data;

	(void)result;
	if (why == CH_READY)
		return looked(l);
	idem_give_up(l->self, c, l->out);
	unref(l);
	return CH_DONE;
}

static int look(struct ch_ctx *c, void *data)
{
	struct idem_look *l = data;
	struct ch_kv_args a = { .size = sizeof(a) };
	char name[IDEM_NAME_MAX];
	int rc;

	l->out = ch_alloc(c, sizeof(*l->out));
	if (!l->out) {
		unref(l);
		return CH_DONE;
	}
	a.key = idem_name(name, "", l->scope, CH_SHA256, ":wanted");
	rc = idem_ask(l->self, c, IDEM_GET, &a, l->out, on_looked, l);
	return rc == CH_AGAIN ? rc : looked(l);
}

/* Without memory to look it goes on until the next time. */
static void on_time(void *data)
{
	struct idem_request *k = data;
	struct idem_look *l;

	ch_timer_set(k->timer, IDEM_LOOK_MS);
	if ((k->look && atomic_load(&k->look->refs) > 1) || idem_table_waited(k->w.table, k->w.entry))
		return;
	if (k->look) /* its task was dropped */
		unref(k->look);
	k->look = NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return;
	*l = (struct idem_look){ .self = k->self, .k = k };
	atomic_init(&l->refs, 2);
	memcpy(l->scope, k->scope, CH_SHA256);
	if (!ch_task(k->self, ch_loop(k->c), 0, look, l, unref)) {
		free(l);
		return;
	}
	k->look = l;
}

bool idem_wanted(void *request)
{
	struct idem_request *k = request;

	k->timer = ch_timer(ch_loop(k->c), on_time, k);
	if (!k->timer)
		return false;
	k->alone = true;
	idem_table_busy(k->w.table, 1);
	ch_add(idem_state(k->self)->clientless, 1);
	ch_timer_set(k->timer, 0);
	return true;
}

void idem_alone_no_more(struct idem_request *k)
{
	if (!k->alone)
		return;
	k->alone = false;
	ch_timer_free(k->timer);
	idem_table_busy(k->w.table, -1);
	ch_add(idem_state(k->self)->clientless, -1);
	if (k->look) {
		k->look->k = NULL;
		unref(k->look);
		k->look = NULL;
	}
}
