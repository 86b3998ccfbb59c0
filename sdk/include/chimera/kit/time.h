/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/time.h - moments as people write them (RFC 3339), in microseconds since the epoch. Pure functions, any thread, no allocation.
 * Since 0.5.
 */
#ifndef CHIMERA_KIT_TIME_H
#define CHIMERA_KIT_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_TIME_CHARS 32                  /* bytes of a moment's text with its NUL */

/* In UTC, "2026-11-21T15:40:00Z", with six places behind the second if they are not 0; "-" outside of the years 1 to 9999. Returns it. */
const char *ch_time_text(int64_t us, char out[CH_TIME_CHARS]);
/*
 * The same back, n bytes; also with another zone, as a date alone, or as how long from `now`: "30d", "12h", "5m", "10s". False: it is neither;
 * *us is undefined.
 */
bool ch_time_read(const char *p, size_t n, int64_t now, int64_t *us);

#ifdef __cplusplus
}
#endif
#endif
