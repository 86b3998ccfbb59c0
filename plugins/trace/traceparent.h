/* SPDX-License-Identifier: Apache-2.0 */
/* traceparent.h - W3C Trace Context (Recommendation, level 1) as text. Pure functions, any thread. */
#ifndef TRACE_TRACEPARENT_H
#define TRACE_TRACEPARENT_H

#include <stdbool.h>
#include <stddef.h>

#define TRACEPARENT_LEN 55      /* "00-" + 32 + "-" + 16 + "-" + 2 */
#define TRACESTATE_MAX 512      /* bytes that are passed on */

/* Both end with a NUL. */
struct traceparent {
	char trace_id[33];      /* lower hex, not all zero */
	char parent_id[17];
	bool sampled;
};

/*
 * Reads a header's value. Version 00 has exactly 55 bytes; of a later one the first 55 count, and what follows begins with '-'. False:
 * invalid (all-zero ids, version ff, upper case), *out is untouched.
 */
bool traceparent_parse(const char *p, size_t n, struct traceparent *out);

/* Writes version 00 and a NUL. The ids are 32 and 16 hex digits. */
void traceparent_format(char out[TRACEPARENT_LEN + 1], const char *trace_id, const char *span_id, bool sampled);

/* May this tracestate be passed on? 1 to 512 printable bytes, at most 32 members, each of them key=value. */
bool tracestate_ok(const char *p, size_t n);

#endif
