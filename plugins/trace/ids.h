/* SPDX-License-Identifier: Apache-2.0 */
/* ids.h - request, trace and span ids as text. Pure functions, any thread; random bits are the caller's. */
#ifndef TRACE_IDS_H
#define TRACE_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQ_ID_MAX 128
#define UUID_LEN 36

/*
 * May a client's X-Request-Id be taken over? 1 to 128 of A-Z a-z 0-9 . _ : / + = @ - : nothing that could split a header, a log line or a
 * query.
 */
bool req_id_ok(const char *p, size_t n);

/* The 16 lower hex digits of v, no NUL. */
void hex64(char out[16], uint64_t v);

/* A UUID version 7 (RFC 9562, 5.7) and a NUL: 48 bits of milliseconds since the epoch, 12 bits of a, 62 bits of b. */
void uuid7(char out[UUID_LEN + 1], uint64_t ms, uint64_t a, uint64_t b);

#endif
