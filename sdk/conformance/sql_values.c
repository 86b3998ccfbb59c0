/* SPDX-License-Identifier: MIT */
/*
 * sql_values.c - values that a provider of "sql/1" must give back as they were, and values that it must refuse by their number. A row a
 * value; sql_step.c makes the calls of it.
 */
#include <float.h>
#include <math.h>

#include "sql_cases.h"

#define DAY INT64_C(86400000000)
#define OK(name, column, ...) { name, column, __VA_ARGS__, 0, false }
#define BIG(name, column, size, ...) { name, column, __VA_ARGS__, size, false }
#define NO(name, column, ...) { name, column, __VA_ARGS__, 0, true }

const struct sql_value_case sql_value_cases[] = {

/* A whole number of 64 bits. */
OK("value/int-zero", "i", INT(0)),
OK("value/int-negative", "i", INT(-1)),
OK("value/int-min", "i", INT(INT64_MIN)),
OK("value/int-max", "i", INT(INT64_MAX)),
OK("value/int-beyond-double", "i", INT((INT64_C(1) << 53) + 1)),
OK("value/int-beyond-32-bits", "i", INT(INT64_C(-2147483649))),
OK("value/int-null", "i", NIL(INT)),

/* Finite; the last bit too. */
OK("value/real-zero", "r", REAL(0.0)),
OK("value/real-whole", "r", REAL(5.0)),
OK("value/real-tenth", "r", REAL(0.1)),
OK("value/real-third", "r", REAL(1.0 / 3.0)),
OK("value/real-negative", "r", REAL(-2.5e-7)),
OK("value/real-max", "r", REAL(DBL_MAX)),
OK("value/real-least", "r", REAL(-DBL_MAX)),
OK("value/real-smallest-normal", "r", REAL(DBL_MIN)),
OK("value/real-denormal", "r", REAL(4.9406564584124654e-324)),
OK("value/real-large-whole", "r", REAL(1e300)),
OK("value/real-beyond-int", "r", REAL(9223372036854775808.0)),
OK("value/real-null", "r", NIL(REAL)),
NO("value/real-nan", "r", REAL(NAN)),
NO("value/real-infinite", "r", REAL(INFINITY)),
NO("value/real-minus-infinite", "r", REAL(-INFINITY)),

OK("value/bool-false", "b", BOOLEAN(0)),
OK("value/bool-true", "b", BOOLEAN(1)),
OK("value/bool-null", "b", NIL(BOOL)),

/* UTF-8 without NUL. */
OK("value/text-empty", "t", TEXT("")),
OK("value/text-quotes", "t", TEXT("it's \"quoted\" `twice` ''\\' $1 ?1 :a %s;--")),
OK("value/text-lines", "t", TEXT("a\r\nb\tc\x1f\x7f\x01")),
OK("value/text-two-bytes", "t", TEXT("\xc2\x80 Gr\xc3\xbc\xc3\x9f" "e \xdf\xbf")),
OK("value/text-three-bytes", "t", TEXT("\xe0\xa0\x80 \xe2\x82\xac \xef\xbf\xbd \xef\xbf\xbf \xef\xbb\xbf")),
OK("value/text-four-bytes", "t", TEXT("\xf0\x90\x80\x80 \xf0\x9f\xa6\x81 \xf4\x8f\xbf\xbf")),
OK("value/text-combining", "t", TEXT("e\xcc\x81 is not \xc3\xa9")),
OK("value/text-blanks", "t", TEXT("  both ends  ")),
OK("value/text-number", "t", TEXT("0123.50e1")),
OK("value/text-like-null", "t", TEXT("NULL")),
OK("value/text-like-hex", "t", TEXT("\\x414243")),
OK("value/text-null", "t", NIL(TEXT)),
BIG("value/text-one-megabyte", "t", 1 << 20, TEXT("0123456789 it's \xf0\x9f\xa6\x81\\\n")),
BIG("value/text-page-and-one", "t", 4097, TEXT("x")),
NO("value/text-nul", "t", TEXT("a\0b")),
NO("value/text-nul-at-the-end", "t", TEXT("ab\0")),
NO("value/text-nul-alone", "t", TEXT("\0")),
NO("value/text-bare-continuation", "t", TEXT("a\x80z")),
NO("value/text-cut", "t", TEXT("caf\xc3")),
NO("value/text-cut-in-four", "t", TEXT("\xf0\x9f\xa6")),
NO("value/text-overlong", "t", TEXT("\xc0\xaf")),
NO("value/text-overlong-nul", "t", TEXT("\xc0\x80")),
NO("value/text-overlong-three", "t", TEXT("\xe0\x9f\xbf")),
NO("value/text-overlong-four", "t", TEXT("\xf0\x8f\xbf\xbf")),
NO("value/text-surrogate", "t", TEXT("\xed\xa0\x80")),
NO("value/text-surrogate-pair", "t", TEXT("\xed\xa0\xbd\xed\xb8\x80")),
NO("value/text-beyond-unicode", "t", TEXT("\xf4\x90\x80\x80")),
NO("value/text-five-bytes", "t", TEXT("\xf8\x88\x80\x80\x80")),
NO("value/text-ff", "t", TEXT("\xff")),

/* Bytes of any kind. */
OK("value/blob-empty", "x", BLOB("")),
OK("value/blob-nul", "x", BLOB("\0")),
OK("value/blob-nuls", "x", BLOB("\0a\0\0b\0")),
OK("value/blob-no-utf8", "x", BLOB("\xff\xfe\x80\xc0'\\\"")),
OK("value/blob-like-hex", "x", BLOB("\\x4142")),
OK("value/blob-null", "x", NIL(BLOB)),
BIG("value/blob-one-megabyte", "x", 1 << 20, BLOB("\0\1\x7f\x80\xfe\xff\\'")),

/* Microseconds since 1970, from year 1 to 9999. */
OK("value/time-epoch", "at", TIME(0)),
OK("value/time-before", "at", TIME(-1)),
OK("value/time-1969", "at", TIME(-DAY + 123456)),
OK("value/time-microsecond", "at", TIME(INT64_C(1732190400123457))),
OK("value/time-leap-day", "at", TIME(INT64_C(951782400000000))),
OK("value/time-year-1", "at", TIME(INT64_C(-62135596800000000))),
OK("value/time-year-9999", "at", TIME(INT64_C(253402300799999999))),
OK("value/time-1582", "at", TIME(INT64_C(-12219292800000000))),
OK("value/time-null", "at", NIL(TIME)),
NO("value/time-year-0", "at", TIME(INT64_C(-62135596800000001))),
NO("value/time-year-10000", "at", TIME(INT64_C(253402300800000000))),
NO("value/time-min", "at", TIME(INT64_MIN)),
NO("value/time-max", "at", TIME(INT64_MAX)),

/* Sixteen bytes, in the order of the text. */
OK("value/uuid", "u", UUID(0x01, 0x93, 0x4f, 0x2a, 0x10, 0x00, 0x7a, 0xbc, 0x8d, 0xef, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55)),
OK("value/uuid-nil", "u", UUID(0)),
OK("value/uuid-max", "u", UUID(255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255)),
OK("value/uuid-null", "u", NIL(UUID)),

};
const size_t sql_nvalue_cases = sizeof(sql_value_cases) / sizeof(sql_value_cases[0]);
