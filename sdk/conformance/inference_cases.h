/* SPDX-License-Identifier: MIT */
/*
 * inference_cases.h - a case of the conformance suite of "inference/1": one call, or several of the same kind at once, what is done to it
 * meanwhile, and what it must come to. What holds for every call is judged for each (see inference.c).
 */
#ifndef CONFORM_INFERENCE_CASES_H
#define CONFORM_INFERENCE_CASES_H

#include <chimera/inference.h>

/* Which model is asked for: one that an option of conform_inference names; DEFAULT: none. */
enum { MODEL = 0, DEFAULT, EMBEDDING, UNKNOWN, HANGS, BREAKS };
enum { NEVER = 0, AT_ONCE, IN_SINK, PAUSED, LATER }; /* when it is cancelled */
enum { ONCE = 1, EACH };                  /* the sink says AGAIN: to the first delta, to each */
enum { ABOUT = -1 };                      /* in place of an op: what the provider says of itself */
#define CODE(c) (UINT64_C(1) << (c))
#define ANY_CODE (~UINT64_C(1))

struct row {
	const char *name;                 /* group/case */
	/* What is asked. */
	int op;                           /* 0: CH_I_CHAT */
	int model;
	bool sink;
	bool openai, usage;               /* as an OpenAI client wrote it; it asked for the usage in the stream */
	bool odd;                         /* text that is hard to write down */
	bool somebody;                    /* args.backend names somebody */
	unsigned messages;                /* 0: 1 */
	unsigned needs;                   /* with openai: TOOLS offers one, FORMAT wants JSON */
	int64_t first, idle, total;       /* timeouts, milliseconds; 0: none is said */
	/* What is done meanwhile. */
	int cancel;
	int pause;
	int64_t deadline;                 /* of the ctx, milliseconds */
	unsigned at_once;                 /* so many such calls on all loops together; 0: one, on the run's own */
	unsigned rounds;                  /* so often; the memory in use is compared after the first and the last one */
	/* What must come of it. */
	uint64_t codes;                   /* CODE(…); 0: an answer */
	int64_t least;                    /* it takes so long, milliseconds, and no more than the slack longer; 0: not looked at */
};

extern const struct row rows[];
extern const size_t nrows;

#endif
