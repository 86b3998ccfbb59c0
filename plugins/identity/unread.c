/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unread.c - tokens in the database that no key which is here opens: an encryption_key was lost, or is another one. Looked for when the
 * store is first heard of, which is after each reload, too, and by each cleanup; told by the check, the log, and `chimeractl tokens cleanup`.
 */
#include <stdio.h>

#include "identity.h"

enum { NAMED = 2 }; /* keys that are named in the sentence */

/* "1 token cannot be read: …", into at most ID_UNREAD bytes; "" when all can be. */
static void tell(const struct identity_state *s, const struct id_key_use *uses, size_t n, char out[ID_UNREAD])
{
	long long tokens = 0;
	size_t keys = 0;
	char names[96] = "", more[32] = "";

	for (size_t i = 0; i < n; i++) {
		size_t used = strlen(names);

		if (s->ring && id_ring_has(s->ring, uses[i].key_id))
			continue;
		tokens += uses[i].tokens;
		if (keys++ < NAMED)
			snprintf(names + used, sizeof(names) - used, "%s%.16s", used ? ", " : "", uses[i].key_id);
	}
	out[0] = 0;
	if (keys > NAMED)
		snprintf(more, sizeof(more), " and %zu more", keys - NAMED);
	if (keys)
		snprintf(out, ID_UNREAD, "%lld token%s cannot be read: put the key%s of key_id %s%s into %s, or revoke %s", tokens,
			tokens == 1 ? "" : "s", keys == 1 ? "" : "s", names, more, s->ring ? "encryption_keys_old" : "encryption_key",
			tokens == 1 ? "it" : "them");
}

const char *id_unread_judge(struct ch_self *self, struct ch_ctx *c, const struct id_result *r)
{
	struct identity_state *s = self->state;
	char why[ID_UNREAD];

	tell(s, r->rows, r->n, why);
	pthread_mutex_lock(&s->lock);
	memcpy(s->unread, why, sizeof(why));
	pthread_mutex_unlock(&s->lock);
	ch_degraded(self, "tokens", *why, "%s", why);
	return *why ? ch_dup(c, why, strlen(why)) : NULL;
}

void id_unread_why(struct ch_self *self, char out[ID_UNREAD])
{
	struct identity_state *s = self->state;

	pthread_mutex_lock(&s->lock);
	memcpy(out, s->unread, ID_UNREAD);
	pthread_mutex_unlock(&s->lock);
}

/* ---- at the start ---- */

struct look { struct ch_self *self; struct id_result r; };

static int on_looked(struct ch_ctx *c, void *data, int why, void *result)
{
	struct look *l = data;

	(void)result;
	if (why != CH_READY)
		id_cancel(&l->r);
	else if (!l->r.error) /* else the next cleanup looks again */
		id_unread_judge(l->self, c, &l->r);
	return CH_DONE;
}

static int work(struct ch_ctx *c, void *data)
{
	struct look *l = ch_alloc(c, sizeof(*l));
	ch_ticket t = l ? ch_suspend(c, 0, on_looked, l) : 0;

	if (!t)
		return CH_DONE;
	l->self = data;
	id_tokens_keys(l->self, c, &l->r, t);
	return CH_AGAIN;
}

void id_unread_begin(struct ch_self *self)
{
	ch_task(self, NULL, 0, work, self, NULL);
}
