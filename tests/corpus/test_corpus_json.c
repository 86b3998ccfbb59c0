/* SPDX-License-Identifier: MIT */
/* The scanner against nst/JSONTestSuite: what must be refused is, what must be accepted is, and nothing crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "corpus.h"

static char *file;
static size_t file_len;

/* Runs all documents that expect `expect`; returns how many there are and counts the accepted ones. Names those with the answer `wrong`. */
static int run(const char *expect, int wrong, int *accepted)
{
	const char *p = file, *line;
	size_t len, doc_len, pos;
	int total = 0;

	*accepted = 0;
	while (corpus_line(&p, file + file_len, &line, &len)) {
		struct ch_json_tok tok;
		const char *error = "";
		char *doc;
		bool valid;

		if (!corpus_member(line, len, "expect", &tok) || !ch_json_eq(&tok, expect))
			continue;
		assert_true(corpus_member(line, len, "b64", &tok));
		doc = corpus_base64(tok.s, tok.len, &doc_len);
		valid = ch_json_valid(doc, doc_len, 0, 0, &pos, &error);
		free(doc);
		total++;
		*accepted += valid;
		if (valid == wrong) {
			assert_true(corpus_member(line, len, "name", &tok));
			print_error("%.*s must be %sed: %s\n", (int)tok.len, tok.s, expect, error);
		}
	}
	print_message("%s: %d documents, %d accepted, %d refused\n", expect, total, *accepted, total - *accepted);
	return total;
}

static void no_invalid_document_is_accepted(void **state)
{
	int accepted;

	(void)state;
	assert_int_equal(run("reject", true, &accepted), 188);
	assert_int_equal(accepted, 0);
}

static void no_valid_document_is_refused(void **state)
{
	int accepted;

	(void)state;
	assert_int_equal(run("accept", false, &accepted), 95);
	assert_int_equal(accepted, 95);
}

/* These are numbers beyond a double (well-formed, so accepted), broken encodings, a BOM and 500 levels (all refused). */
static void disputed_documents_do_no_harm(void **state)
{
	int accepted;

	(void)state;
	assert_int_equal(run("either", -1, &accepted), 35);
	assert_int_equal(accepted, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_invalid_document_is_accepted),
		cmocka_unit_test(no_valid_document_is_refused),
		cmocka_unit_test(disputed_documents_do_no_harm),
	};
	int failed;

	file = corpus_read("jsontestsuite.jsonl", &file_len);
	if (!file)
		return corpus_absent();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(file);
	return failed;
}
