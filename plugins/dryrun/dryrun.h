/* SPDX-License-Identifier: Apache-2.0 */
/* dryrun.h - what the files of this backend share: its config and its state. */
#ifndef DRYRUN_H
#define DRYRUN_H

#include <stdatomic.h>

#include <chimera/backend.h>

enum { DRYRUN_TOOLS_NAMED, DRYRUN_TOOLS_OFFERED, DRYRUN_TOOLS_NEVER };

struct dryrun_conf {
	struct ch_backend_conf backend;
	int64_t seed;
	int64_t answer_tokens;
	int64_t dimensions;                /* of an embedding */
	int tool_calls;                    /* DRYRUN_TOOLS_… */
	int64_t latency, latency_jitter;   /* ms */
	double tokens_per_second;
	double fail, hang;                 /* shares of the calls */
	int fail_code;                     /* index of dryrun_fail_codes */
	int64_t fail_after;                /* tokens of a stream */
	struct ch_list faulty_models;      /* whom fail and hang strike; none: all */
};

struct dryrun_state {
	struct ch_inference_about about;   /* written by check, read-only after */
	atomic_uint_fast64_t calls;        /* so far: what the next one's luck is drawn from */
};

/* What befalls a call. */
struct dryrun_fate {
	int64_t latency;                   /* microseconds to the first token */
	bool hang;                         /* nothing ever comes */
	enum ch_code code;                 /* 0: it does not fail; else how … */
	int status;                        /* … with which status … */
	uint64_t after;                    /* … behind how many tokens of a stream */
};

/* The names of the option fail_code, ended by NULL. */
extern const char *const dryrun_fail_codes[];

/*
 * Draws the luck of the next call from the seed and its number, so that a run of calls one after the other comes out the same each time.
 * Asks the vendor seam, too. `model`: "" for a probe.
 */
struct dryrun_fate dryrun_draw(const struct ch_svc *svc, struct ch_ctx *c, const char *model);

/* Fills *out with the failure of that fate. */
void dryrun_failed(const struct ch_svc *svc, struct ch_ctx *c, const struct dryrun_fate *fate, struct ch_inference_result *out);

#endif
