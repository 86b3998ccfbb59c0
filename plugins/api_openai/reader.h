/* SPDX-License-Identifier: Apache-2.0 */
/* reader.h - what the files that read a request share. All that returns bool: false after a refusal, *fault is filled. */
#ifndef API_OPENAI_READER_H
#define API_OPENAI_READER_H

#include "read.h"

struct reader {
	struct ch_ctx *c;
	struct ch_json j;
	struct ch_json_tok tok;     /* the token at hand */
	struct ch_str body;
	struct api_request *out;
	struct api_fault *fault;
	struct ch_message *messages; /* out->args.messages while it grows */
	char *texts;                /* a large body's room for decoded texts: what is left of it; NULL: not made yet */
	uint64_t seen;              /* bits of the table of members */
	bool usage;                 /* stream_options.include_usage */
};

/* ---- refusing: these return false ---- */

CH_PRINTF_(3, 4) bool api_refuse(struct reader *r, const char *param, const char *fmt, ...);
bool api_no_memory(struct reader *r);
bool api_twice(struct reader *r, const char *param);
/* "messages[2].role"; without memory "messages". */
CH_PRINTF_(3, 4) const char *api_path(struct reader *r, const char *otherwise, const char *fmt, ...);

/* ---- tokens ---- */

/* The next token into r->tok. */
bool api_next(struct reader *r);
/* Over the value whose first token is at hand; r->tok.end is behind it then. */
bool api_skip(struct reader *r);
/* Does the container that was just skipped, or the string at hand, hold nothing? */
bool api_empty(const struct reader *r);
/* Is the key or string at hand this one? */
static inline bool api_is(const struct reader *r, const char *name, size_t n)
{
	if (r->tok.escaped)
		return ch_json_eq(&r->tok, name);
	return r->tok.len == n && !memcmp(r->tok.s, name, n);
}
#define API_IS(r, lit) api_is(r, "" lit, sizeof(lit) - 1)

/* ---- values ---- */

/* Memory of the ctx for a text of the body, decoded: never longer than it was there, so a body's length has room for all. NULL: none. */
char *api_room(struct reader *r, size_t n);
/* The text of a string token, in place if it has no escapes. */
bool api_text(struct reader *r, const struct ch_json_tok *tok, struct ch_str *out);
bool api_bool(struct reader *r, const char *name, bool *out);
bool api_int(struct reader *r, const char *name, int64_t min, int64_t max, int64_t *out);
bool api_double(struct reader *r, const char *name, double min, double max, double *out);
/* One more message at the end; NULL after a refusal. `param`: of which member, when there are too many. */
struct ch_message *api_message(struct reader *r, const char *param);

/* ---- members with a grammar of their own ---- */

bool api_messages(struct reader *r, const char *name);
bool api_prompt(struct reader *r, const char *name);
bool api_input(struct reader *r, const char *name);
bool api_stop(struct reader *r, const char *name);

#endif
