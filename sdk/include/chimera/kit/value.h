/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/value.h - which values a database is given: the rules of value.h, looked at in one place. Since 0.4.
 *
 *     const char *why = ch_value_fault(&row[i], column->type);
 *     if (why)
 *             detail = ch_print(c, "The value of %s %s.", column->name, why);
 */
#ifndef CHIMERA_KIT_VALUE_H
#define CHIMERA_KIT_VALUE_H

#include <chimera/value.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CH_TIME_MIN (-INT64_C(62135596800000000)) /* 0001-01-01T00:00:00Z, in microseconds */
#define CH_TIME_MAX INT64_C(253402300799999999)   /* 9999-12-31T23:59:59.999999Z */

/* [any] Is it well-formed UTF-8 without a NUL? */
bool ch_utf8(const char *p, size_t n);
/*
 * [any] Why the value must not go to a column of that enum ch_value_type: words that stand behind the column's name, static text. NULL: it
 * may. A null of the column's type is fine here: whether the column may be null is the caller's business.
 */
const char *ch_value_fault(const struct ch_value *v, int type);

#ifdef __cplusplus
}
#endif
#endif
