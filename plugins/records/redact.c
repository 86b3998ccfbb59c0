/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact.c - UTF-8 made valid, patterns applied one after the other, the cut.
 *
 * Threads and ownership: nothing is shared but the rules, which nobody writes.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

#include "redact.h"

#define STEPS 1000000             /* of one match; past it the text is taken away */
#define STACK ((size_t)512 << 10) /* of a compiled pattern, at most */

/* Half-made text: `keep` is where what may be kept ends; behind it lies what patterns see beside that. */
struct text {
	char *p;
	size_t n, keep;
};

struct redact_room {
	size_t most, cap;
	char *a, *b; /* cap bytes each: a rule reads one and writes the other */
	pcre2_match_data *match;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
};

/* ---- rules ---- */

const char *redact_compile(const char *pattern, void **code, char *why, size_t cap)
{
	PCRE2_SIZE at = 0;
	int error = 0;
	uint32_t empty = 0;
	unsigned char text[160];
	pcre2_code *made = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &at,
		NULL);

	if (!made) {
		pcre2_get_error_message(error, text, sizeof(text));
		snprintf(why, cap, "\"%s\" is no pattern of PCRE2: %s, at offset %zu: \"%.*s<HERE>%s\"", pattern, (const char *)text,
			(size_t)at,
			(int)at, pattern, pattern + at);
		return why;
	}
	pcre2_pattern_info(made, PCRE2_INFO_MATCHEMPTY, &empty);
	if (empty) {
		pcre2_code_free(made);
		snprintf(why, cap,
			"\"%s\" finds the empty text too, so it would find it everywhere; demand a character, by + in place of * say",
			pattern);
		return why;
	}
	if (!code) {
		pcre2_code_free(made);
		return NULL;
	}
	pcre2_jit_compile(made, PCRE2_JIT_COMPLETE); /* where the machine has none, the pattern is interpreted */
	*code = made;
	return NULL;
}

void redact_free(void *code)
{
	pcre2_code_free(code);
}

/* ---- rooms ---- */

struct redact_room *redact_room_new(size_t most)
{
	struct redact_room *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->most = most;
	r->cap = most + REDACT_MORE;
	r->a = malloc(r->cap);
	r->b = malloc(r->cap);
	r->match = pcre2_match_data_create(1, NULL);
	r->context = pcre2_match_context_create(NULL);
	r->stack = pcre2_jit_stack_create((size_t)32 << 10, STACK, NULL); /* NULL where there is no JIT */
	if (!r->a || !r->b || !r->match || !r->context) {
		redact_room_free(r);
		return NULL;
	}
	pcre2_set_match_limit(r->context, STEPS);
	pcre2_set_heap_limit(r->context, 1024); /* KiB, where it is interpreted */
	if (r->stack)
		pcre2_jit_stack_assign(r->context, NULL, r->stack);
	return r;
}

void redact_room_free(struct redact_room *r)
{
	if (!r)
		return;
	pcre2_jit_stack_free(r->stack);
	pcre2_match_context_free(r->context);
	pcre2_match_data_free(r->match);
	free(r->a);
	free(r->b);
	free(r);
}

/* ---- UTF-8 ---- */

/* The length of the character at p, or 0: no valid one begins there (RFC 3629: no overlong form, no surrogate, nothing past U+10FFFF). */
static size_t character(const unsigned char *p, size_t n)
{
	unsigned char low = 0x80, high = 0xBF;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;

	if (len < 2 || len > n)
		return len > n ? 0 : len;
	if (p[0] == 0xE0)
		low = 0xA0;
	else if (p[0] == 0xED)
		high = 0x9F;
	else if (p[0] == 0xF0)
		low = 0x90;
	else if (p[0] == 0xF4)
		high = 0x8F;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	return len;
}

/* A character that the end of what was seen has cut, and not a wrong one: it is left out. */
static bool cut_short(const unsigned char *p, size_t n)
{
	static const unsigned char rest[3][3] = { { 0x80, 0x80, 0x80 }, { 0xA0, 0x80, 0x80 }, { 0x90, 0x80, 0x80 } };
	unsigned char whole[4];
	size_t len = p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;

	if (n >= len)
		return false;
	memcpy(whole, p, n);
	memcpy(whole + n, rest[n > 1 ? 0 : p[0] == 0xE0 ? 1 : p[0] == 0xF0 ? 2 : 0] + n - 1, len - n);
	return character(whole, len) == len;
}

static bool put(struct text *to, size_t cap, const char *p, size_t n)
{
	if (n > cap - to->n)
		return false;
	memcpy(to->p + to->n, p, n);
	to->n += n;
	return true;
}

/* Invalid bytes become U+FFFD each, NULs go. `from` is longer than what may be kept only if more was there. */
static void make_valid(struct redact_room *r, struct ch_str from, struct text *to)
{
	const unsigned char *p = (const unsigned char *)from.p;
	size_t i = 0;

	while (i < from.n) {
		size_t plain = i;

		while (plain < from.n && p[plain] && p[plain] < 0x80)
			plain++;
		if (plain > r->cap - to->n + i)
			plain = r->cap - to->n + i;
		put(to, r->cap, from.p + i, plain - i);
		i = plain;
		if (i == from.n || to->n == r->cap)
			break;
		size_t len = character(p + i, from.n - i);
		if (!len && cut_short(p + i, from.n - i))
			break;
		if (p[i] && !put(to, r->cap, len ? from.p + i : "\xEF\xBF\xBD", len ? len : 3))
			break;
		i += len ? len : 1;
	}
	to->keep = to->n < r->most ? to->n : r->most;
}

/* ---- patterns ---- */

/*
 * Copies from[at .. end) and keeps track of where what may be kept ends. False: `to` is full. Its end may halve what a later rule would
 * find, which is why REDACT_MORE bytes before the end of a full text are not kept, see redact().
 */
static bool copy(struct redact_room *r, const struct text *from, size_t at, size_t end, struct text *to)
{
	size_t n = end - at, room = r->cap - to->n;
	bool fits = n <= room;

	if (!fits)
		for (n = room; n && ((unsigned char)from->p[at + n] & 0xC0) == 0x80; n--)
			;
	if (from->keep >= at && from->keep <= at + n)
		to->keep = to->n + (from->keep - at);
	put(to, r->cap, from->p + at, n);
	return fits;
}

/* False: the rule could not be applied. */
static bool apply(struct redact_room *r, const struct redact_rule *rule, const struct text *from, struct text *to)
{
	const PCRE2_SIZE *found = pcre2_get_ovector_pointer(r->match);
	size_t at = 0;

	to->keep = SIZE_MAX;
	for (;;) {
		int rc = pcre2_match(rule->code, (PCRE2_SPTR)from->p, from->n, at, PCRE2_NO_UTF_CHECK, r->match, r->context);

		if (rc == PCRE2_ERROR_NOMATCH) {
			copy(r, from, at, from->n, to);
			break;
		}
		/* \K inside of a lookaround can make a match that begins behind its end: no such rule is worth a second thought. */
		if (rc < 0 || found[0] < at || found[1] <= found[0])
			return false;
		if (!copy(r, from, at, found[0], to))
			break;
		if (found[0] >= from->keep)
			break;
		if (!put(to, r->cap, rule->with, rule->nwith))
			break;
		at = found[1];
		if (from->keep < at) /* found across the end of what is kept: all of it is gone */
			to->keep = to->n;
	}
	if (to->keep > to->n)
		to->keep = to->n;
	if (to->keep > r->most)
		to->keep = r->most;
	return true;
}

/* ---- JSON ---- */

/* What is kept of `from`, its control characters as RFC 8259 wants them, and not longer than is kept. An escape is whole or not there. */
static void escape(const struct redact_room *r, const struct text *from, struct text *to)
{
	static const char shorts[] = "\b\f\n\r\t", letters[] = "bfnrt";

	to->n = 0;
	for (size_t i = 0; i < from->keep;) {
		size_t plain = i, n;
		const char *at;
		char buf[8];

		while (plain < from->keep && (unsigned char)from->p[plain] >= 0x20)
			plain++;
		n = plain - i < r->most - to->n ? plain - i : r->most - to->n;
		while (n < plain - i && n && ((unsigned char)from->p[i + n] & 0xC0) == 0x80)
			n--;
		put(to, r->most, from->p + i, n);
		if (n < plain - i || plain == from->keep)
			return;
		at = strchr(shorts, from->p[plain]);
		n = at ? (size_t)snprintf(buf, sizeof(buf), "\\%c", letters[at - shorts])
			: (size_t)snprintf(buf, sizeof(buf), "\\u%04x", (unsigned char)from->p[plain]);
		if (!put(to, r->most, buf, n))
			return;
		i = plain + 1;
	}
}

struct ch_str redact(struct redact_room *room, const struct redact_rules *rules, struct ch_str text, bool json, unsigned *failed)
{
	struct text now = { .p = room->a }, next = { .p = room->b };

	make_valid(room, text, &now);
	for (size_t i = 0; i < rules->n; i++) {
		struct text spare;

		next.n = 0;
		if (!apply(room, &rules->v[i], &now, &next)) {
			++*failed;
			next.n = 0;
			put(&next, room->cap, rules->v[i].with, rules->v[i].nwith < room->most ? rules->v[i].nwith : room->most);
			next.keep = next.n;
		}
		spare = now;
		now = next;
		next = spare;
	}
	while (now.keep && now.keep < now.n && ((unsigned char)now.p[now.keep] & 0xC0) == 0x80)
		now.keep--; /* a character is whole or not there */
	if (json) {
		escape(room, &now, &next);
		return (struct ch_str){ next.p, next.n };
	}
	return (struct ch_str){ now.p, now.keep };
}
