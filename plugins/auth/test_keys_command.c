/* SPDX-License-Identifier: Apache-2.0 */
/* chimeractl keys over a keys file: what is written there, what is shown once, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "test_door.h"

#include "auth.h"
#include "file.h"

static char *text_of_file(void)
{
	static char text[8192];
	FILE *f = fopen(door_file, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = 0;
	if (f)
		fclose(f);
	return text;
}

/* The key that a command has shown. */
static const char *shown(const char *text, char header[96])
{
	const char *key = strstr(text, "key  ");

	assert_non_null(key);
	snprintf(header, 96, "x-api-key: %.46s\n", key + 5);
	assert_memory_equal(key + 5, "ck_", 3);
	return header;
}

/* So that what a command does counts by itself, and not by the thread that watches. */
static struct ch_test *unwatched(const char *lines)
{
	struct ch_test *t = door_with_file(lines);

	auth_file_end(((struct auth *)ch_test_self(t, "auth")->state)->file);
	return t;
}

static void a_key_is_made_shown_once_and_good(void **state)
{
	struct ch_test *t = unwatched("");
	char header[96];
	const char *text;
	struct stat st;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "create", "ann", "name=team-a", "tier=premium", "role=none", "expires=30d",
		"models=gpt-*, o3", "note=of Ann; \"x\"", "--any-owner", NULL), 0);
	shown(text, header);
	assert_non_null(strstr(text, "id   team-a\n"));
	assert_null(strstr(text_of_file(), header + 11)); /* it is nowhere */
	assert_non_null(strstr(text_of_file(), "[team-a]\nhash = sha256:"));
	assert_non_null(strstr(text_of_file(), "\nowner = ann\ntier = premium\nrole = none\nexpires = 2026-01-31T00:00:00Z\nmodels = gpt-*, o3\n"
		"created = 2026-01-01T00:00:00Z\nnote = \"of Ann; \\\"x\\\"\"\n"));
	assert_int_equal(stat(door_file, &st), 0);
	assert_int_equal(st.st_mode & 0733, 0600); /* others may read it, as far as the umask lets them */
	assert_string_equal(door_body(t, "/in", header), "team-a ann premium 0 -");
	assert_false(ch_test_logged(t, header + 11));
	ch_test_free(t);
}

static void a_key_is_revoked_and_another_put_in_its_place(void **state)
{
	struct ch_test *t = unwatched("failures = unlimited\n");
	char header[96], other[96], id[64];
	const char *text;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "create", "ann", NULL), 0);
	shown(text, header);
	assert_int_equal(sscanf(text, "id %63s", id), 1);
	assert_memory_equal(id, "key_", 4);
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "rotate", id, NULL), 0);
	shown(text, other);
	assert_int_equal(door_status(t, "/in", header), 401);
	assert_int_equal(door_status(t, "/in", other), 200);
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "revoke", id, NULL), 0);
	assert_non_null(strstr(text, "is revoked: here at once, and within a second"));
	assert_int_equal(door_status(t, "/in", other), 401);
	ch_test_free(t);
}

static void keys_are_listed(void **state)
{
	struct ch_test *t;
	const char *text;
	char file[4096];

	(void)state;
	snprintf(file, sizeof(file), "%s%s%s", door_section("a", "1", "owner = ann\nexpires = 2027-01-31\nprefix = ck_1234\n"),
		door_section("c", "3", "owner = cy\nexpires = 2025-12-31\nmodels = gpt-*, o3\nroutes = /v1/*\nbackends = b\nnetworks = ::1\n"
			"limits = requests=5/min\n"),
		door_section("b", "2", "owner = bob\ntier = premium\nrole = admin\ndisabled = yes\nnote = x y\n"));
	door_write(file);
	t = door_with_file("");
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "list", NULL), 0);
	assert_string_equal(text,
		"id  prefix   owner  tier     role   expires                      disabled  note  limited to\n"
		"a   ck_1234  ann    api_key  user   2027-01-31T00:00:00Z         no        -     -\n"
		"c   -        cy     api_key  user   2025-12-31T00:00:00Z (over)  no        -     models=gpt-*, o3; routes=/v1/*; backends=b; "
		"networks=::1; limits=requests=5/min\n"
		"b   -        bob    premium  admin  -                            yes       x y   -\n");
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "list", "owner=bob", NULL), 0);
	assert_null(strstr(text, "ann"));
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "list", "--json", "owner=cy", NULL), 0);
	assert_string_equal(text, "{\"id\":\"c\",\"prefix\":\"\",\"owner\":\"cy\",\"tier\":\"api_key\",\"role\":\"user\","
		"\"limits\":\"requests=5/min\",\"models\":\"gpt-*, o3\",\"routes\":\"/v1/*\",\"backends\":\"b\",\"networks\":\"::1\","
		"\"expires\":\"2025-12-31T00:00:00Z\",\"disabled\":false,\"created\":null,\"note\":\"\"}\n");
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "list", "--json", NULL), 0);
	assert_non_null(strstr(text, "}\n{\"id\":\"b\",\"prefix\":\"\",\"owner\":\"bob\",\"tier\":\"premium\",\"role\":\"admin\""));
	assert_non_null(strstr(text, "\"expires\":null,\"disabled\":true,\"created\":null,\"note\":\"x y\"}\n"));
	ch_test_free(t);
}

static void a_key_that_lets_nobody_in_says_so_when_it_is_rotated(void **state)
{
	struct ch_test *t;
	const char *text;
	char file[4096];

	(void)state;
	snprintf(file, sizeof(file), "%s%s%s", door_section("off", "1", "disabled = yes\n"), door_section("old", "2", "expires = 2025-12-31\n"),
		door_section("on", "3", ""));
	door_write(file);
	t = door_with_file("");
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "rotate", "off", NULL), 0);
	assert_non_null(strstr(text, "It is still disabled: nobody comes in with it before 'disabled = no' stands in [off] of "));
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "rotate", "old", NULL), 0);
	assert_non_null(strstr(text, "It has still expired (2025-12-31T00:00:00Z): nobody comes in with it before [old] of "));
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "rotate", "on", NULL), 0);
	assert_null(strstr(text, "still"));
	ch_test_free(t);
}

static void who_asks_for_help_gets_it_and_no_key(void **state)
{
	static const char *const words[][4] = { { "create", "--help" }, { "create", "x", "-h" }, { "--help" }, { "revoke", "-h" } };
	struct ch_test *t = door_with_file("");
	const char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		assert_int_equal(ch_test_command(t, &text, "auth", "keys", words[i][0], words[i][1], words[i][2], NULL), 0);
		assert_non_null(strstr(text, "keys create OWNER [name=…]"));
		assert_non_null(strstr(text, "keys revoke ID\n"));
		assert_int_not_equal(access(door_file, F_OK), 0);
	}
	ch_test_free(t);
}

static void what_is_wrong_is_refused_and_changes_nothing(void **state)
{
	static const struct { const char *words[4], *why; } wrong[] = {
		{ { "creat", "x" }, "'creat' is none of list, create, revoke, rotate: did you mean create?" },
		{ { "create" }, "'keys create' takes OWNER" },
		{ { "create", "a b" }, "owner must be 1 to 128 of the characters" },
		{ { "create", "" }, "owner must not be empty" },
		{ { "create", "x", "tier=premum" }, "tier is 'premum', did you mean premium?" },
		{ { "create", "x", "trie=premium" }, "there is no 'trie', did you mean tier?" },
		{ { "create", "x", "premium" }, "'premium' has no '=' in it" },
		{ { "create", "x", "hash=sha256:0" }, "hash is not yours to give" },
		{ { "create", "-x" }, "owner '-x' begins with -" },
		{ { "create", "x", "models=" }, "models is empty: write names by comma, or leave it out to allow all" },
		{ { "create", "x", "routes=" }, "routes is empty" },
		{ { "create", "x", "backends= " }, "backends is empty" },
		{ { "create", "x", "networks=" }, "networks is empty" },
		{ { "create", "x", "limits=" }, "limits is empty" },
		{ { "create", "x", "expires=" }, "expires must be a time as in" },
		{ { "create", "x", "expires=2025-12-31" }, "expires is over already (2025-12-31): give a time to come" },
		{ { "create", "x", "limits=reqests=1/min" }, "limits holds 'reqests=1/min': there are requests, burst, tokens" },
		{ { "create", "x", "routes=v1/ask" }, "routes holds 'v1/ask', which no route is: write patterns that begin with /" },
		{ { "create", "x", "networks=10.0.0.1/8" }, "write 10.0.0.0/8 for the network, or 10.0.0.1 for the address alone" },
		{ { "create", "x", "expires=soon" }, "expires must be a time as in" },
		{ { "create", "x", "note=a\nb" }, "note holds a control character" },
		{ { "create", "x", "name=a" }, "there is a key a already" },
		{ { "create", "x", "name=a]\n[b" }, "name must be 1 to 128 of the characters" },
		{ { "create", "x", "name=api_key" }, "name must be 1 to 128 of the characters" },
		{ { "create", "x", "networks=10.0.0.0/64" }, "which is no network" },
		{ { "revoke", "b" }, "there is no key b in " },
		{ { "rotate", "b" }, "there is no key b in " },
		{ { "list", "tier=x" }, "is no filter of this list" },
	};
	struct ch_test *t;
	char *before;

	(void)state;
	door_write(door_section("a", "1", "; kept\n"));
	t = door_with_file("");
	before = strdup(text_of_file());
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *const *w = wrong[i].words;
		const char *text;

		assert_int_equal(ch_test_command(t, &text, "auth", "keys", w[0], w[1], w[2], NULL), 1);
		if (!strstr(text, wrong[i].why))
			fail_msg("%s: %s", wrong[i].why, text);
		assert_string_equal(text_of_file(), before);
	}
	free(before);
	ch_test_free(t);
}

static void a_wrong_file_is_mended_by_hand_first(void **state)
{
	struct ch_test *t;
	const char *text;

	(void)state;
	door_write(door_section("a", "1", ""));
	t = door_with_file("");
	door_write("[a]\nhsah = 1\n");
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "create", "x", NULL), 1);
	assert_non_null(strstr(text, "keys.ini:2: [a] there is no 'hsah', did you mean hash?"));
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "list", NULL), 1);
	assert_string_equal(text_of_file(), "[a]\nhsah = 1\n");
	ch_test_free(t);
}

static void without_a_file_there_is_nothing_to_write_to(void **state)
{
	struct ch_test *t = door_open("");
	const char *text;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "list", NULL), 1);
	assert_non_null(strstr(text, "[auth] has no keys_file to look into"));
	ch_test_free(t);
}

static void who_owns_the_file_keeps_it_and_a_link_stays_one(void **state)
{
	struct ch_test *t;
	const char *text;
	char real[112];
	struct stat st;

	(void)state;
	snprintf(real, sizeof(real), "%s/real.ini", door_folder);
	door_write(door_section("a", "1", ""));
	assert_int_equal(rename(door_file, real), 0);
	assert_int_equal(chmod(real, 0640), 0);
	assert_int_equal(symlink("real.ini", door_file), 0);
	t = door_with_file("");
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "revoke", "a", NULL), 0);
	assert_int_equal(lstat(door_file, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(real, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_non_null(strstr(text_of_file(), "disabled = yes"));
	ch_test_free(t);
	unlink(real);
}

static void a_folder_that_cannot_be_written_is_told(void **state)
{
	char lines[128];
	const char *text;
	struct ch_test *t;

	(void)state;
	snprintf(lines, sizeof(lines), "keys_file = %s/no/such/keys.ini\n", door_folder);
	t = door_open(lines);
	ch_test_sweep_off(t); /* as in door_with_file */
	assert_int_equal(ch_test_command(t, &text, "auth", "keys", "create", "x", NULL), 1);
	assert_non_null(strstr(text, "cannot be locked for a change: No such file or directory"));
	ch_test_free(t);
}

static void who_may_not_write_is_told_who_may(void **state)
{
	bool root = geteuid() == 0;
	struct ch_test *t;
	const char *text;
	int rc;

	(void)state;
	door_write(door_section("a", "1", ""));
	t = door_with_file("");
	assert_int_equal(chmod(door_folder, 0555), 0);
	assert_int_equal(root ? seteuid(65534) : 0, 0); /* nobody */
	rc = ch_test_command(t, &text, "auth", "keys", "create", "x", NULL);
	assert_int_equal(root ? seteuid(0) : 0, 0);
	assert_int_equal(chmod(door_folder, 0700), 0);
	assert_int_equal(rc, 1);
	assert_non_null(strstr(text, "keys.ini cannot be changed by the user "));
	assert_non_null(strstr(text, "(Permission denied): run `chimeractl --offline keys …` as one who may"));
	assert_null(strstr(text_of_file(), "owner"));
	ch_test_free(t);
}

int main(void)
{
#define WITH_FILE(f) cmocka_unit_test_setup_teardown(f, door_setup, door_teardown)
	const struct CMUnitTest tests[] = {
		WITH_FILE(a_key_is_made_shown_once_and_good),
		WITH_FILE(a_key_is_revoked_and_another_put_in_its_place),
		WITH_FILE(keys_are_listed),
		WITH_FILE(a_key_that_lets_nobody_in_says_so_when_it_is_rotated),
		WITH_FILE(who_asks_for_help_gets_it_and_no_key),
		WITH_FILE(what_is_wrong_is_refused_and_changes_nothing),
		WITH_FILE(a_wrong_file_is_mended_by_hand_first),
		cmocka_unit_test(without_a_file_there_is_nothing_to_write_to),
		WITH_FILE(who_owns_the_file_keeps_it_and_a_link_stays_one),
		WITH_FILE(a_folder_that_cannot_be_written_is_told),
		WITH_FILE(who_may_not_write_is_told_who_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
