/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rowbinary.h - rows in ClickHouse's format RowBinary. Pure; any thread.
 *
 * A row is its values one behind the other, all numbers little-endian: Int64 and Float64 in 8 bytes, UInt8 in one, String with its length
 * as LEB128 before it, UUID as two 64-bit numbers, the first half of its text first. Nullable(X): a byte 1 and no more for a null, a byte 0
 * and then X.
 */
#ifndef CLICK_ROWBINARY_H
#define CLICK_ROWBINARY_H

#include <chimera/value.h>

#define CLICK_COLUMNS_MAX 64

/* How many bytes a value takes, `nullable` as its column in the table is. */
size_t click_rb_size(const struct ch_value *v, bool nullable);
/* Writes it; the end. There is room for click_rb_size. */
char *click_rb_put(char *to, const struct ch_value *v, bool nullable);
/* The same for an id that is never null: 16 bytes. */
char *click_rb_put_uuid(char *to, const unsigned char id[16]);
void click_rb_get_uuid(const char *p, unsigned char id[16]);
/*
 * Reads a value of that enum ch_value_type; texts point into the bytes. How many bytes it took; 0: they do not hold a whole one.
 */
size_t click_rb_get(const char *p, size_t n, int type, bool nullable, struct ch_value *v);

#endif
