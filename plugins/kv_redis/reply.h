/* SPDX-License-Identifier: Apache-2.0 */
/* reply.h - what Redis and our scripts answer, read. Pure. */
#ifndef KR_REPLY_H
#define KR_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <chimera/kv.h>

/* What went wrong: the label `reason` of chimera_kv_errors_total, and a row of kr_troubles. */
enum kr_trouble {
	KR_FINE = 0,
	/* said by Redis */
	KR_NOSCRIPT, KR_WRONG_KIND, KR_FULL, KR_READONLY, KR_LOADING, KR_BUSY, KR_MASTERDOWN, KR_CLUSTER, KR_AUTH, KR_DENIED, KR_REFUSED,
	KR_SCRIPT,
	/* seen by us */
	KR_RANGE, KR_TIMEOUT, KR_LOST, KR_DOWN, KR_CROWDED, KR_GARBAGE, KR_MEMORY, KR_CANCELLED, KR_FAULT, KR_BAD_REQUEST, KR_TROUBLES
};

struct kr_trouble_row {
	const char *reason;
	int error;                        /* enum ch_kv_error: of a call that was told so; LOST and TIMEOUT: see kr_call_lost */
	bool fails;                       /* it counts against the server */
	bool ends;                        /* the connection is of no use any more: it is made anew */
	const char *detail;               /* for people, also of the operation */
};
extern const struct kr_trouble_row kr_troubles[KR_TROUBLES];

/* What an error reply says ("OOM command not allowed …"), also one that a script was stopped by. Never KR_FINE. */
enum kr_trouble kr_error_read(const char *p, size_t n);

/*
 * The first byte of what a script answers: '1' done, '0' not done, 'B' not done, since what would be told is too long; behind it the rest,
 * without the value. 0: *trouble says what it is: of another kind, out of range, no room, or nothing that a script of ours says.
 */
char kr_mark_read(const char *p, size_t n, enum kr_trouble *trouble);

/* What stands there, behind the mark: nothing, or version, TTL and value, a part of p. False: garbage. */
struct kr_value {
	uint64_t version;                 /* 0: nothing stands there */
	int64_t ttl_ms;
	struct ch_str value;
};
bool kr_value_read(const char *p, size_t n, struct kr_value *v);
/* A counter and its TTL, behind the mark. */
bool kr_counter_read(const char *p, size_t n, int64_t *number, int64_t *ttl_ms);
/* So many levels, behind the mark. */
bool kr_levels_read(const char *p, size_t n, struct ch_kv_level *v, size_t count);

#endif
