/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/plugin/schedule.h - when a task by the clock is due: a duration ("5m"), or a line of crontab(5) in UTC: minute, hour, day of the
 * month, month, day of the week (0-7, 0 and 7 are Sunday); each *, a number, a range a-b, a list by comma, a step /n behind * or a range.
 * As in crontab, if both days are restricted either one makes it due. Names of days and months are not known. Pure functions.
 */
#ifndef CHI_SCHEDULE_H
#define CHI_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chi_schedule {
	int64_t every_ms;     /* > 0: so long after the last end; else: */
	uint64_t minutes;     /* bit n: minute n */
	uint32_t hours, days, months, weekdays;
	bool any_day, any_weekday; /* the field was * */
};

/* False, and a sentence in why: what is wrong and what is allowed. An empty text is never due: every field 0. */
bool chi_schedule_parse(struct chi_schedule *s, const char *text, char *why, size_t cap);
/* The next time after `wall` (microseconds since the epoch, UTC) that a crontab line is due; 0: never within eight years. */
int64_t chi_schedule_next(const struct chi_schedule *s, int64_t wall);

#endif
