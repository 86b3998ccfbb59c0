/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/uuid.h - UUIDs of version 7 (RFC 9562): sixteen bytes whose order is the order of time. Since 0.4.
 *
 * Pure functions: no allocation, no global state, no clock and no random numbers of their own: both are handed in. Any thread; a
 * struct ch_uuid7 belongs to one thread, or to whoever holds the caller's lock.
 *
 *   unsigned char id[16];
 *   char text[CH_UUID_TEXT];
 *
 *   ch_uuid7(id, ch_wall(), ch_random(), ch_random());
 *   ch_uuid_text(id, text);                                   // "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
 */
#ifndef CHIMERA_KIT_UUID_H
#define CHIMERA_KIT_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_UUID_TEXT 37                   /* bytes of a UUID's text with its NUL */

/*
 * One UUID: the wall clock in microseconds since 1970 (its milliseconds are kept, 48 bits of them; a time before 1970 counts as 1970) and
 * 74 of the 128 random bits. Two calls in one millisecond have no order: see ch_uuid7_next.
 */
void ch_uuid7(unsigned char id[16], int64_t wall_us, uint64_t random1, uint64_t random2);

/* What was given last; all zero bytes at first. */
struct ch_uuid7 {
	unsigned char last[16];
};

/*
 * As ch_uuid7, and each id is greater than the one before it from the same state, also within a millisecond and when the clock steps back:
 * then the random part of the last one grows by a random step of 1 to 2^32 (RFC 9562, section 6.2, method 2), and carries into the time.
 */
void ch_uuid7_next(struct ch_uuid7 *state, unsigned char id[16], int64_t wall_us, uint64_t random1, uint64_t random2);

/* The milliseconds since 1970 that a UUID of version 7 was made with. */
int64_t ch_uuid7_ms(const unsigned char id[16]);

/* The text of any UUID: 36 characters in lower case, and a NUL. */
void ch_uuid_text(const unsigned char id[16], char text[CH_UUID_TEXT]);

/* From its text of exactly 36 characters, either case, any version. False: it is none, and id is as it was. */
bool ch_uuid_parse(const char *s, size_t n, unsigned char id[16]);

#ifdef __cplusplus
}
#endif
#endif
