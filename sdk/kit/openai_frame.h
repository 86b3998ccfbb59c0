/* SPDX-License-Identifier: MIT */
/*
 * openai_frame.h - what an OpenAI server says: a chunk of its streams, or a whole answer. One scan over bytes that nobody may trust;
 * nothing is copied or allocated. Private to the kit.
 */
#ifndef CHIMERA_KIT_OPENAI_FRAME_H
#define CHIMERA_KIT_OPENAI_FRAME_H

#include <chimera/kit/json.h>
#include <chimera/plugin.h>

/* What was read. All texts and offsets lead into the bytes that were given. */
struct openai_frame {
	const char *why;              /* NULL: it is a JSON object that can be used; else a sentence's end: "is no JSON: …" */
	struct ch_str error;          /* JSON: the value of `error`, or all of an object that calls itself an error; n 0: it is none */
	bool choices;                 /* there is a member `choices` that is an array … */
	size_t nchoices;              /* … of so many */
	struct ch_json_tok text;      /* of the first choice: its content or text; type CH_JSON_END: it has none */
	struct ch_str tool_calls;     /* of the first choice: a JSON array; n 0: none */
	struct ch_json_tok finish;    /* of the first choice: its finish_reason; type CH_JSON_END: none yet */
	bool finished;                /* some choice has a finish_reason */
	bool usage;                   /* there is a usage: … */
	uint64_t tokens_in, tokens_out;
	size_t cut_at, cut_n;         /* the member `usage`, null or not, with the comma that must go with it; n 0: it is not there */
	size_t vectors;               /* elements of `data` that have an embedding, … */
	bool base64, floats;          /* … some of them as text, some as an array of numbers */
};

/* False: f->why says what is wrong, and the rest means nothing. */
bool openai_frame_read(const char *p, size_t n, struct openai_frame *f);

/*
 * The numbers of all embeddings of a whole answer that openai_frame_read has read, in order, as floats from malloc: *count vectors of
 * *dimensions numbers. NULL: there is no memory, or they cannot be read or have different lengths; *why (a sentence's end) tells which.
 */
float *openai_vectors(const char *p, size_t n, size_t *count, size_t *dimensions, const char **why);

#endif
