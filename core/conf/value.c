/* SPDX-License-Identifier: Apache-2.0 */
/* value.c - numbers with their units, words, and what is said about them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <chimera/kit/decimal.h>
#include <chimera/kit/near.h>
#include "core/conf/value.h"

static const struct type {
	const char *name, *allowed;
	size_t size;
} types[] = {
	[CH_T_STR] = { "text", "a text", sizeof(const char *) },
	[CH_T_INT] = { "number", "a whole number", sizeof(int64_t) },
	[CH_T_BOOL] = { "yes/no", "yes or no", sizeof(bool) },
	[CH_T_DURATION] = { "duration", "a duration such as 250ms, 5s, 10m, 2h or 1d", sizeof(int64_t) },
	[CH_T_SIZE] = { "size", "a size such as 512, 64k, 10m or 1g", sizeof(int64_t) },
	[CH_T_RATE] = { "rate", "a rate such as 10/s, 100/min or 5/h", sizeof(double) },
	[CH_T_SHARE] = { "share", "a share such as 5%", sizeof(double) },
	[CH_T_DOUBLE] = { "decimal", "a number such as 2.5", sizeof(double) },
	[CH_T_ENUM] = { "word", "one of", sizeof(int) },
	[CH_T_LIST] = { "list", "a list by comma", sizeof(struct ch_list) },
	[CH_T_PATH] = { "path", "a path", sizeof(const char *) },
	[CH_T_DATA] = { "path", "a path below state_dir", sizeof(const char *) },
	[CH_T_SERVICE] = { "instance", "an instance id or auto", sizeof(const struct ch_svc *) },
	[CH_T_SERVICES] = { "instances", "instance ids by comma, * or none", sizeof(struct ch_svcs) },
};

static const struct type *type_of(const struct ch_option *o)
{
	return o->type >= CH_T_STR && o->type <= CH_T_SERVICES ? &types[o->type] : NULL;
}

const char *chi_value_type(const struct ch_option *o)
{
	return type_of(o) ? type_of(o)->name : "?";
}

size_t chi_value_size(const struct ch_option *o)
{
	return type_of(o) ? type_of(o)->size : 0;
}

/* Text that is put together in a buffer of fixed size; what does not fit is cut. */
struct line {
	char *p;
	size_t n, cap;
};

static void put(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->p + l->n, l->cap - l->n, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->n += (size_t)n < l->cap - l->n ? (size_t)n : l->cap - l->n - 1;
}

void chi_value_allowed(const struct ch_option *o, char *buf, size_t cap)
{
	struct line l = { buf, 0, cap };
	const char *const *v;

	buf[0] = '\0';
	put(&l, "%s", type_of(o) ? type_of(o)->allowed : "?");
	for (v = o->type == CH_T_ENUM ? o->values : NULL; v && *v; v++)
		put(&l, "%s%s", v == o->values ? ": " : ", ", *v);
	if (o->min && o->max)
		put(&l, " from %s to %s", o->min, o->max);
	else if (o->min)
		put(&l, " of at least %s", o->min);
	else if (o->max)
		put(&l, " of at most %s", o->max);
	if (o->flags & CH_O_OFF)
		put(&l, ", or %s", o->type == CH_T_RATE || o->type == CH_T_SIZE || o->type == CH_T_INT ? "unlimited" : "off");
}

int chi_value_bool(const char *s)
{
	static const char *const no[] = { "no", "false", "off", "0" }, *const yes[] = { "yes", "true", "on", "1" };
	size_t i;

	for (i = 0; i < 4; i++) {
		if (!strcasecmp(s, yes[i]))
			return 1;
		if (!strcasecmp(s, no[i]))
			return 0;
	}
	return -1;
}

/* d * unit as a whole number; false: it is none, or too large. */
static bool whole(const struct ch_decimal *d, int64_t unit, int64_t *out)
{
	int64_t v;

	if (__builtin_mul_overflow(d->digits, unit, &v)) {
		/* 1.500000000000000000d: take the zeroes away first */
		struct ch_decimal less = *d;

		if (!d->places || d->digits % 10)
			return false;
		less.digits /= 10;
		less.places--;
		return whole(&less, unit, out);
	}
	*out = v / ch_decimal_ten(d->places);
	return v % ch_decimal_ten(d->places) == 0;
}

struct unit { const char *name; int64_t size; };

/* The unit's size, or 0. */
static int64_t unit_of(const struct unit *units, const char *s)
{
	for (; units->name; units++)
		if (!strcmp(units->name, s))
			return units->size;
	return 0;
}

static bool read_int(const char *s, int64_t *out)
{
	uint64_t v = 0, most = INT64_MAX;
	bool minus = *s == '-';

	s += *s == '-' || *s == '+';
	if (!*s)
		return false;
	most += minus;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v) || v > most)
			return false;
	*out = minus ? (int64_t)(0 - v) : (int64_t)v;
	return !*s;
}

static bool read_number(int type, const char *s, struct chi_value *out)
{
	static const struct unit durations[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
		{ NULL, 0 } };
	static const struct unit sizes[] = { { "", 1 }, { "k", 1 << 10 }, { "m", 1 << 20 }, { "g", 1 << 30 }, { "K", 1 << 10 },
		{ "M", 1 << 20 }, { "G", 1 << 30 }, { NULL, 0 } };
	bool minus = type == CH_T_DOUBLE && *s == '-';
	struct ch_decimal d;
	int64_t unit;
	size_t used;

	if (type == CH_T_INT)
		return read_int(s, &out->i);
	if (type == CH_T_RATE)
		return ch_rate_read(s, strlen(s), &out->d) && out->d >= 0; /* whether "unlimited" is allowed is known elsewhere */
	s += minus;
	used = ch_decimal_read(s, strlen(s), &d);
	if (!used)
		return false;
	s += used;
	switch (type) {
	case CH_T_DURATION:
		unit = !d.digits && !*s ? 1 : unit_of(durations, s);
		return unit && whole(&d, unit, &out->i);
	case CH_T_SIZE:
		unit = unit_of(sizes, s);
		return unit && whole(&d, unit, &out->i);
	case CH_T_SHARE:
		if (strcmp(s, "%") && !(!*s && (d.point || !d.digits)))
			return false;
		out->d = *s ? (double)d.digits / ((double)ch_decimal_ten(d.places) * 100) : ch_decimal_real(&d);
		return out->d <= 1;
	default:
		out->d = minus ? -ch_decimal_real(&d) : ch_decimal_real(&d);
		return !*s;
	}
}

static bool in_bounds(const struct ch_option *o, const struct chi_value *v)
{
	bool is_real = o->type == CH_T_RATE || o->type == CH_T_SHARE || o->type == CH_T_DOUBLE;
	struct chi_value lim;

	if (o->min && read_number(o->type, o->min, &lim) && (is_real ? v->d < lim.d : v->i < lim.i))
		return false;
	return !(o->max && read_number(o->type, o->max, &lim) && (is_real ? v->d > lim.d : v->i > lim.i));
}

static bool read_enum(const struct ch_option *o, const char *s, struct chi_value *out, struct ch_near *near)
{
	int word = chi_value_bool(s), i, on = -1, off = -1;

	for (i = 0; o->values && o->values[i]; i++) {
		ch_near_offer(near, o->values[i]);
		if (!strcmp(o->values[i], "on"))
			on = i;
		if (!strcmp(o->values[i], "off"))
			off = i;
		if (!strcmp(o->values[i], s)) {
			out->i = i;
			return true;
		}
	}
	if (on < 0 || off < 0 || word < 0)
		return false;
	out->i = word ? on : off;
	return true;
}

/* What was found, what is allowed, what may have been meant. */
static bool refuse(const struct ch_option *o, const char *what, const char *near, char *why, size_t cap)
{
	char allowed[512];

	chi_value_allowed(o, allowed, sizeof(allowed));
	snprintf(why, cap, "%s; write %s%s%s%s", what, allowed, *near ? "; did you mean \"" : "", near, *near ? "\"?" : "");
	return false;
}

bool chi_value_read(const struct ch_option *o, const char *text, struct chi_value *out, char *why, size_t cap)
{
	struct ch_near near;
	int word;

	memset(out, 0, sizeof(*out));
	if (o->type == CH_T_ENUM) {
		ch_near_init(&near, text);
		return read_enum(o, text, out, &near) || refuse(o, *text ? "is not one of its words" : "is empty", near.best, why, cap);
	}
	if (o->type == CH_T_BOOL) {
		word = chi_value_bool(text);
		out->b = word == 1;
		return word >= 0 || refuse(o, *text ? "is neither yes nor no" : "is empty", "", why, cap);
	}
	if ((o->flags & CH_O_OFF) && (!strcmp(text, "off") || !strcmp(text, "unlimited") || !strcmp(text, "none"))) {
		out->i = -1;
		out->d = -1;
		return true;
	}
	if (!*text)
		return refuse(o, "is empty", "", why, cap);
	if (!read_number(o->type, text, out)) {
		char what[64];

		snprintf(what, sizeof(what), "cannot be read as a %s", chi_value_type(o));
		return refuse(o, what, "", why, cap);
	}
	return in_bounds(o, out) || refuse(o, "is out of bounds", "", why, cap);
}
