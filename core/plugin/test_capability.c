/* SPDX-License-Identifier: Apache-2.0 */
/* ch_capability: who is shown, in which order, and when it is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/inspect.h>
#include <chimera/test.h>

#include "core/plugin/capability.h"

struct conf {
	struct ch_list names;
	bool fails;
};

static const struct ch_option options[] = {
	CH_OPT(struct conf, names, LIST, .help = "What it tells of in start"),
	CH_OPT(struct conf, fails, BOOL, .help = "Does start fail?"),
};

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct conf *conf = self->conf;

	(void)prev;
	for (size_t i = 0; i < conf->names.n; i++)
		ch_capability(self, conf->names.v[i].p, true);
	if (conf->fails)
		ch_log(self, NULL, CH_ERR, "it fails");
	return conf->fails ? CH_ERROR : CH_OK;
}

static ch_ticket held;

static int heard(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	if (why == CH_READY)
		return ch_respond(c, 200, "text/plain", "ok", 2);
	ch_unsuspend(held);
	return CH_DONE;
}

static int on_x(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	held = ch_suspend(c, 0, heard, NULL);
	return held ? CH_AGAIN : ch_refuse(c, CH_E_OVERLOADED, 0, "no memory");
}

static const struct ch_route routes[] = { { .method = "GET", .pattern = "/x", .fn = on_x } };
static const struct ch_plugin models = { .size = sizeof(models), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "models",
	.version = "0", .summary = "Has models", .conf_size = sizeof(struct conf), .options = CH_TABLE(options), .start = start };
static const struct ch_plugin slow = { .size = sizeof(slow), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "slow",
	.version = "0", .summary = "Has models and requests", .conf_size = sizeof(struct conf), .options = CH_TABLE(options),
	.routes = CH_TABLE(routes), .start = start };

static const struct ch_plugin *models_entry(const struct ch_host *host)
{
	(void)host;
	return &models;
}

static const struct ch_plugin *slow_entry(const struct ch_host *host)
{
	(void)host;
	return &slow;
}

static struct ch_test *begin(const char *ini)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, models_entry);
	ch_test_plugin(t, slow_entry);
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	return t;
}

static bool reload(struct ch_test *t, const char *ini)
{
	ch_test_config(t, ini);
	return ch_test_start(t);
}

static char seen[512];

static void see(void *data, const struct ch_capability *cap)
{
	size_t n = strlen(seen);

	(void)data;
	assert_int_equal(cap->size, sizeof(*cap));
	snprintf(seen + n, sizeof(seen) - n, "%s.%s=%d ", cap->instance, cap->name, cap->there);
}

static const char *walk(void)
{
	*seen = 0;
	ch_capabilities_walk(see, NULL);
	return seen;
}

static void they_come_in_the_order_of_the_config_and_as_told(void **state)
{
	struct ch_test *t = begin("[models:b]\nnames = z, y\n[slow]\n[models:a]\nnames = x\n");

	(void)state;
	assert_string_equal(walk(), "b.z=1 b.y=1 a.x=1 ");
	ch_capability(ch_test_self(t, "slow"), "late", false);
	ch_capability(ch_test_self(t, "b"), "z", false);
	ch_capability(ch_test_self(t, "b"), "y", true);
	assert_string_equal(walk(), "b.z=0 b.y=1 slow.late=0 a.x=1 ");
	ch_test_free(t);
	assert_string_equal(walk(), "");
}

static void names_are_copied(void **state)
{
	struct ch_test *t = begin("[models]\n");
	char name[] = "gemma3:latest";

	(void)state;
	ch_capability(ch_test_self(t, "models"), name, true);
	memset(name, 'x', sizeof(name) - 1);
	assert_string_equal(walk(), "models.gemma3:latest=1 ");
	ch_test_free(t);
}

static void a_carried_instance_keeps_them_and_takes_its_new_place(void **state)
{
	struct ch_test *t = begin("[models:a]\nnames = x\n[models:b]\nnames = y\n");

	(void)state;
	ch_capability(ch_test_self(t, "a"), "x", false);
	assert_true(reload(t, "[models:b]\nnames = y\n[models:a]\nnames = x\n"));
	assert_string_equal(walk(), "b.y=1 a.x=0 ");
	ch_test_free(t);
}

static void resume(void *data)
{
	(void)data;
	ch_resume(held, NULL, NULL);
}

static void a_successor_tells_its_own_while_the_old_one_still_works(void **state)
{
	struct ch_test *t = begin("[slow]\nnames = x, y\n");
	struct ch_self *old = ch_test_self(t, "slow");
	struct ch_test_answer *a = ch_test_request(t, "GET", "/x", NULL, NULL, 0);

	(void)state;
	assert_true(reload(t, "[slow]\nnames = y, z\n"));
	assert_string_equal(walk(), "slow.y=1 slow.z=1 ");
	ch_capability(old, "w", true);
	assert_string_equal(walk(), "slow.y=1 slow.z=1 ");
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(a->status, 200);
	assert_string_equal(walk(), "slow.y=1 slow.z=1 ");
	ch_test_free(t);
}

static void an_instance_that_is_gone_is_forgotten(void **state)
{
	struct ch_test *t = begin("[models:a]\nnames = x\n[models:b]\nnames = y\n");

	(void)state;
	assert_true(reload(t, "[models:b]\nnames = y\n"));
	assert_string_equal(walk(), "b.y=1 ");
	ch_test_free(t);
}

static void one_that_does_not_start_was_never_there(void **state)
{
	struct ch_test *t = begin("[models]\nnames = x\n");

	(void)state;
	assert_false(reload(t, "[models]\nnames = y\nfails = yes\n"));
	assert_string_equal(walk(), "models.x=1 ");
	assert_true(reload(t, "[models]\nnames = z\n"));
	assert_string_equal(walk(), "models.z=1 ");
	ch_test_free(t);
}

struct teller {
	struct ch_self *self;
	unsigned n;
};

static void tell_more(void *data, const struct ch_capability *cap)
{
	struct teller *teller = data;

	assert_string_equal(cap->name, "x");
	ch_capability(teller->self, "more", true);
	teller->n++;
}

static void who_is_shown_them_may_tell_more(void **state)
{
	struct ch_test *t = begin("[models]\nnames = x\n");
	struct teller teller = { ch_test_self(t, "models"), 0 };

	(void)state;
	ch_capabilities_walk(tell_more, &teller); /* no deadlock, and no endless walk */
	assert_int_equal(teller.n, 1);
	assert_string_equal(walk(), "models.x=1 models.more=1 ");
	ch_test_free(t);
}

static void count(void *data, const struct ch_capability *cap)
{
	(void)cap;
	++*(unsigned *)data;
}

static void an_instance_has_so_many_and_the_log_says_it(void **state)
{
	struct ch_test *t = begin("[models]\n[slow]\nnames = one\n");
	unsigned n = 0;
	char name[16];

	(void)state;
	for (int i = 0; i < CHI_CAPABILITIES + 10; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		ch_capability(ch_test_self(t, "models"), name, true);
	}
	ch_capabilities_walk(count, &n);
	assert_int_equal(n, 1024 + 1);
	assert_true(ch_test_logged(t, "WARN  models: it has told of more than 1024 capabilities"));
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_come_in_the_order_of_the_config_and_as_told),
		cmocka_unit_test(names_are_copied),
		cmocka_unit_test(a_carried_instance_keeps_them_and_takes_its_new_place),
		cmocka_unit_test(a_successor_tells_its_own_while_the_old_one_still_works),
		cmocka_unit_test(an_instance_that_is_gone_is_forgotten),
		cmocka_unit_test(one_that_does_not_start_was_never_there),
		cmocka_unit_test(who_is_shown_them_may_tell_more),
		cmocka_unit_test(an_instance_has_so_many_and_the_log_says_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
