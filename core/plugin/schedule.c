/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/schedule.h"

#include "core/conf/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool number(const char **p, unsigned *v)
{
	const char *s = *p;
	*v = 0;
	while (**p >= '0' && **p <= '9' && *p - s < 4)
		*v = *v * 10 + (unsigned)(*(*p)++ - '0');
	return *p > s;
}

/* One field: a list of ranges with steps. */
static bool field(const char *p, unsigned low, unsigned high, uint64_t *bits)
{
	*bits = 0;
	for (;;) {
		unsigned a = low, b = high, step = 1;
		bool range = true;
		if (*p == '*') {
			p++;
		} else {
			if (!number(&p, &a))
				return false;
			range = *p == '-';
			b = a;
			if (range && (p++, !number(&p, &b)))
				return false;
		}
		if (*p == '/' && (!range || (p++, !number(&p, &step)) || !step))
			return false;
		if (a < low || b > high || a > b)
			return false;
		for (unsigned v = a; v <= b; v += step)
			*bits |= UINT64_C(1) << v;
		if (!*p)
			return true;
		if (*p++ != ',')
			return false;
	}
}

static bool line(struct chi_schedule *s, char *text, char *why, size_t cap)
{
	static const struct {
		const char *name;
		unsigned low, high;
	} fields[] = { { "minute", 0, 59 }, { "hour", 0, 23 }, { "day of the month", 1, 31 }, { "month", 1, 12 }, { "day of the week", 0, 7 } };
	uint64_t bits[5];
	char *save = NULL, *word = strtok_r(text, " \t", &save);
	for (unsigned i = 0; i < 5; i++, word = strtok_r(NULL, " \t", &save)) {
		if (!word) {
			snprintf(why, cap, "has %u fields: a duration like 5m, or five fields 'minute hour day month weekday' (UTC)", i);
			return false;
		}
		if (!field(word, fields[i].low, fields[i].high, &bits[i])) {
			snprintf(why, cap, "has '%.32s' as %s: allowed are *, numbers from %u to %u, ranges a-b, lists by comma, steps /n behind * or a range",
			         word, fields[i].name, fields[i].low, fields[i].high);
			return false;
		}
		if (i == 2)
			s->any_day = *word == '*';
		if (i == 4)
			s->any_weekday = *word == '*';
	}
	if (word) {
		snprintf(why, cap, "has more than five fields: 'minute hour day month weekday' (UTC)");
		return false;
	}
	s->minutes = bits[0];
	s->hours = (uint32_t)bits[1];
	s->days = (uint32_t)bits[2];
	s->months = (uint32_t)bits[3];
	s->weekdays = (uint32_t)((bits[4] | bits[4] >> 7) & 127);
	return true;
}

bool chi_schedule_parse(struct chi_schedule *s, const char *text, char *why, size_t cap)
{
	memset(s, 0, sizeof *s);
	while (*text == ' ')
		text++;
	if (!*text)
		return true;
	if (!strchr(text, ' ') && !strchr(text, '\t')) {
		static const struct ch_option duration = { .name = "when", .type = CH_T_DURATION, .min = "1ms" };
		struct chi_value v;
		char sentence[160];
		if (chi_value_read(&duration, text, &v, sentence, sizeof sentence)) {
			s->every_ms = v.i;
			return true;
		}
		snprintf(why, cap, "is '%.40s': a duration of at least 1ms like 30s, 5m or 1d, or five crontab fields 'minute hour day month weekday' (UTC)",
		         text);
		return false;
	}
	char *copy = strdup(text);
	bool ok = copy && line(s, copy, why, cap);
	free(copy);
	return ok;
}

static bool day_fits(const struct chi_schedule *s, const struct tm *t)
{
	bool day = s->days >> t->tm_mday & 1, weekday = s->weekdays >> t->tm_wday & 1;
	return !s->any_day && !s->any_weekday ? day || weekday : day && weekday;
}

int64_t chi_schedule_next(const struct chi_schedule *s, int64_t wall)
{
	time_t t = (time_t)(wall / 1000000) / 60 * 60 + 60, end = t + 8 * 366 * 86400L;
	while (s->minutes && t < end) {
		struct tm tm;
		gmtime_r(&t, &tm);
		if (!(s->months >> (tm.tm_mon + 1) & 1) || !day_fits(s, &tm))
			t = t / 86400 * 86400 + 86400; /* UTC days have 86,400 s since the epoch */
		else if (!(s->hours >> tm.tm_hour & 1))
			t = t / 3600 * 3600 + 3600;
		else if (!(s->minutes >> tm.tm_min & 1))
			t += 60;
		else
			return (int64_t)t * 1000000;
	}
	return 0;
}
