/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/decimal.h - decimals without a sign and the rates that are made of them, as configs write them. Pure functions, any thread.
 * Since 0.5.
 */
#ifndef CHIMERA_KIT_DECIMAL_H
#define CHIMERA_KIT_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_DECIMAL_PLACES 18

/* digits * 10^-places. */
struct ch_decimal {
	int64_t digits;                   /* 0 to 10^18 - 1 */
	int places;                       /* 0 to CH_DECIMAL_PLACES */
	bool point;                       /* one was written */
};

/*
 * Reads one from the beginning of the n bytes: digits, and a point with digits on both of its sides. Returns how many bytes it is long; 0:
 * there is none, or it has more than 18 digits.
 */
size_t ch_decimal_read(const char *p, size_t n, struct ch_decimal *out);
/* 10^places, for places from 0 to CH_DECIMAL_PLACES. */
int64_t ch_decimal_ten(int places);
/* As a double: exactly rounded while the digits are below 2^53, because each of these powers of ten is a double. */
double ch_decimal_real(const struct ch_decimal *);

/*
 * Reads a rate: "10/s", "100/min", "5/h", "0", or "unlimited", "off" and "none". All n bytes are it. *per_second: what comes to a second,
 * as an option of type CH_T_RATE holds it and ch_bucket_rate_from (kit/bucket.h) takes it; -1: unlimited. False: it is no rate;
 * *per_second is 0.
 */
bool ch_rate_read(const char *p, size_t n, double *per_second);

#ifdef __cplusplus
}
#endif
#endif
