/* SPDX-License-Identifier: MIT */
/*
 * Retry-After: any bytes give -1 or a wait in range. A date that is accepted is written again by the C library and must be the same text;
 * a number is worked out digit by digit in another way. The first bytes of the input are the wall clock and the range; they serve as
 * arguments of the backoff functions too, whose results must lie where they belong.
 */
#include <stdbool.h>
#include <time.h>

#include "chimera/kit/backoff.h"
#include "fuzz.h"

#define MILLION 1000000

/* Is s[0..n) what the C library writes for this second, but for the weekday, which is any? */
static bool is_date(const char *s, size_t n, time_t then, const char *format)
{
	const char *behind = memchr(s, ' ', n);
	char text[80];
	struct tm tm;
	size_t len;

	FUZZ_CHECK(gmtime_r(&then, &tm) != NULL);
	if (!behind || !(len = strftime(text, sizeof(text), format, &tm)))
		return false;
	n -= (size_t)(behind - s);
	if (len == n && !memcmp(behind, text, n))
		return true;
	/* A year before 1000 is written short by the library. */
	return tm.tm_year + 1900 < 1000;
}

static void check_date(const char *s, size_t n, int64_t wall, int64_t wait)
{
	time_t then;

	FUZZ_CHECK(wait > INT64_MIN && wait < INT64_MAX);
	then = (time_t)((wall + wait) / MILLION);
	FUZZ_CHECK((wall + wait) % MILLION == 0);
	if (n > 11 && memmem(s, n, ":60", 3)) /* a leap second, which the library writes as the next minute */
		return;
	FUZZ_CHECK(is_date(s, n, then, " %d %b %Y %H:%M:%S GMT") || is_date(s, n, then, " %d-%b-%y %H:%M:%S GMT") ||
		   is_date(s, n, then, " %b %e %H:%M:%S %Y") || is_date(s, n, then, " %b %d %H:%M:%S %Y"));
	if (memchr(s, '-', n)) /* two digits of the year: not more than 50 years ahead, and less than 100 behind that */
		FUZZ_CHECK(then <= wall / MILLION + INT64_C(51) * 31556952 && then >= wall / MILLION - INT64_C(51) * 31556952);
}

/* The number as whole units and millionths of them; false: it is none. Too large a number is INT64_MAX units. */
static bool is_number(const char *s, size_t n, int64_t *units, int64_t *millionths)
{
	size_t whole = 0;

	while (whole < n && s[whole] >= '0' && s[whole] <= '9')
		whole++;
	*units = *millionths = 0;
	for (size_t i = 0; i < whole; i++)
		*units = *units > INT64_MAX / 10 - 10 ? INT64_MAX / 10 : *units * 10 + (s[i] - '0');
	if (whole < n && s[whole] != '.')
		return false;
	for (size_t i = 0; i < 6; i++)
		*millionths = *millionths * 10 + (whole + 1 + i < n ? s[whole + 1 + i] - '0' : 0);
	for (size_t i = whole + 1; i < n; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return whole > 0;
}

static void retry_after(const char *s, size_t n, int64_t wall, int64_t min, int64_t max)
{
	int64_t exact = ch_retry_after(s, n, wall, INT64_MIN, INT64_MAX), got = ch_retry_after(s, n, wall, min, max);
	int64_t ms = ch_retry_after_ms(s, n, min, max), units, millionths;

	if (is_number(s, n, &units, &millionths)) {
		int64_t v;

		if (units > INT64_MAX / MILLION || __builtin_add_overflow(units * MILLION, millionths, &v))
			v = INT64_MAX;
		FUZZ_CHECK(exact == v);
		v = units > INT64_MAX / 1000 || __builtin_add_overflow(units * 1000, millionths / 1000, &v) ? INT64_MAX : v;
		FUZZ_CHECK(ms == (v < min ? min : v > max ? max : v));
	} else {
		FUZZ_CHECK(ms == -1);
		if (got == -1) /* min and max are not below 0 */
			return;
		check_date(s, n, wall, exact);
	}
	FUZZ_CHECK(got == (exact < min ? min : exact > max ? max : exact));
}

static void backoff(int64_t base, int64_t cap, int64_t before, unsigned int attempt, uint64_t random)
{
	int64_t plain = ch_backoff(base, cap, attempt), full = ch_backoff_full(base, cap, attempt, random);
	int64_t other = ch_backoff_decorrelated(base, cap, before, random), want = base;

	if (base <= 0 || cap <= 0) {
		FUZZ_CHECK(plain == 0 && full == 0);
	} else {
		for (unsigned int i = 0; i < attempt && want < cap; i++)
			want = want > INT64_MAX / 2 ? INT64_MAX : want * 2;
		FUZZ_CHECK(plain == (want < cap ? want : cap));
		FUZZ_CHECK(full >= 0 && full <= plain);
	}
	FUZZ_CHECK(other >= 0 && other <= (cap > 0 ? cap : 0));
	if (base >= 0 && cap >= base)
		FUZZ_CHECK(other >= base && (double)other <= 3.0 * (double)(before > base ? before : base));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t head[3] = { 0 };
	size_t n = size < sizeof(head) ? size : sizeof(head);
	int64_t wall, min, max;
	char *s;

	memcpy(head, data, n);
	backoff(head[0], head[1], head[2], (unsigned int)fuzz_hash(data, n) % 70, fuzz_hash(data, size));
	/* Years 1970 to about 2300, so that the exact difference of any date fits. */
	wall = (int64_t)((uint64_t)head[0] % ((uint64_t)330 * 31556952 * MILLION));
	min = head[1] & INT64_MAX;
	max = head[2] & INT64_MAX;
	if (min > max) {
		min = max;
		max = head[1] & INT64_MAX;
	}
	s = fuzz_copy(data + n, size - n);
	retry_after(s, size - n, wall, min, max);
	FUZZ_CHECK(ch_retry_after(s, size - n, INT64_MIN, min, max) >= -1 && ch_retry_after(s, size - n, INT64_MAX, min, max) >= -1);
	free(s);
	return 0;
}
