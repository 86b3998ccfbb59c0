/* SPDX-License-Identifier: MIT */
#include <chimera/kit/time.h>

#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000)
#define DAY (86400 * SECOND)

/* Days since 1970-01-01 of a date of the Gregorian calendar, and back: by eras of 400 years that begin in March. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400;
	unsigned of_era = (unsigned)(y - era * 400), of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + (int64_t)(of_era * 365 + of_era / 4 - of_era / 100 + of_year) - 719468;
}

static void date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned of_era = (unsigned)(z - era * 146097);
	unsigned years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * years + years / 4 - years / 100), m = (5 * of_year + 2) / 153;

	*day = of_year - (153 * m + 2) / 5 + 1;
	*month = m < 10 ? m + 3 : m - 9;
	*year = (int64_t)years + era * 400 + (*month <= 2);
}

const char *ch_time_text(int64_t us, char out[CH_TIME_CHARS])
{
	int64_t days = us / DAY - (us % DAY < 0), rest = (us % DAY + DAY) % DAY, year;
	unsigned month, day, second = (unsigned)(rest / SECOND), part = (unsigned)(rest % SECOND);
	int n;

	date_of(days, &year, &month, &day);
	if (year < 1 || year > 9999)
		return "-";
	n = snprintf(out, CH_TIME_CHARS, "%04u-%02u-%02uT%02u:%02u:%02u", (unsigned)year, month, day, second / 3600, second / 60 % 60,
		second % 60);
	snprintf(out + n, CH_TIME_CHARS - (size_t)n, part ? ".%06uZ" : "Z", part);
	return out;
}

/* Exactly n digits at *p, which goes behind them. */
static bool digits(const char **p, const char *end, unsigned n, unsigned *out)
{
	*out = 0;
	if ((size_t)(end - *p) < n)
		return false;
	for (; n; n--, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		*out = *out * 10 + (unsigned)(**p - '0');
	}
	return true;
}

static bool is(const char **p, const char *end, const char *any)
{
	if (*p == end || !**p || !strchr(any, **p))
		return false;
	(*p)++;
	return true;
}

/* "30d": from now. */
static bool from_now(const char *p, const char *end, int64_t now, int64_t *us)
{
	int64_t n = 0, unit;

	if (p == end)
		return false;
	for (; p < end && *p >= '0' && *p <= '9' && n < 1000000; p++)
		n = n * 10 + (*p - '0');
	if (p + 1 != end || !n)
		return false;
	unit = *p == 'd' ? DAY : *p == 'h' ? 3600 * SECOND : *p == 'm' ? 60 * SECOND : *p == 's' ? SECOND : 0;
	*us = now + n * unit;
	return unit;
}

static bool is_date(unsigned year, unsigned month, unsigned day)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	if (!year || month < 1 || month > 12 || day < 1)
		return false;
	return day <= days[month - 1] || (month == 2 && day == 29 && leap);
}

bool ch_time_read(const char *p, size_t n, int64_t now, int64_t *us)
{
	const char *end = p + n;
	unsigned year, month, day, hour = 0, minute = 0, second = 0, zone_hour = 0, zone_minute = 0;
	int64_t part = 0, zone = 0;

	if (from_now(p, end, now, us))
		return true;
	if (!digits(&p, end, 4, &year) || !is(&p, end, "-") || !digits(&p, end, 2, &month) || !is(&p, end, "-") || !digits(&p, end, 2,
		&day) ||
		!is_date(year, month, day))
		return false;
	if (p < end) {
		if (!is(&p, end, "Tt ") || !digits(&p, end, 2, &hour) || !is(&p, end, ":") || !digits(&p, end, 2, &minute) ||
			!is(&p, end, ":") || !digits(&p, end, 2, &second) || hour > 23 || minute > 59 || second > 59)
			return false;
		if (is(&p, end, ".")) {
			int64_t place = SECOND / 10;

			if (p == end || *p < '0' || *p > '9')
				return false;
			for (; p < end && *p >= '0' && *p <= '9'; p++, place /= 10)
				part += (*p - '0') * place;
		}
		if (!is(&p, end, "Zz")) {
			int sign = p < end && *p == '-' ? -1 : 1;

			if (!is(&p, end, "+-") || !digits(&p, end, 2, &zone_hour) || !is(&p, end, ":") || !digits(&p, end, 2,
				&zone_minute) ||
				zone_hour > 23 || zone_minute > 59)
				return false;
			zone = sign * (int64_t)(zone_hour * 3600 + zone_minute * 60) * SECOND;
		}
	}
	*us = days_of(year, month, day) * DAY + (int64_t)(hour * 3600 + minute * 60 + second) * SECOND + part - zone;
	return p == end;
}
