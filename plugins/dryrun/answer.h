/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - what is answered: words, words inside of a JSON object, or the call of a tool; whole or piece by piece, the same bytes both
 * ways. A struct dryrun_answer lives in the ctx's arena and belongs to its loop.
 */
#ifndef DRYRUN_ANSWER_H
#define DRYRUN_ANSWER_H

#include "dryrun.h"
#include "tools.h"
#include "words.h"

#define DRYRUN_PIECE_MAX 256 /* bytes of a piece */

struct dryrun_answer {
	struct dryrun_words words;
	uint64_t total;            /* pieces: a token each */
	uint64_t made;
	uint64_t room;             /* bytes of words that are left: a text of `stop` ends them */
	bool json;                 /* the words stand in a JSON object */
	struct dryrun_tool tool;   /* name.n 0: none is called */
	size_t at;                 /* of its arguments */
	struct ch_str head;        /* its first piece */
};

/* The digest that an answer is made from: of the seeds, the model and the n messages from `m` on. */
uint64_t dryrun_digest(const struct dryrun_conf *conf, const struct ch_inference_args *args, const char *model, const struct ch_message *m,
	size_t n);

/* Finds out what the answer is, and fills in finish_reason. False: out has a code. */
bool dryrun_answer_begin(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, struct dryrun_answer *a,
	struct ch_inference_result *out);

/* Makes the next piece (made < total), whose text lies in buf or in the ctx. */
void dryrun_answer_piece(struct dryrun_answer *a, char buf[DRYRUN_PIECE_MAX], struct ch_inference_delta *out);

/* Makes all of it: text or tool_calls, and tokens_out. CH_OK; without memory out has a code. */
int dryrun_answer_whole(struct ch_ctx *c, struct dryrun_answer *a, struct ch_inference_result *out);

#endif
