/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a keys file: what it means, what is wrong with it, and how it is changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "edit.h"
#include "lines.h"

#define H1 "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* of abc, FIPS 180-4 */
#define H2 "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" /* its second example */

static const struct ch_str names[] = { CH_STR("anonymous"), CH_STR("api_key"), CH_STR("premium"), CH_STR("admin") };
static const struct ch_list tiers = { names, 4 };

static char said[4096];

static void say(void *arg, unsigned line, const char *why)
{
	size_t n = strlen(said);

	(void)arg;
	snprintf(said + n, sizeof(said) - n, "%u: %s\n", line, why);
}

static bool read_text(const char *text, struct auth_rows *rows)
{
	*said = 0;
	return auth_rows_read(text, strlen(text), &tiers, say, NULL, rows);
}

/* The one sentence that such a text gets. */
static const char *fault(const char *text)
{
	struct auth_rows rows;

	assert_false(read_text(text, &rows));
	assert_int_equal(rows.n, 0);
	said[strlen(said) - 1] = 0;
	return said;
}

static void a_key_is_what_its_section_says(void **state)
{
	struct auth_rows rows;
	const struct ch_key *k;

	(void)state;
	assert_true(read_text("; keys of the house\r\n[team-a]\nhash = " H1 "\n  tier=premium ; paid\nrole = admin\nowner = a@b.example\n"
		"expires = 2027-01-31T12:00:00Z\nmodels = gpt-4o, Qwen/*\nroutes = /v1/chat/completions\nnetworks = 10.0.0.0/8, ::1\n"
		"backends = openai\nlimits = requests=100/min tokens=5/s\ndisabled = yes\nnote = \"say \\\"x\\\" \\\\\"\n\n[b]\nhash = " H2, &rows));
	assert_int_equal(rows.n, 2);
	k = &rows.v[0].entry.key;
	assert_string_equal(k->id, "team-a");
	assert_int_equal(rows.v[0].entry.sha256[0], 0xba);
	assert_int_equal(rows.v[0].entry.sha256[31], 0xad);
	assert_string_equal(k->tier, "premium");
	assert_int_equal(k->role, CH_ROLE_ADMIN);
	assert_string_equal(k->owner, "a@b.example");
	assert_int_equal(k->expires, INT64_C(1801396800000000)); /* date -u -d 2027-01-31T12:00:00Z +%s */
	assert_string_equal(k->models, "gpt-4o, Qwen/*");
	assert_string_equal(k->routes, "/v1/chat/completions");
	assert_string_equal(k->networks, "10.0.0.0/8, ::1");
	assert_string_equal(k->backends, "openai");
	assert_string_equal(k->limits, "requests=100/min tokens=5/s");
	assert_true(k->disabled);
	assert_string_equal(rows.v[0].note, "say \"x\" \\");
	k = &rows.v[1].entry.key;
	assert_string_equal(k->tier, "");
	assert_int_equal(k->role, CH_ROLE_USER);
	assert_int_equal(k->expires, 0);
	assert_false(k->disabled);
	auth_rows_free(&rows);
}

static void an_empty_file_has_no_keys(void **state)
{
	struct auth_rows rows;

	(void)state;
	assert_true(read_text("", &rows));
	assert_int_equal(rows.n, 0);
	auth_rows_free(&rows);
	assert_true(read_text("\n# nothing\n;\n\n", &rows));
	auth_rows_free(&rows);
}

static void what_is_wrong_is_told_by_line_key_and_nearest_name(void **state)
{
	static const char *const faults[][2] = {
		{ "[a]\nhash = " H1 "\nhsah = x\n", "3: [a] there is no 'hsah', did you mean hash?: a key has hash, prefix, owner, tier, role, expires, "
			"disabled, models, routes, backends, networks, limits, created, note" },
		{ "[a]\n", "1: [a] has no hash: `chimeractl keys create` makes a key and writes it" },
		{ "hash = " H1 "\n", "1: 'hash' stands before the first [name]" },
		{ "[a]\nhash = abc\n", "2: [a] hash must be sha256: and 64 hexadecimal digits, as `chimeractl keys create` writes it" },
		{ "[a]\nhash = " H1 "0\n", "2: [a] hash must be sha256: and 64 hexadecimal digits, as `chimeractl keys create` writes it" },
		{ "[a]\nhash = sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
			"2: [a] hash is that of an empty key, which anyone can show" },
		{ "[a]\nhash = " H1 "\ntier = premum\n",
			"3: [a] tier is 'premum', did you mean premium?: there are anonymous, api_key, premium, admin ([auth] tiers)" },
		{ "[a]\nhash = " H1 "\nrole = root\n", "3: [a] role is 'root': there are none, user and admin" },
		{ "[a]\nhash = " H1 "\nexpires = 30d\n",
			"3: [a] expires must be a date or a time, as in 2027-01-31 or 2027-01-31T12:00:00Z, or never" },
		{ "[a]\nhash = " H1 "\nexpires = 1960-01-01\n",
			"3: [a] expires must be a date or a time, as in 2027-01-31 or 2027-01-31T12:00:00Z, or never" },
		{ "[a]\nhash = " H1 "\ndisabled = maybe\n", "3: [a] disabled must be yes or no" },
		{ "[a]\nhash = " H1 "\nnetworks = 10.0.0.0/8, 10.0.0.0/33\n",
			"3: [a] networks holds '10.0.0.0/33', which is no network: write 10.0.0.0/8, 192.168.1.7 or 2001:db8::/32" },
		{ "[a]\nhash = " H1 "\nmodels = a,,b\n", "3: [a] models has an empty item: write names by comma, or leave it out to allow all" },
		{ "[a]\nhash = " H1 "\nmodels = a,\n", "3: [a] models has an empty item: write names by comma, or leave it out to allow all" },
		{ "[a]\nhash = " H1 "\nroutes = /v1/*/x\n", "3: [a] routes holds '/v1/*/x': a * stands for the rest of a name, so it comes last" },
		{ "[a]\nhash = " H1 "\nmodels =\n", "3: [a] models is empty: write names by comma, or leave it out to allow all" },
		{ "[a]\nhash = " H1 "\nroutes = \"\"\n", "3: [a] routes is empty: write names by comma, or leave it out to allow all" },
		{ "[a]\nhash = " H1 "\nbackends = \"  \"\n", "3: [a] backends is empty: write names by comma, or leave it out to allow all" },
		{ "[a]\nhash = " H1 "\nnetworks = ; none\n", "3: [a] networks is empty: write names by comma, or leave it out to allow all" },
		{ "[a]\nhash = " H1 "\nexpires =\n",
			"3: [a] expires must be a date or a time, as in 2027-01-31 or 2027-01-31T12:00:00Z, or never" },
		{ "[a]\nhash = " H1 "\nroutes = /v1/*, v1/ask\n",
			"3: [a] routes holds 'v1/ask', which no route is: write patterns that begin with /, as in /v1/chat/*" },
		{ "[a]\nhash = " H1 "\nnetworks = 10.0.0.1/8\n",
			"3: [a] networks holds '10.0.0.1/8', an address within a network: write 10.0.0.0/8 for the network, "
			"or 10.0.0.1 for the address alone" },
		{ "[a]\nhash = " H1 "\nnetworks = 2001:db8:7::1/47\n",
			"3: [a] networks holds '2001:db8:7::1/47', an address within a network: "
			"write 2001:db8:6::/47 for the network, "
			"or 2001:db8:7::1 for the address alone" },
		{ "[a]\nhash = " H1 "\nlimits = foo\n",
			"3: [a] limits holds 'foo': there are requests, burst, tokens, token_burst and concurrent, by blanks, "
			"as in requests=100/min burst=20" },
		{ "[a]\nhash = " H1 "\nlimits = requests=1/min reqests=1/min\n",
			"3: [a] limits holds 'reqests=1/min': there are requests, burst, tokens, token_burst and concurrent, by blanks, "
			"as in requests=100/min burst=20" },
		{ "[a]\nhash = " H1 "\nlimits = request=1/min\n",
			"3: [a] limits holds 'request=1/min': there are requests, burst, tokens, token_burst and concurrent, by blanks, "
			"as in requests=100/min burst=20" },
		{ "[a]\nhash = " H1 "\nlimits = \"\"\n",
			"3: [a] limits is empty: write requests, burst, tokens, token_burst and concurrent, by blanks, "
			"as in requests=100/min burst=20, or leave it out for those of its tier" },
		{ "[a]\nhash = " H1 "\nlimits = requests=5\n",
			"3: [a] limits holds 'requests=5': requests must be a rate, as in 100/min, 5/s, 0 or unlimited" },
		{ "[a]\nhash = " H1 "\nlimits = tokens=\n",
			"3: [a] limits holds 'tokens=': tokens must be a rate, as in 100/min, 5/s, 0 or unlimited" },
		{ "[a]\nhash = " H1 "\nlimits = requests=1/min burst=0\n",
			"3: [a] limits holds 'burst=0': burst must be a whole number from 1 on" },
		{ "[a]\nhash = " H1 "\nlimits = token_burst=1.5\n",
			"3: [a] limits holds 'token_burst=1.5': token_burst must be a whole number from 1 on" },
		{ "[a]\nhash = " H1 "\nlimits = concurrent=-1\n",
			"3: [a] limits holds 'concurrent=-1': concurrent must be a whole number from 0 on, or unlimited" },
		{ "[a]\nhash = " H1 "\nowner = a b\n", "3: [a] owner must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -" },
		{ "[a b]\nhash = " H1 "\n", "1: [a b]: a name is 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -" },
		{ "[]\nhash = " H1 "\n", "1: []: a name is 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -" },
		{ "[api_key]\nhash = " H1 "\n", "1: [api_key] is what the config's own key is called: take another name" },
		{ "[a]\nhash = " H1 "\nhash = " H1 "\n", "3: [a] hash is there twice" },
		{ "[a]\nhash = " H1 "\nnote = \"x\n",
			"3: [a] note: quotes go around the whole value, and inside of them \\\" and \\\\ stand for \" and \\" },
		{ "[a\n", "1: a section is written [name]: the ] is missing" },
		{ "[a] x\n", "1: there is something behind the ]: put it on a line of its own" },
		{ "[a]\nhash = " H1 "\nwhat\n", "3: this is neither [name], nor key = value, nor a comment" },
		{ "[a]\nhash = " H1 "\nnote = a\x1b\n", "3: there is a control character in this line: leave it out" },
		{ "[a]\nhash = " H1 "\n[a]\nhash = " H2 "\n", "3: [a] has the name of line 1: leave one" },
		{ "[a]\nhash = " H1 "\n[b]\nhash = " H1 "\n", "3: [b] has the same hash as the key in line 1: leave one" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		assert_string_equal(fault(faults[i][0]), faults[i][1]);
}

/* As ratelimit's own test of the grammar has them. */
static void limits_that_ratelimit_reads_are_good(void **state)
{
	static const char *const good[] = { "requests=100/min burst=20 tokens=1000/min token_burst=2000 concurrent=5", "concurrent=unlimited",
		"tokens=unlimited", "requests=0", "concurrent=0", "\"\tburst=1  requests=2.5/s \"", "requests=off" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct auth_rows rows;
		char text[512];

		snprintf(text, sizeof(text), "[a]\nhash = " H1 "\nlimits = %s\n", good[i]);
		if (!read_text(text, &rows))
			fail_msg("%s: %s", good[i], said);
		auth_rows_free(&rows);
	}
}

static void all_that_is_wrong_is_told_at_once(void **state)
{
	(void)state;
	assert_string_equal(fault("[a]\nrole = root\ntier = x\n[b]\nhash = " H1 "\ndisabled = 7\n"),
		"2: [a] role is 'root': there are none, user and admin\n"
		"3: [a] tier is 'x': there are anonymous, api_key, premium, admin ([auth] tiers)\n"
		"1: [a] has no hash: `chimeractl keys create` makes a key and writes it\n"
		"6: [b] disabled must be yes or no");
}

/* A NUL, no line end, and each beginning of a good text: read or refused, within its bounds (the sanitizers look on). */
static void no_text_is_read_beyond_its_end(void **state)
{
	static const char text[] = "[team-a]\nhash = " H1 " ; c\nnote = \"a \\\" b\"\nmodels = a, b*\n[b]\nhash=" H2 "\nnetworks=::1\n";

	(void)state;
	for (size_t n = 0; n <= sizeof(text); n++) {
		char *copy = malloc(n);
		struct auth_rows rows;

		memcpy(copy, text, n);
		*said = 0;
		if (auth_rows_read(copy, n, &tiers, say, NULL, &rows))
			auth_rows_free(&rows);
		free(copy);
	}
}

/* ---- changes ---- */

static struct auth_row row_of(const char *id, const char *note)
{
	struct auth_row r = { .prefix = "ck_abcd", .note = note, .created = INT64_C(1801396800000000) };
	struct ch_str abc = CH_STR("abc");

	r.entry.key = (struct ch_key){ .id = id, .owner = "o", .tier = "", .role = CH_ROLE_USER, .models = "a,b", .routes = "", .backends = "",
		.networks = "", .limits = "" };
	ch_sha256(&abc, 1, r.entry.sha256);
	return r;
}

static void a_new_key_is_a_section_at_the_end(void **state)
{
	struct auth_row r = row_of("new", "; \"x\"");
	size_t n = strlen("# top\n[old]");
	char *out = auth_edit_add("# top\n[old]", &n, &r);

	(void)state;
	assert_string_equal(out, "# top\n[old]\n\n[new]\nhash = " H1 "\nprefix = ck_abcd\nowner = o\nmodels = a,b\n"
		"created = 2027-01-31T12:00:00Z\n"
		"note = \"; \\\"x\\\"\"\n");
	assert_int_equal(n, strlen(out));
	free(out);
	n = 0;
	out = auth_edit_add("", &n, &r);
	assert_memory_equal(out, "[new]\n", 6);
	struct auth_rows rows;

	assert_true(read_text(out, &rows)); /* and is read back as it was meant */
	assert_string_equal(rows.v[0].note, "; \"x\"");
	assert_memory_equal(rows.v[0].entry.sha256, r.entry.sha256, CH_SHA256);
	auth_rows_free(&rows);
	free(out);
}

static void a_change_leaves_all_else_as_it_is(void **state)
{
	static const char text[] = "# top\n[a]\nhash = x ; old\n\n; of b\n[b]\nhash = y\n  disabled =   no  # soon\n# end";
	size_t n = strlen(text);
	char *out;

	(void)state;
	assert_true(auth_edit_has(text, n, "b"));
	assert_false(auth_edit_has(text, n, "c"));
	out = auth_edit_set(text, &n, "b", "disabled", "yes");
	assert_string_equal(out, "# top\n[a]\nhash = x ; old\n\n; of b\n[b]\nhash = y\n  disabled =   yes  # soon\n# end");
	free(out);
	n = strlen(text);
	out = auth_edit_set(text, &n, "a", "disabled", "yes");
	assert_string_equal(out, "# top\n[a]\nhash = x ; old\ndisabled = yes\n\n; of b\n[b]\nhash = y\n  disabled =   no  # soon\n# end");
	assert_int_equal(n, strlen(out));
	free(out);
	n = strlen("[a]");
	out = auth_edit_set("[a]", &n, "a", "hash", "z");
	assert_string_equal(out, "[a]\nhash = z\n");
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_what_its_section_says),
		cmocka_unit_test(an_empty_file_has_no_keys),
		cmocka_unit_test(what_is_wrong_is_told_by_line_key_and_nearest_name),
		cmocka_unit_test(limits_that_ratelimit_reads_are_good),
		cmocka_unit_test(all_that_is_wrong_is_told_at_once),
		cmocka_unit_test(no_text_is_read_beyond_its_end),
		cmocka_unit_test(a_new_key_is_a_section_at_the_end),
		cmocka_unit_test(a_change_leaves_all_else_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
