/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c - what was asked and answered, for operators who want it kept.
 *
 * Threads and ownership: on the request's loop. Of the answer the tap keeps a copy in the ctx, as much of it as can matter; the rooms in
 * which patterns work are the loop's.
 */
#include <stdlib.h>

#include "records.h"

#define FIRST ((size_t)2 << 10)

struct capture { /* in the ctx, in this instance's slot */
	char *p;
	size_t n, cap;
};

static bool grow(struct ch_ctx *c, struct capture *k, size_t want, size_t most)
{
	size_t cap = k->cap ? k->cap * 2 : FIRST;
	char *p;

	while (cap < want)
		cap *= 2;
	cap = cap < most ? cap : most;
	p = ch_alloc(c, cap);
	if (!p)
		return false;
	if (k->n)
		memcpy(p, k->p, k->n);
	k->p = p;
	k->cap = cap;
	return true;
}

void records_on_answer(struct ch_self *self, struct ch_ctx *c, const void *p, size_t n, bool complete)
{
	const struct records_conf *conf = self->conf;
	size_t most = (size_t)conf->content_max + REDACT_MORE;
	struct capture *k;
	void **slot;

	(void)complete;
	if (!conf->store_content || !n || !ch_facts(c)->ledger)
		return;
	slot = ch_slot(self, c);
	k = *slot;
	if (!k) {
		k = *slot = ch_alloc(c, sizeof(*k));
		if (!k)
			return;
	}
	n = n < most - k->n ? n : most - k->n;
	if (n > k->cap - k->n && !grow(c, k, k->n + n, most))
		n = k->cap - k->n;
	if (n)
		memcpy(k->p + k->n, p, n);
	k->n += n;
}

void records_content(struct ch_self *self, struct ch_ctx *c, struct records_content *out)
{
	const struct records_conf *conf = self->conf;
	const struct records *state = self->state;
	size_t most = (size_t)conf->content_max + REDACT_MORE;
	struct records_rooms *rooms;
	struct ch_str body = ch_body(c);
	const struct capture *k = *ch_slot(self, c);
	unsigned failed = 0;

	if (!conf->store_content)
		return;
	rooms = *ch_loop_state(self, ch_loop(c));
	if (!rooms)
		return;
	if (body.n > most)
		body.n = most;
	if (body.n)
		out->prompt = redact(rooms->prompt, &state->rules, body, &failed);
	if (k && k->n)
		out->answer = redact(rooms->answer, &state->rules, (struct ch_str){ k->p, k->n }, &failed);
	if (failed)
		ch_add(state->redaction_failures, failed);
}

int records_rooms_new(struct ch_self *self, struct ch_loop *loop)
{
	const struct records_conf *conf = self->conf;
	struct records_rooms *rooms = conf->store_content ? calloc(1, sizeof(*rooms)) : NULL;

	if (!conf->store_content)
		return CH_OK;
	if (rooms) {
		rooms->prompt = redact_room_new((size_t)conf->content_max);
		rooms->answer = redact_room_new((size_t)conf->content_max);
		*ch_loop_state(self, loop) = rooms;
	}
	return rooms && rooms->prompt && rooms->answer ? CH_OK : CH_ERROR;
}

void records_rooms_free(struct ch_self *self, struct ch_loop *loop)
{
	struct records_rooms *rooms = *ch_loop_state(self, loop);

	if (!rooms)
		return;
	redact_room_free(rooms->prompt);
	redact_room_free(rooms->answer);
	free(rooms);
	*ch_loop_state(self, loop) = NULL;
}
