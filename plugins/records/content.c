/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c - what was asked and answered, for operators who want it kept.
 *
 * Threads and ownership: on the request's loop. Of the answer the tap keeps the text in the ctx, as much of it as can matter; the rooms in
 * which patterns work, and the prompt's text, are the loop's.
 */
#include <stdlib.h>

#include "content_text.h"
#include "records.h"

/* For buffers in the ctx's arena, which frees them. */
static void *grow(void *arg, void *old, size_t used, size_t want)
{
	char *p = ch_alloc(arg, want);

	if (p && used)
		memcpy(p, old, used);
	return p;
}

static size_t most(const struct records_conf *conf)
{
	return (size_t)conf->content_max + REDACT_MORE;
}

void records_on_answer(struct ch_self *self, struct ch_ctx *c, const void *p, size_t n, bool complete)
{
	const struct records_conf *conf = self->conf;
	struct content_text *text;
	void **slot;

	(void)complete;
	if (!conf->store_content || !n || !ch_facts(c)->ledger)
		return;
	slot = ch_slot(self, c);
	text = *slot;
	if (!text) {
		text = *slot = ch_alloc(c, sizeof(*text));
		if (!text)
			return;
		content_text_init(text, NULL, 0, most(conf), true);
		text->grow = grow;
		text->arg = c;
	}
	content_text_add(text, p, n);
}

static struct ch_str safe(const struct records *state, struct redact_room *room, struct content_text *text, unsigned *failed)
{
	content_text_end(text);
	return redact(room, &state->rules, (struct ch_str){ text->p, text->n }, text->kind == CONTENT_JSON, failed);
}

void records_content(struct ch_self *self, struct ch_ctx *c, struct records_content *out)
{
	const struct records_conf *conf = self->conf;
	const struct records *state = self->state;
	struct records_rooms *rooms;
	struct ch_str body = ch_body(c);
	struct content_text *answer = *ch_slot(self, c), prompt;
	unsigned failed = 0;

	if (!conf->store_content)
		return;
	rooms = *ch_loop_state(self, ch_loop(c));
	if (!rooms)
		return;
	if (body.n) {
		content_text_init(&prompt, rooms->text, most(conf), most(conf), false);
		content_text_add(&prompt, body.p, body.n);
		out->prompt = safe(state, rooms->prompt, &prompt, &failed);
	}
	if (answer)
		out->answer = safe(state, rooms->answer, answer, &failed);
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
		rooms->text = malloc(most(conf));
		rooms->prompt = redact_room_new((size_t)conf->content_max);
		rooms->answer = redact_room_new((size_t)conf->content_max);
		*ch_loop_state(self, loop) = rooms;
	}
	return rooms && rooms->text && rooms->prompt && rooms->answer ? CH_OK : CH_ERROR;
}

void records_rooms_free(struct ch_self *self, struct ch_loop *loop)
{
	struct records_rooms *rooms = *ch_loop_state(self, loop);

	if (!rooms)
		return;
	redact_room_free(rooms->prompt);
	redact_room_free(rooms->answer);
	free(rooms->text);
	free(rooms);
	*ch_loop_state(self, loop) = NULL;
}
