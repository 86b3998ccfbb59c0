/* SPDX-License-Identifier: Apache-2.0 */
/* test_model_registry.c - the plugin in a running core: manifests, what the config may say, what is there, and `models`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include <chimera/inspect.h>
#include <chimera/models.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(model_registry);

/* FIPS 180-2, appendix B: "abc", and a million times "a". */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define MILLION "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static char folder[] = "/tmp/chimera-models-XXXXXX";
static const struct ch_models_v1 some_backend = { .size = sizeof(some_backend) }; /* any service will do: only its id is looked at */

static const char *in(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void write_file(const char *name, const char *text, size_t times)
{
	FILE *f = fopen(in(name), "w");

	assert_non_null(f);
	while (times--)
		fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int each(void **state)
{
	(void)state;
	write_file("gemma3_latest", "abc", 1);
	mkdir(in("deep"), 0700);
	write_file("deep/model.gguf", "a", 1000000);
	unlink(in("late"));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(in("gemma3_latest"));
	unlink(in("late"));
	unlink(in("deep/model.gguf"));
	rmdir(in("deep"));
	return rmdir(folder);
}

static struct ch_test *prepare(const char *rows)
{
	struct ch_test *t = ch_test_new();
	char ini[4096];

	ch_test_plugin(t, CH_TEST_ENTRY(model_registry));
	ch_test_service(t, "llama", "some/1", &some_backend, NULL);
	snprintf(ini, sizeof(ini), "[log]\nlevel = info\n[model_registry]\ndir = %s\n%s", folder, rows);
	ch_test_config(t, ini);
	return t;
}

static struct ch_test *begin(const char *rows)
{
	struct ch_test *t = prepare(rows);

	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	return t;
}

static struct ch_manifest manifest(struct ch_test *t, size_t i)
{
	const struct ch_svc *svc = ch_test_provided(t, "model_registry", "models/1");
	struct ch_manifest m = { .size = sizeof(m) };

	assert_true(((const struct ch_models_v1 *)svc->vt)->at(svc, i, &m));
	return m;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

static char seen[512];

static void see(void *data, const struct ch_capability *cap)
{
	size_t n = strlen(seen);

	(void)data;
	snprintf(seen + n, sizeof(seen) - n, "%s.%s=%d ", cap->instance, cap->name, cap->there);
}

static const char *capabilities(void)
{
	*seen = 0;
	ch_capabilities_walk(see, NULL);
	return seen;
}

#define ROWS "[model_registry.gemma3:latest]\nrevision = 2025-03\nbackend = llama\ncontext = 8192\n" \
	"sha256 = BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\n" \
	"[model_registry.big/one]\npath = deep/model.gguf\n[model_registry.late]\n"

/* ---- manifests ---- */

static void manifests_come_in_the_order_of_the_config(void **state)
{
	struct ch_test *t = begin(ROWS);
	const struct ch_svc *svc = ch_test_provided(t, "model_registry", "models/1");
	struct ch_manifest m = manifest(t, 0);
	struct stat st;

	(void)state;
	assert_string_equal(m.name, "gemma3:latest");
	assert_string_equal(m.path, in("gemma3_latest"));
	assert_string_equal(m.revision, "2025-03");
	assert_string_equal(m.sha256, ABC);
	assert_string_equal(m.backend, "llama");
	assert_int_equal(m.context, 8192);
	assert_int_equal(m.bytes, 3);
	assert_int_equal(stat(in("gemma3_latest"), &st), 0);
	assert_int_equal(m.created, st.st_mtime);
	m = manifest(t, 1);
	assert_string_equal(m.name, "big/one");
	assert_string_equal(m.path, in("deep/model.gguf"));
	assert_int_equal(m.bytes, 1000000);
	assert_string_equal(m.revision, "");
	assert_string_equal(m.sha256, "");
	assert_string_equal(m.backend, "");
	assert_int_equal(m.context, 0);
	m = manifest(t, 2);
	assert_int_equal(m.bytes, -1);
	assert_int_equal(m.created, 0);
	assert_false(((const struct ch_models_v1 *)svc->vt)->at(svc, 3, &m));
	ch_test_free(t);
}

static void an_older_user_s_manifest_is_filled_as_far_as_it_goes(void **state)
{
	struct ch_test *t = begin(ROWS);
	const struct ch_svc *svc = ch_test_provided(t, "model_registry", "models/1");
	struct ch_manifest m;

	(void)state;
	memset(&m, 0x55, sizeof(m));
	m.size = offsetof(struct ch_manifest, revision);
	assert_true(((const struct ch_models_v1 *)svc->vt)->at(svc, 0, &m));
	assert_int_equal(m.size, offsetof(struct ch_manifest, revision));
	assert_string_equal(m.name, "gemma3:latest");
	assert_int_equal(m.context, 0x5555555555555555);
	ch_test_free(t);
}

static void what_the_config_may_not_say_is_told_with_its_line(void **state)
{
	static const char *const table[][2] = {
		{ "[model_registry.a b]\n", "no name of a model" },
		{ "[model_registry.a]\npath = ../secret\n", "part \"..\": it stands below `dir`" },
		{ "[model_registry.a]\npath = /etc/passwd\n", "must not be absolute" },
		{ "[model_registry.a]\npath = x/\n", "empty part" },
		{ "[model_registry.a]\nsha256 = abc\n", "\"abc\" is no SHA-256: 64 hexadecimal digits" },
		{ "[model_registry.a]\nbackend = lama\n", "\"lama\" is no instance" },
		{ "[model_registry.a]\ncontext = -1\n", "context" },
		{ "[model_registry.a:b]\n[model_registry.a/b]\n", "the same file a_b as that of [model_registry.a:b]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct ch_test *t = prepare(table[i][0]);

		assert_false(ch_test_start(t));
		if (!strstr(ch_test_errors(t), table[i][1]) || !strstr(ch_test_errors(t), "test.ini:"))
			fail_msg("'%s' is not in %s", table[i][1], ch_test_errors(t));
		ch_test_free(t);
	}
}

static void two_names_of_one_file_are_fine_if_said(void **state)
{
	struct ch_test *t = begin("[model_registry.a:b]\npath = gemma3_latest\n[model_registry.a/b]\npath = gemma3_latest\n"
				  "[model_registry.a_b]\n");

	(void)state;
	assert_string_equal(manifest(t, 0).path, manifest(t, 1).path);
	ch_test_free(t);
}

/* ---- what is there ---- */

static void a_missing_file_is_said_once_and_noticed_when_it_comes(void **state)
{
	struct ch_test *t = begin(ROWS);
	struct ch_check_result r = { .size = sizeof(r) };

	(void)state;
	assert_string_equal(capabilities(), "model_registry.gemma3:latest=1 model_registry.big/one=1 model_registry.late=0 ");
	for (int i = 0; i < 3; i++) {
		assert_true(ch_test_check(t, "model_registry.files", &r));
		assert_int_equal(r.health, CH_DEGRADED);
		assert_string_equal(r.message, "1 of 3 files not there: late");
	}
	assert_int_equal(count(ch_test_log(t), "WARN  model_registry: the file of model late is not there: "), 1);
	write_file("late", "x", 1);
	assert_true(ch_test_check(t, "model_registry.files", &r));
	assert_int_equal(r.health, CH_HEALTHY);
	assert_string_equal(capabilities(), "model_registry.gemma3:latest=1 model_registry.big/one=1 model_registry.late=1 ");
	assert_int_equal(manifest(t, 2).bytes, 1);
	assert_int_equal(count(ch_test_log(t), "INFO  model_registry: the file of model late is there now: "), 1);
	unlink(in("late"));
	assert_true(ch_test_check(t, "model_registry.files", &r));
	assert_int_equal(count(ch_test_log(t), "the file of model late is not there: "), 2);
	ch_test_free(t);
}

static void without_a_pool_the_check_says_what_was_seen_last(void **state)
{
	struct ch_test *t = begin(ROWS);
	struct ch_check_result r = { .size = sizeof(r) };

	(void)state;
	ch_test_offload(t, CH_TEST_FULL);
	assert_true(ch_test_check(t, "model_registry.files", &r));
	assert_string_equal(r.message, "1 of 3 files not there: late");
	ch_test_free(t);
}

/* ---- models list ---- */

static void the_list_is_a_table(void **state)
{
	struct ch_test *t = begin(ROWS);
	const char *text;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "list", NULL), 0);
	assert_string_equal(text,
		"name           backend  revision  context       size  state\n"
		"gemma3:latest  llama    2025-03      8192        3 B  there\n"
		"big/one        -        -               -  976.6 KiB  there\n"
		"late           -        -               -          -  missing: there is no such file\n");
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "list", "late", NULL), 0);
	assert_int_equal(count(text, "\n"), 2);
	ch_test_free(t);
}

static void what_is_asked_for_wrongly_is_refused(void **state)
{
	struct ch_test *t = begin(ROWS);
	const char *text;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "lst", NULL), 1);
	assert_string_equal(text, "'lst' is neither list nor verify");
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "verify", "gemma3:lates", NULL), 1);
	assert_string_equal(text, "there is no model 'gemma3:lates': did you mean gemma3:latest: `models list` names all");
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", NULL), 64);
	ch_test_offload(t, CH_TEST_FULL);
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "verify", NULL), 1);
	assert_non_null(strstr(text, "the pool of threads takes no more work now"));
	ch_test_free(t);
	t = begin("");
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "list", NULL), 1);
	assert_string_equal(text, "there are no models: give each a section [model_registry.NAME]");
	ch_test_free(t);
}

/* ---- models verify ---- */

static void files_that_are_as_the_config_says_are_0(void **state)
{
	struct ch_test *t = begin("[model_registry.gemma3:latest]\nsha256 = " ABC "\n"
				  "[model_registry.m]\npath = deep/model.gguf\nsha256 = " MILLION "\n");
	const char *text;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "verify", NULL), 0);
	assert_string_equal(text, "gemma3:latest  ok\nm  ok\n");
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "verify", "m", NULL), 0);
	assert_string_equal(text, "m  ok\n");
	ch_test_free(t);
}

static void any_that_is_not_is_1(void **state)
{
	struct ch_test *t = begin("[model_registry.gemma3:latest]\nsha256 = " MILLION "\n[model_registry.late]\nsha256 = " ABC
				  "\n[model_registry.m]\npath = deep/model.gguf\n");
	const char *text;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "verify", NULL), 1);
	assert_string_equal(text, "2 of 3 models are not as the config says");
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "verify", "gemma3:latest", NULL), 1);
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "verify", "late", NULL), 1);
	assert_int_equal(ch_test_command(t, &text, "model_registry", "models", "verify", "m", NULL), 0);
	assert_string_equal(text, "m  not compared: its section has no sha256; found " MILLION "\n");
	ch_test_free(t);
}

static void who_gives_up_while_the_pool_reads_leaves_nothing_behind(void **state)
{
	struct ch_test *t = begin(ROWS);

	(void)state;
	ch_test_offload(t, CH_TEST_MANUAL);
	assert_int_equal(ch_test_command(t, NULL, "model_registry", "models", "verify", NULL), -1);
	assert_int_equal(ch_test_offload_run(t), 1); /* the look; now the first file is asked for */
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(manifests_come_in_the_order_of_the_config, each),
		cmocka_unit_test_setup(an_older_user_s_manifest_is_filled_as_far_as_it_goes, each),
		cmocka_unit_test_setup(what_the_config_may_not_say_is_told_with_its_line, each),
		cmocka_unit_test_setup(two_names_of_one_file_are_fine_if_said, each),
		cmocka_unit_test_setup(a_missing_file_is_said_once_and_noticed_when_it_comes, each),
		cmocka_unit_test_setup(without_a_pool_the_check_says_what_was_seen_last, each),
		cmocka_unit_test_setup(the_list_is_a_table, each),
		cmocka_unit_test_setup(what_is_asked_for_wrongly_is_refused, each),
		cmocka_unit_test_setup(files_that_are_as_the_config_says_are_0, each),
		cmocka_unit_test_setup(any_that_is_not_is_1, each),
		cmocka_unit_test_setup(who_gives_up_while_the_pool_reads_leaves_nothing_behind, each),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
