/* SPDX-License-Identifier: MIT */
/* Response heads, as the answer to a GET and to a HEAD: which of them it was only changes what is said of the body. */
#include "fuzz_head.h"

static enum ch_h1_rc parse_get(struct ch_h1_head *head, const char *p, size_t n)
{
	return ch_h1_parse_response(head, &fuzz_limits, CH_H1_GET, p, n);
}

static enum ch_h1_rc parse_head(struct ch_h1_head *head, const char *p, size_t n)
{
	return ch_h1_parse_response(head, &fuzz_limits, CH_H1_HEAD, p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome get;
	struct outcome head;

	fuzz_head(&get, parse_get, data, size);
	fuzz_head(&head, parse_head, data, size);
	FUZZ_CHECK(get.rc == head.rc);
	if (get.rc == CH_H1_ERROR)
		FUZZ_CHECK(get.head.status == 502);
	if (get.rc != CH_H1_DONE)
		return 0;
	fuzz_check_text(&get, data, get.head.reason);
	FUZZ_CHECK(get.head.status >= 100 && get.head.status <= 599);
	FUZZ_CHECK(head.head.body == CH_H1_BODY_NONE);
	if (get.head.status < 200 || get.head.status == 204 || get.head.status == 304)
		FUZZ_CHECK(get.head.body == CH_H1_BODY_NONE);
	else
		FUZZ_CHECK(get.head.body != CH_H1_BODY_NONE);
	FUZZ_CHECK(get.head.body != CH_H1_BODY_CLOSE || !get.head.keep_alive);
	return 0;
}
