/* SPDX-License-Identifier: Apache-2.0 */
/* Spans: order, parents, times, whose they are, and the limits. */
#include <chimera/inspect.h>

#include "core/work/test_script.h"

#include <stdio.h>

static char seen[4096]; /* "id<parent plugin name begin+length!" for each, times in ms since the request began */
static int64_t zero;

static void see(void *data, const struct ch_span *s)
{
	size_t n = strlen(seen);

	(void)data;
	assert_int_equal(s->size, sizeof(*s));
	snprintf(seen + n, sizeof(seen) - n, "%u<%u %s %s %d", s->id, s->parent, s->plugin ? s->plugin : "-", s->name,
		(int)((s->begin - zero) / 1000));
	n = strlen(seen);
	if (s->end)
		snprintf(seen + n, sizeof(seen) - n, "+%d", (int)((s->end - s->begin) / 1000));
	for (const char *const *note = s->notes; *note; note += 2) {
		n = strlen(seen);
		snprintf(seen + n, sizeof(seen) - n, " %s=%s", note[0], note[1]);
	}
	n = strlen(seen);
	snprintf(seen + n, sizeof(seen) - n, "%s\n", s->failed ? "!" : "");
}

static void look(struct ch_ctx *c)
{
	seen[0] = 0;
	ch_spans_walk(c, see, NULL);
}

static int nest(struct ch_ctx *c)
{
	unsigned a, b, d, e;

	zero = ch_now();
	look(c);
	assert_string_equal(seen, "");
	a = ch_span_begin(c, "a");
	b = ch_span_begin(c, "b");
	ch_span_end(c, b, true);
	d = ch_span_begin(c, "d"); /* beside b, inside of a */
	e = ch_span_begin(c, "e");
	ch_span_end(c, d, false);  /* before what is inside of it */
	ch_span_begin(c, "f");     /* inside of e, which is still open */
	ch_span_end(c, e, true);
	ch_span_end(c, a, true);
	look(c);
	assert_string_equal(seen,
		"1<0 script a 0+0\n"
		"2<1 script b 0+0\n"
		"3<1 script d 0+0!\n"
		"4<3 script e 0+0\n"
		"5<4 script f 0\n");
	return answer_ok(c);
}

static void a_spans_parent_is_the_youngest_that_is_open(void **state)
{
	struct ch_test *t = begin(nest);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	ch_test_free(t);
}

static unsigned open_span;
static int wait_in_span(struct ch_ctx *c)
{
	zero = ch_now();
	open_span = ch_span_begin(c, "wait");
	ctx = c;
	return wait_long(c);
}

static void end_span(void *ok)
{
	ch_span_end(ctx, open_span, ok != NULL);
	look(ctx);
}

static void times_are_those_of_the_clock(void **state)
{
	struct ch_test *t = begin(wait_in_span);
	struct ch_test_answer *a = get(t);

	(void)state;
	ch_test_advance(t, 250);
	ch_test_on_loop(t, end_span, t);
	assert_string_equal(seen, "1<0 script wait 0+250\n");
	ch_test_advance(t, 100);
	ch_test_on_loop(t, end_span, NULL); /* its end was told: the first word counts */
	assert_string_equal(seen, "1<0 script wait 0+250\n");
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(a->status, 200);
	ch_test_free(t);
}

static void begin_in_a_timer(void *data)
{
	(void)data;
	ch_span_end(ctx, ch_span_begin(ctx, "timer"), true);
	look(ctx);
}

static void outside_of_a_hook_nobody_is_named(void **state)
{
	struct ch_test *t = begin(wait_in_span);

	(void)state;
	get(t);
	ch_test_on_loop(t, begin_in_a_timer, NULL);
	assert_string_equal(seen, "1<0 script wait 0\n2<1 - timer 0+0\n");
	ch_test_on_loop(t, resume, NULL);
	ch_test_free(t);
}

static int with_notes(struct ch_ctx *c)
{
	char key[] = "key", value[] = "value";
	unsigned s = ch_span_begin(c, "s"), other = ch_span_begin(c, "other");

	zero = ch_now();
	ch_span_note(c, s, key, value);
	memset(key, 'x', 3); /* they were copied */
	memset(value, 'x', 5);
	for (int i = 0; i < 20; i++)
		ch_span_note(c, other, "n", i % 2 ? "1" : "");
	look(c);
	assert_string_equal(seen, "1<0 script s 0 key=value\n2<1 script other 0 n= n=1 n= n=1 n= n=1 n= n=1\n");
	return answer_ok(c);
}

static void notes_are_copied_and_the_first_eight_are_kept(void **state)
{
	struct ch_test *t = begin(with_notes);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	ch_test_free(t);
}

static int many(struct ch_ctx *c)
{
	unsigned none;

	zero = ch_now();
	for (unsigned i = 1; i <= 64; i++) {
		assert_int_equal(ch_span_begin(c, "many"), i);
		ch_span_end(c, i, true);
	}
	none = ch_span_begin(c, "one more");
	assert_int_equal(none, 0);
	ch_span_note(c, none, "k", "v"); /* 0 is fine */
	ch_span_end(c, none, true);
	ch_span_end(c, 65, true);
	ch_span_end(c, 4000000000u, true);
	ch_span_note(c, 65, "k", "v");
	look(c);
	assert_non_null(strstr(seen, "64<0 script many 0+0\n"));
	assert_null(strstr(seen, "65<"));
	return answer_ok(c);
}

static void sixty_four_are_kept_and_none_is_fine(void **state)
{
	struct ch_test *t = begin(many);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	ch_test_free(t);
}

static int no_spans(struct ch_ctx *c)
{
	ch_span_end(c, 1, true);
	ch_span_note(c, 1, "k", "v");
	look(c);
	assert_string_equal(seen, "");
	return answer_ok(c);
}

static void a_ctx_without_spans_has_none(void **state)
{
	struct ch_test *t = begin(no_spans);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	ch_test_free(t);
}

static int fill_then_span(struct ch_ctx *c)
{
	unsigned s;

	zero = ch_now();
	s = ch_span_begin(c, "before");
	while (ch_alloc(c, 4096))
		;
	while (ch_alloc(c, 16))
		;
	assert_int_equal(ch_span_begin(c, "no room"), 0);
	ch_span_note(c, s, "key", "value"); /* no room: nothing, or the note is empty; never a pointer to nothing */
	ch_span_end(c, s, true);
	look(c);
	assert_int_equal(strncmp(seen, "1<0 script before 0+0", 21), 0);
	return answer_ok(c);
}

static void without_memory_there_is_no_span(void **state)
{
	struct ch_test *t = begin(fill_then_span);

	(void)state;
	assert_int_equal(get(t)->status, 200); /* for an answer there is */
	ch_test_free(t);
}

/* ---- whose they are while CALL hooks run inside of the handler ---- */

static int on_look(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	ch_span_end(c, ch_span_begin(c, "inside"), true);
	return CH_OK;
}

static const struct ch_hook look_hooks[] = { { .phase = CH_P_CALL, .fn = on_look }, { .phase = CH_P_CALL_END, .fn = on_look } };
static const struct ch_plugin looks = { .size = sizeof(looks), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "looks",
	.version = "0", .summary = "Looks", .hooks = CH_TABLE(look_hooks) };

static const struct ch_plugin *looks_entry(const struct ch_host *host)
{
	(void)host;
	return &looks;
}

static int ask(struct ch_ctx *c)
{
	zero = ch_now();
	assert_int_equal(ch_call_hooks(c, &number, on_heard, NULL), CH_OK);
	ch_span_begin(c, "between");
	ch_call_end(c);
	ch_span_begin(c, "behind");
	look(c);
	assert_string_equal(seen, "1<0 looks inside 0+0\n2<0 script between 0\n3<2 looks inside 0+0\n4<2 script behind 0\n");
	return answer_ok(c);
}

static void each_span_is_of_whose_hook_runs(void **state)
{
	struct ch_test *t = ch_test_new();

	(void)state;
	handler = ask;
	limit = NULL;
	ch_test_plugin(t, script_entry);
	ch_test_plugin(t, looks_entry);
	ch_test_config(t, "[script]\n[looks]\n");
	assert_true(ch_test_start(t));
	assert_int_equal(get(t)->status, 200);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_spans_parent_is_the_youngest_that_is_open),
		cmocka_unit_test(times_are_those_of_the_clock),
		cmocka_unit_test(outside_of_a_hook_nobody_is_named),
		cmocka_unit_test(notes_are_copied_and_the_first_eight_are_kept),
		cmocka_unit_test(sixty_four_are_kept_and_none_is_fine),
		cmocka_unit_test(a_ctx_without_spans_has_none),
		cmocka_unit_test(without_memory_there_is_no_span),
		cmocka_unit_test(each_span_is_of_whose_hook_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
