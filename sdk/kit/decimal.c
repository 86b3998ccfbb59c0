/* SPDX-License-Identifier: MIT */
/* decimal.c - see chimera/kit/decimal.h. */
#include <string.h>

#include "chimera/kit/decimal.h"

static const int64_t tens[CH_DECIMAL_PLACES + 1] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000,
	100000000000, 1000000000000, 10000000000000, 100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
	1000000000000000000 };

size_t ch_decimal_read(const char *p, size_t n, struct ch_decimal *out)
{
	struct ch_decimal d = { 0 };
	int written = 0;
	size_t i;

	*out = d;
	for (i = 0; i < n && ((p[i] >= '0' && p[i] <= '9') || (p[i] == '.' && !d.point && written)); i++) {
		if (p[i] == '.') {
			d.point = true;
			continue;
		}
		if (d.digits && ++written > CH_DECIMAL_PLACES)
			return 0;
		written = written ? written : 1;
		d.digits = d.digits * 10 + (p[i] - '0');
		d.places += d.point;
		if (d.places > CH_DECIMAL_PLACES)
			return 0;
	}
	if (!written || p[i - 1] == '.')
		return 0;
	*out = d;
	return i;
}

int64_t ch_decimal_ten(int places)
{
	return tens[places];
}

double ch_decimal_real(const struct ch_decimal *d)
{
	return (double)d->digits / (double)tens[d->places];
}

static bool is(const char *p, size_t n, const char *word)
{
	return n == strlen(word) && !memcmp(p, word, n);
}

bool ch_rate_read(const char *p, size_t n, double *per_second)
{
	static const struct { const char *name; int seconds; } units[] = { { "/s", 1 }, { "/min", 60 }, { "/h", 3600 } };
	struct ch_decimal d;
	size_t used, i;

	*per_second = 0;
	if (is(p, n, "unlimited") || is(p, n, "off") || is(p, n, "none")) {
		*per_second = -1;
		return true;
	}
	used = ch_decimal_read(p, n, &d);
	if (!used)
		return false;
	if (used == n)
		return !d.digits; /* 0 needs no unit */
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (is(p + used, n - used, units[i].name)) {
			*per_second = ch_decimal_real(&d) / units[i].seconds;
			return true;
		}
	}
	return false;
}
