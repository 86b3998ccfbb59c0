/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script.h - the Lua scripts: one for each operation, so that each is one round trip and nothing comes between its parts.
 *
 * What stands in Redis, each under the prefix and the key:
 *   a value     string  "v", the version as 16 and the TTL in ms as 9 hex digits, then the bytes
 *   a counter   string  "c", the number, ":", the TTL in ms
 *   a bucket    string  "t", then lack, time (us), refill, token, unit (us) and burst, each behind a ":" but the first
 *   holders     zset    of each one's name the end (us); of "" the latest time that was seen, negative
 *   an upload   string  a large value on its way to its key, for a minute at most
 * TTLs are written down beside Redis' own so that a clock that steps back prolongs nothing beyond them.
 */
#ifndef KR_SCRIPT_H
#define KR_SCRIPT_H

#include <stddef.h>

enum kr_op { KR_GET = 0, KR_SET, KR_DEL, KR_ADD, KR_TAKE, KR_SETTLE, KR_OPS };
enum kr_script_id { KR_S_GET = 0, KR_S_SET, KR_S_DEL, KR_S_ADD, KR_S_TAKE, KR_SCRIPTS };
enum { KR_VALUE_HEAD = 26 };              /* bytes before those of a value */

struct kr_script {
	const char *text;
	size_t n;
	char sha[41];                     /* of the text, as EVALSHA wants it */
};
extern struct kr_script kr_scripts[KR_SCRIPTS];

/* Names the scripts; once, before any is used. False: OpenSSL has no SHA-1. */
_Bool kr_scripts_init(void);

#endif
