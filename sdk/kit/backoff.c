/* SPDX-License-Identifier: MIT */
/* backoff.c - backoff, Retry-After and the budget of retries. */
#include <string.h>

#include "chimera/kit/backoff.h"

#define MILLION 1000000

/* ---- backoff ---- */

int64_t ch_backoff(int64_t base_us, int64_t cap_us, unsigned int attempt)
{
	if (base_us <= 0 || cap_us <= 0)
		return 0;
	return attempt < 63 && base_us <= cap_us >> attempt ? base_us << attempt : cap_us;
}

/* A number from lo to hi, lo <= hi. The remainder favours some by less than (hi - lo) / 2^64: a millionth for waits of 200 days. */
static int64_t between(int64_t lo, int64_t hi, uint64_t random)
{
	return lo + (int64_t)(random % ((uint64_t)(hi - lo) + 1));
}

int64_t ch_backoff_full(int64_t base_us, int64_t cap_us, unsigned int attempt, uint64_t random)
{
	return between(0, ch_backoff(base_us, cap_us, attempt), random);
}

int64_t ch_backoff_decorrelated(int64_t base_us, int64_t cap_us, int64_t before_us, uint64_t random)
{
	int64_t most;

	if (base_us < 0)
		base_us = 0;
	if (cap_us <= base_us)
		return cap_us > 0 ? cap_us : 0;
	if (before_us < base_us)
		before_us = base_us;
	if (__builtin_mul_overflow(before_us, 3, &most) || most > cap_us)
		most = cap_us;
	return between(base_us, most, random);
}

/* ---- numbers ---- */

static int64_t clamp(int64_t v, int64_t min, int64_t max)
{
	return v < min ? min : v > max ? max : v;
}

/* DIGIT+ [ "." DIGIT* ] in units of unit_us, rounded down to a microsecond; saturates. -1: it is none. */
static int64_t number(const char *s, size_t n, int64_t unit_us)
{
	int64_t v = 0, part;
	size_t i = 0;

	for (; i < n && s[i] >= '0' && s[i] <= '9'; i++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, s[i] - '0', &v))
			v = INT64_MAX;
	if (!i)
		return -1;
	if (__builtin_mul_overflow(v, unit_us, &v))
		v = INT64_MAX;
	if (i < n && s[i] == '.') {
		for (i++, part = unit_us; i < n && s[i] >= '0' && s[i] <= '9'; i++) {
			part /= 10;
			if (__builtin_add_overflow(v, part * (s[i] - '0'), &v))
				v = INT64_MAX;
		}
	}
	return i == n ? v : -1;
}

int64_t ch_retry_after_ms(const char *value, size_t n, int64_t min_us, int64_t max_us)
{
	int64_t v = number(value, n, 1000);

	return v < 0 ? -1 : clamp(v, min_us, max_us);
}

/* ---- dates ---- */

/* What is still to be read; NULL: something did not fit. */
struct text {
	const char *p;
	size_t n;
};

static void literal(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (!t->p || t->n < n || memcmp(t->p, s, n)) {
		t->p = NULL;
		return;
	}
	t->p += n;
	t->n -= n;
}

/* Exactly so many digits. */
static int digits(struct text *t, size_t n)
{
	int v = 0;

	if (!t->p || t->n < n) {
		t->p = NULL;
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (t->p[i] < '0' || t->p[i] > '9') {
			t->p = NULL;
			return 0;
		}
		v = v * 10 + (t->p[i] - '0');
	}
	t->p += n;
	t->n -= n;
	return v;
}

/* Which of the names it is; they are case sensitive. */
static int name(struct text *t, const char *const *names, int count)
{
	for (int i = 0; i < count && t->p; i++) {
		size_t n = strlen(names[i]);

		if (t->n >= n && !memcmp(t->p, names[i], n)) {
			t->p += n;
			t->n -= n;
			return i;
		}
	}
	t->p = NULL;
	return 0;
}

static int month(struct text *t)
{
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

	return name(t, months, 12) + 1;
}

struct date {
	int year, month, day, hour, minute, second; /* month and day from 1; second to 60 */
};

static void clock_time(struct text *t, struct date *d)
{
	d->hour = digits(t, 2);
	literal(t, ":");
	d->minute = digits(t, 2);
	literal(t, ":");
	d->second = digits(t, 2);
}

/* Days of a common year before the month of that number, from 0. */
static const int before_month[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365 };

/* Days from 1970-01-01 to the first of January of a year of the Gregorian calendar, year >= 0. */
static int64_t days_to(int64_t year)
{
	int64_t y = year + 399; /* full years before it, counted from 400 years earlier: a whole cycle of 146,097 days */

	return y * 365 + y / 4 - y / 100 + y / 400 - 146097 - 719162;
}

/* Seconds since 1970; false: there is no such day or time. */
static bool seconds_of(const struct date *d, int64_t *out)
{
	bool leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);
	int february = leap && d->month == 2, length = before_month[d->month] - before_month[d->month - 1] + february;

	if (d->day < 1 || d->day > length || d->hour > 23 || d->minute > 59 || d->second > 60)
		return false;
	*out = (days_to(d->year) + before_month[d->month - 1] + (leap && d->month > 2) + d->day - 1) * 86400 +
		d->hour * 3600 + d->minute * 60 + d->second;
	return true;
}

/* Thu, 06 Nov 2014 08:49:37 GMT */
static void read_fixdate(struct text *t, struct date *d)
{
	literal(t, ", ");
	d->day = digits(t, 2);
	literal(t, " ");
	d->month = month(t);
	literal(t, " ");
	d->year = digits(t, 4);
	literal(t, " ");
	clock_time(t, d);
	literal(t, " GMT");
}

/* Thursday, 06-Nov-14 08:49:37 GMT; the year has two digits yet */
static void read_rfc850(struct text *t, struct date *d)
{
	literal(t, ", ");
	d->day = digits(t, 2);
	literal(t, "-");
	d->month = month(t);
	literal(t, "-");
	d->year = digits(t, 2);
	literal(t, " ");
	clock_time(t, d);
	literal(t, " GMT");
}

/* Thu Nov  6 08:49:37 2014 */
static void read_asctime(struct text *t, struct date *d)
{
	literal(t, " ");
	d->month = month(t);
	literal(t, " ");
	if (t->p && t->n && *t->p == ' ') {
		literal(t, " ");
		d->day = digits(t, 1);
	} else {
		d->day = digits(t, 2);
	}
	literal(t, " ");
	clock_time(t, d);
	literal(t, " ");
	d->year = digits(t, 4);
}

/* Gives a year of two digits its century: the latest in which the day is not more than 50 years ahead (RFC 9110, section 5.6.7). */
static void set_century(struct date *d, int64_t now)
{
	const int64_t fifty_years = 50 * 365 + 13; /* days, with as many leap days as there can be */
	int64_t today = clamp(now / 86400, 0, 3000000), day;

	d->year += (int)((1970 + today * 400 / 146097) / 100 * 100) + 200;
	do {
		d->year -= 100;
		day = days_to(d->year) + before_month[d->month - 1] + d->day - 1; /* be there such a day or not */
	} while (day > today + fifty_years);
}

/* An HTTP-date, as seconds since 1970. */
static bool http_date(const char *s, size_t n, int64_t now, int64_t *out)
{
	static const char *const weekdays[] = { "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday" };
	static const char *const short_weekdays[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
	struct text t = { s, n }, long_form = t;
	struct date d;

	name(&long_form, weekdays, 7);
	if (long_form.p) {
		t = long_form;
		read_rfc850(&t, &d);
		if (t.p)
			set_century(&d, now);
	} else {
		name(&t, short_weekdays, 7);
		if (t.p && t.n && *t.p == ',')
			read_fixdate(&t, &d);
		else
			read_asctime(&t, &d);
	}
	return t.p && !t.n && seconds_of(&d, out);
}

int64_t ch_retry_after(const char *value, size_t n, int64_t wall_us, int64_t min_us, int64_t max_us)
{
	int64_t v = number(value, n, MILLION);

	if (v < 0) {
		if (!http_date(value, n, wall_us / MILLION, &v))
			return -1;
		/* Years have four digits: only the difference can be too large. */
		if (__builtin_sub_overflow(v * MILLION, wall_us, &v))
			v = wall_us < 0 ? INT64_MAX : INT64_MIN;
	}
	return clamp(v, min_us, max_us);
}

/* ---- budget ---- */

void ch_retry_budget_init(struct ch_retry_budget *b, double share, uint32_t bank)
{
	/* NaN is 0. */
	b->share = share >= 1 ? MILLION : share > 0 ? (uint64_t)(share * MILLION + 0.5) : 0;
	b->most = (uint64_t)(bank ? bank : 1) * MILLION;
	b->left = (uint64_t)bank * MILLION;
}

void ch_retry_budget_request(struct ch_retry_budget *b)
{
	b->left = b->most - b->left > b->share ? b->left + b->share : b->most;
}

bool ch_retry_budget_take(struct ch_retry_budget *b)
{
	if (b->left < MILLION)
		return false;
	b->left -= MILLION;
	return true;
}

void ch_retry_budget_put_back(struct ch_retry_budget *b)
{
	b->left = b->most - b->left > MILLION ? b->left + MILLION : b->most;
}
