/* SPDX-License-Identifier: MIT */
/*
 * kv_cases.c - what a provider of "kv/1" must do: operations in groups. The comment above a group says which clauses of chimera/kv.h it
 * proves.
 */
#include "kv_cases.h"

#define KEY(text) .key = { "" text, sizeof(text) - 1 }
#define VALUE(text) .value = { "" text, sizeof(text) - 1 }
#define FOUND(text) .done = YES, .found = { "" text, sizeof(text) - 1 }
#define THERE(text) .done = NO, .found = { "" text, sizeof(text) - 1 }
#define HOLDER(text) .holder = { "" text, sizeof(text) - 1 }
#define WRONG(op_, ...) { .op = op_, .error = CH_KV_BAD_REQUEST, __VA_ARGS__ }
#define LOOK(k, v, ...) { .op = GET, KEY(k), FOUND(v), __VA_ARGS__ }
#define ABSENT(k) { .op = GET, KEY(k), .done = NO, .nothing = true }
#define PAUSE(ms) { .op = WAIT, .ttl = ms }
#define PUT(k, v) { .op = SET, KEY(k), VALUE(v), .done = YES }
/* Buckets; what is taken of a SLOW one stays taken. */
#define TOKENS(k, burst_, count_, period_, cost_, ...) \
	{ KEY(k), .burst = burst_, .count = count_, .period = period_, .cost = cost_, __VA_ARGS__ }
#define SLOW(k, burst_, cost_, ...) TOKENS(k, burst_, 1, HOUR, cost_, __VA_ARGS__)
#define DOOR_FOR(hold_, k, burst_, name, ...) { KEY(k), .kind = CH_KV_HOLDERS, .burst = burst_, HOLDER(name), .hold = hold_, __VA_ARGS__ }
#define DOOR(k, burst_, name, ...) DOOR_FOR(HOUR, k, burst_, name, __VA_ARGS__)
#define TAKES(...) { .op = TAKE, .done = YES, .limits = { __VA_ARGS__ } }
#define REFUSES(...) { .op = TAKE, .done = NO, .limits = { __VA_ARGS__ } }
#define SETTLES(...) { .op = SETTLE, .done = YES, .limits = { __VA_ARGS__ } }
#define WRONG_TAKE(...) { .op = TAKE, .error = CH_KV_BAD_REQUEST, .limits = { __VA_ARGS__ } }
#define OTHER_KIND(op_, ...) { .op = op_, .error = CH_KV_WRONG_KIND, __VA_ARGS__ }
#define PASSES(n) .passes = YES, .left = n
#define PASSES_ANY .passes = YES, .any_left = true
#define FAILS(n) .passes = NO, .left = n
#define WAITS(least, most) .wait_least = least, .wait_most = most
#define FOR_EVER WAITS(0, CH_KV_NEVER)
#define FULL_IN(least, most) .full_least = least, .full_most = most
#define MIN INT64_C(60000) /* much longer than a case takes */

const struct kv_case kv_cases[] = {

/* value/: keys and values are any bytes; sizes up to the limits; what is replaced or deleted is gone. */

{ "value/absent", { ABSENT("a") } },
{ "value/set", { PUT("a", "one"), LOOK("a", "one", .same = 1) } },
{ "value/replace", { PUT("a", "one"), PUT("a", "twotwo"), LOOK("a", "twotwo", .same = 2) } },
{ "value/empty", { PUT("a", ""), LOOK("a", "", .same = 1) } },
{ "value/other-key", { PUT("a", "one"), ABSENT("b"), ABSENT("aa") } },
{ "value/binary", { PUT("a\0b\r\n\xff", "\0\r\n\xff\0"), LOOK("a\0b\r\n\xff", "\0\r\n\xff\0"),
	ABSENT("a"), ABSENT("a\0c\r\n\xff") } },
{ "value/odd-keys", { PUT(" ", "blank"), PUT("{a}:*?[b]", "odd"), PUT("\xc3\xa4", "a"), LOOK(" ", "blank"),
	LOOK("{a}:*?[b]", "odd"), LOOK("\xc3\xa4", "a") } },
{ "value/longest-key", { { .op = SET, .key_bytes = CH_KV_KEY_MAX, VALUE("x"), .done = YES },
	{ .op = GET, .key_bytes = CH_KV_KEY_MAX, FOUND("x") },
	{ .op = GET, .key_bytes = CH_KV_KEY_MAX - 1, .done = NO } } },
{ "value/key-too-long", { WRONG(SET, .key_bytes = CH_KV_KEY_MAX + 1), WRONG(GET, .key_bytes = CH_KV_KEY_MAX + 1) } },
{ "value/no-key", { WRONG(SET, .key_bytes = -1), WRONG(GET, .key_bytes = -1), WRONG(DEL, .key_bytes = -1),
	WRONG(ADD, .key_bytes = -1, .delta = 1) } },
{ "value/16-KiB", { { .op = SET, KEY("a"), .value_bytes = 16384, .done = YES },
	{ .op = GET, KEY("a"), .done = YES, .found_bytes = 16384 } } },
{ "value/largest", { { .op = SET, KEY("a"), .value_bytes = CH_KV_VALUE_MAX, .done = YES },
	{ .op = GET, KEY("a"), .done = YES, .found_bytes = CH_KV_VALUE_MAX }, { .op = DEL, KEY("a"), .done = YES } } },
{ "value/too-large", { PUT("a", "one"), WRONG(SET, KEY("a"), .value_bytes = CH_KV_VALUE_MAX + 1),
	LOOK("a", "one", .same = 1) } },
{ "value/delete", { PUT("a", "one"), { .op = DEL, KEY("a"), .done = YES }, ABSENT("a"),
	{ .op = DEL, KEY("a"), .done = NO }, PUT("a", "two"), LOOK("a", "two") } },

/* ttl/: past its TTL nothing is seen; a TTL belongs to what was set with it; looking does not prolong it. */

{ "ttl/none", { PUT("a", "one"), LOOK("a", "one", .ttl_least = -1) } },
{ "ttl/told", { { .op = SET, KEY("a"), VALUE("one"), .ttl = HOUR, .done = YES, .ttl_least = HOUR, .ttl_most = HOUR },
	LOOK("a", "one", .ttl_least = HOUR - 60000, .ttl_most = HOUR) } },
{ "ttl/over", { { .op = SET, KEY("a"), VALUE("one"), .ttl = 300, .done = YES }, PAUSE(400),
	ABSENT("a"), { .op = DEL, KEY("a"), .done = NO } } },
{ "ttl/not-over", { { .op = SET, KEY("a"), VALUE("one"), .ttl = 5000, .done = YES }, PAUSE(400),
	LOOK("a", "one", .ttl_least = 1, .ttl_most = 4600) } },
{ "ttl/not-prolonged-by-get", { { .op = SET, KEY("a"), VALUE("one"), .ttl = 500, .done = YES }, PAUSE(300),
	{ .op = GET, KEY("a") }, PAUSE(300), ABSENT("a") } },
{ "ttl/renewed-by-set", { { .op = SET, KEY("a"), VALUE("one"), .ttl = 300, .done = YES },
	{ .op = SET, KEY("a"), VALUE("two"), .ttl = HOUR, .done = YES }, PAUSE(400), LOOK("a", "two") } },
{ "ttl/taken-away-by-set", { { .op = SET, KEY("a"), VALUE("one"), .ttl = 300, .done = YES }, PUT("a", "two"),
	LOOK("a", "two", .ttl_least = -1), PAUSE(400), LOOK("a", "two") } },
{ "ttl/not-touched-by-a-refusal", { { .op = SET, KEY("a"), VALUE("one"), .ttl = 1000, .done = YES },
	{ .op = SET, KEY("a"), VALUE("two"), .when = CH_KV_IF_ABSENT, .ttl = HOUR, THERE("one"), .ttl_least = 1, .ttl_most = 1000 },
	PAUSE(1100), ABSENT("a") } },
{ "ttl/longest", { { .op = SET, KEY("a"), VALUE("one"), .ttl = CH_KV_MS_MAX, .done = YES }, LOOK("a", "one") } },
{ "ttl/wrong", { WRONG(SET, KEY("a"), .ttl = -1), WRONG(SET, KEY("a"), .ttl = CH_KV_MS_MAX + 1), ABSENT("a") } },

/* when/: set-if-absent and compare-and-swap; a refusal tells what stands there; a version never comes again. */

{ "when/absent", { { .op = SET, KEY("a"), VALUE("one"), .when = CH_KV_IF_ABSENT, .done = YES }, LOOK("a", "one", .same = 1) } },
{ "when/not-absent", { PUT("a", "one"), { .op = SET, KEY("a"), VALUE("two"), .when = CH_KV_IF_ABSENT, THERE("one"), .same = 1 },
	LOOK("a", "one", .same = 1) } },
{ "when/absent-again", { { .op = SET, KEY("a"), VALUE("one"), .ttl = 200, .done = YES }, PAUSE(300),
	{ .op = SET, KEY("a"), VALUE("two"), .when = CH_KV_IF_ABSENT, .done = YES } } },
{ "when/absent-after-delete", { PUT("a", "one"), { .op = DEL, KEY("a"), .done = YES },
	{ .op = SET, KEY("a"), VALUE("two"), .when = CH_KV_IF_ABSENT, .done = YES } } },
{ "when/version", { PUT("a", "one"), { .op = SET, KEY("a"), VALUE("two"), .when = CH_KV_IF_VERSION, .version = 1, .done = YES },
	LOOK("a", "two", .same = 2) } },
{ "when/version-of-get", { PUT("a", "one"), LOOK("a", "one"),
	{ .op = SET, KEY("a"), VALUE("two"), .when = CH_KV_IF_VERSION, .version = 2, .done = YES } } },
{ "when/version-of-refusal", { PUT("a", "one"), { .op = SET, KEY("a"), VALUE("x"), .when = CH_KV_IF_ABSENT, THERE("one") },
	{ .op = SET, KEY("a"), VALUE("two"), .when = CH_KV_IF_VERSION, .version = 2, .done = YES } } },
{ "when/old-version", { PUT("a", "one"), PUT("a", "two"),
	{ .op = SET, KEY("a"), VALUE("three"), .when = CH_KV_IF_VERSION, .version = 1, THERE("two"), .same = 2 }, LOOK("a", "two") } },
{ "when/same-value-other-version", { PUT("a", "one"), PUT("a", "one"),
	{ .op = SET, KEY("a"), VALUE("two"), .when = CH_KV_IF_VERSION, .version = 1, THERE("one"), .same = 2 } } },
{ "when/version-of-what-is-gone", { PUT("a", "one"), { .op = DEL, KEY("a"), .done = YES },
	{ .op = SET, KEY("a"), VALUE("two"), .when = CH_KV_IF_VERSION, .version = 1, .done = NO, .nothing = true } } },
{ "when/version-from-before-delete", { PUT("a", "one"), { .op = DEL, KEY("a"), .done = YES }, PUT("a", "one"),
	{ .op = SET, KEY("a"), VALUE("two"), .when = CH_KV_IF_VERSION, .version = 1, THERE("one"), .same = 3 } } },
{ "when/unknown-version", { PUT("a", "one"), { .op = SET, KEY("a"), VALUE("x"), .when = CH_KV_IF_VERSION, .version = BOGUS,
	THERE("one") } } },
{ "when/delete-version", { PUT("a", "one"), PUT("a", "two"), { .op = DEL, KEY("a"), .when = CH_KV_IF_VERSION, .version = 1, THERE("two"),
	.same = 2 },
	{ .op = DEL, KEY("a"), .when = CH_KV_IF_VERSION, .version = 2, .done = YES }, ABSENT("a"),
	{ .op = DEL, KEY("a"), .when = CH_KV_IF_VERSION, .version = 2, .done = NO, .nothing = true } } },
{ "when/large-refusal", { { .op = SET, KEY("a"), .value_bytes = 1 << 20, .done = YES },
	{ .op = SET, KEY("a"), VALUE("x"), .when = CH_KV_IF_ABSENT, .done = NO, .found_bytes = 1 << 20 } } },
{ "when/wrong", { WRONG(SET, KEY("a"), .when = 3), WRONG(SET, KEY("a"), .when = -1), WRONG(SET, KEY("a"), .when = CH_KV_IF_VERSION),
	WRONG(DEL, KEY("a"), .when = CH_KV_IF_ABSENT), WRONG(DEL, KEY("a"), .when = CH_KV_IF_VERSION) } },

/* count/: a counter is made with its TTL and keeps that; 0 looks; exact up to 2^53, and no further. */

{ "count/up-and-down", { { .op = ADD, KEY("a"), .delta = 1, .done = YES, .number = 1 }, { .op = ADD, KEY("a"), .delta = 41, .number = 42 },
	{ .op = ADD, KEY("a"), .delta = -50, .number = -8 }, { .op = ADD, KEY("a"), .number = -8, .ttl_least = -1 } } },
{ "count/look", { { .op = ADD, KEY("a"), .done = YES, .number = 0 }, { .op = SET, KEY("a"), VALUE("x"), .when = CH_KV_IF_ABSENT,
	.done = YES } } },
{ "count/ttl", { { .op = ADD, KEY("a"), .delta = 5, .ttl = 2000, .number = 5, .ttl_least = 1900, .ttl_most = 2000 }, PAUSE(1000),
	{ .op = ADD, KEY("a"), .delta = 1, .ttl = HOUR, .number = 6, .ttl_least = 1, .ttl_most = 1000 }, PAUSE(1200),
	{ .op = ADD, KEY("a"), .delta = 1, .number = 1, .ttl_least = -1 } } },
{ "count/largest", { { .op = ADD, KEY("a"), .delta = CH_KV_NUMBER_MAX - 1, .number = CH_KV_NUMBER_MAX - 1 },
	{ .op = ADD, KEY("a"), .delta = 1, .number = CH_KV_NUMBER_MAX }, { .op = ADD, KEY("a"), .delta = 1, .error = CH_KV_RANGE },
	{ .op = ADD, KEY("a"), .delta = -1, .number = CH_KV_NUMBER_MAX - 1 } } },
{ "count/smallest", { { .op = ADD, KEY("a"), .delta = -CH_KV_NUMBER_MAX, .number = -CH_KV_NUMBER_MAX },
	{ .op = ADD, KEY("a"), .delta = -1, .error = CH_KV_RANGE }, { .op = ADD, KEY("a"), .number = -CH_KV_NUMBER_MAX } } },
{ "count/wrong", { WRONG(ADD, KEY("a"), .delta = CH_KV_NUMBER_MAX + 1), WRONG(ADD, KEY("a"), .delta = -CH_KV_NUMBER_MAX - 1),
	WRONG(ADD, KEY("a"), .delta = 1, .ttl = -1), { .op = ADD, KEY("a"), .number = 0 } } },
{ "count/delete", { { .op = ADD, KEY("a"), .delta = 5, .number = 5 }, { .op = DEL, KEY("a"), .done = YES },
	{ .op = ADD, KEY("a"), .delta = 1, .number = 1 } } },

/* kind/: a key is of the kind it was made as, until it is gone; nothing is changed by an operation of another kind. */

{ "kind/value", { PUT("a", "7"), OTHER_KIND(ADD, KEY("a"), .delta = 1), OTHER_KIND(TAKE, .limits = { SLOW("a", 5, 1) }),
	OTHER_KIND(SETTLE, .limits = { SLOW("a", 5, 1) }), OTHER_KIND(TAKE, .limits = { DOOR("a", 5, "me") }),
	LOOK("a", "7", .same = 1) } },
{ "kind/counter", { { .op = ADD, KEY("a"), .delta = 7, .number = 7 }, OTHER_KIND(GET, KEY("a")), OTHER_KIND(SET, KEY("a"), VALUE("x")),
	OTHER_KIND(SET, KEY("a"), VALUE("x"), .when = CH_KV_IF_ABSENT),
	OTHER_KIND(DEL, KEY("a"), .when = CH_KV_IF_VERSION, .version = BOGUS), OTHER_KIND(TAKE, .limits = { SLOW("a", 5, 1) }),
	{ .op = ADD, KEY("a"), .number = 7 } } },
{ "kind/tokens", { TAKES(SLOW("a", 5, 1, PASSES(4))), OTHER_KIND(GET, KEY("a")), OTHER_KIND(SET, KEY("a"), VALUE("x")),
	OTHER_KIND(ADD, KEY("a"), .delta = 1), OTHER_KIND(TAKE, .limits = { DOOR("a", 5, "me") }), TAKES(SLOW("a", 5, 1, PASSES(3))) } },
{ "kind/holders", { TAKES(DOOR("a", 5, "me", PASSES(4))), OTHER_KIND(GET, KEY("a")), OTHER_KIND(TAKE, .limits = { SLOW("a", 5, 1) }),
	TAKES(DOOR("a", 5, "you", PASSES(3))) } },
{ "kind/one-of-several", { PUT("a", "7"), OTHER_KIND(TAKE, .limits = { SLOW("b", 5, 1), SLOW("a", 5, 1) }),
	TAKES(SLOW("b", 5, 1, PASSES(4))), LOOK("a", "7", .same = 1) } },
{ "kind/after-delete", { { .op = ADD, KEY("a"), .delta = 7, .number = 7 }, { .op = DEL, KEY("a"), .done = YES }, PUT("a", "x"),
	{ .op = DEL, KEY("a"), .done = YES }, TAKES(SLOW("a", 5, 1, PASSES(4))), { .op = DEL, KEY("a"), .done = YES },
	TAKES(DOOR("a", 5, "me", PASSES(4))), { .op = DEL, KEY("a"), .done = YES }, ABSENT("a") } },
{ "kind/after-its-ttl", { { .op = ADD, KEY("a"), .delta = 7, .ttl = 200, .number = 7 }, PAUSE(300), PUT("a", "x"), LOOK("a", "x"),
	{ .op = SET, KEY("b"), VALUE("x"), .ttl = 200, .done = YES }, PAUSE(300), TAKES(SLOW("b", 5, 1, PASSES(4))) } },
{ "kind/after-the-bucket-is-full", { TAKES(TOKENS("a", 5, 5, 200, 5, PASSES(0))), PAUSE(400), PUT("a", "x"),
	LOOK("a", "x") } },
{ "kind/after-the-last-holder", { TAKES(DOOR("a", 5, "me", PASSES(4))), SETTLES(DOOR("a", 5, "me", PASSES(5))), PUT("a", "x") } },
{ "kind/after-a-refusal", { TAKES(SLOW("b", 1, 1, PASSES(0))), REFUSES(SLOW("a", 5, 1, PASSES(5)),
	SLOW("b", 1, 1, FAILS(0), WAITS(1, HOUR))),
	PUT("a", "x"), REFUSES(SLOW("c", 0, 1, FAILS(0), FOR_EVER)), PUT("c", "x") } },

/* take/: a new bucket is full; it admits its burst and what flows in; the levels tell how it stands. */

{ "take/burst", { TAKES(SLOW("a", 3, 1, PASSES(2), FULL_IN(HOUR - MIN, HOUR))), TAKES(SLOW("a", 3, 1, PASSES(1))),
	TAKES(SLOW("a", 3, 1, PASSES(0), FULL_IN(3 * HOUR - MIN, 3 * HOUR))), REFUSES(SLOW("a", 3, 1, FAILS(0), WAITS(HOUR - MIN, HOUR))),
	REFUSES(SLOW("a", 3, 1, FAILS(0), WAITS(HOUR - MIN, HOUR))) } },
{ "take/cost", { TAKES(TOKENS("a", 100, 100, HOUR, 70, PASSES(30))),
	REFUSES(TOKENS("a", 100, 100, HOUR, 40, FAILS(30), WAITS(HOUR / 10 - MIN, HOUR / 10))),
	TAKES(TOKENS("a", 100, 100, HOUR, 30, PASSES(0))) } },
{ "take/flows-in", { TAKES(TOKENS("a", 2, 1, 1000, 2, PASSES(0), FULL_IN(1900, 2000))),
	REFUSES(TOKENS("a", 2, 1, 1000, 1, FAILS(0), WAITS(1, 1000))),
	PAUSE(1100), TAKES(TOKENS("a", 2, 1, 1000, 1, PASSES_ANY)) } },
{ "take/flows-in-while-asked", { TAKES(TOKENS("a", 2, 1, 2000, 2, PASSES(0))), PAUSE(500),
	REFUSES(TOKENS("a", 2, 1, 2000, 2, FAILS(0), WAITS(1, 3600))), PAUSE(500), /* 3500, and what a timer is early; 4000 if nothing flowed */
	TAKES(TOKENS("a", 2, 1, 2000, 0, PASSES_ANY)), PAUSE(500),
	{ .op = TAKE, .done = NO, .limits = { TOKENS("a", 2, 1, 2000, 2) } }, PAUSE(600), TAKES(TOKENS("a", 2, 1, 2000, 1, PASSES_ANY)) } },
{ "take/no-more-than-full", { TAKES(TOKENS("a", 2, 100, 1000, 2, PASSES(0))), PAUSE(300),
	TAKES(TOKENS("a", 2, 100, 1000, 0, PASSES(2))) } },
{ "take/over-the-burst", { REFUSES(SLOW("a", 3, 4, FAILS(3), FOR_EVER)), TAKES(SLOW("a", 3, 3, PASSES(0))) } },
{ "take/limit-of-0", { REFUSES(SLOW("a", 0, 1, FAILS(0), FOR_EVER)), REFUSES(TOKENS("b", 5, 0, HOUR, 1, FAILS(0), FOR_EVER)),
	REFUSES(TOKENS("b", 5, 0, HOUR, 0, FAILS(0), FOR_EVER)) } },
{ "take/cost-0", { TAKES(SLOW("a", 2, 1, PASSES(1))), TAKES(SLOW("a", 2, 0, PASSES(1))), TAKES(SLOW("a", 2, 1, PASSES(0))),
	TAKES(SLOW("a", 2, 0, PASSES(0))) } },
{ "take/all", { TAKES(SLOW("a", 3, 1, PASSES(2)), SLOW("b", 5, 2, PASSES(3)), SLOW("c", 1, 1, PASSES(0))) } },
{ "take/or-nothing", { TAKES(SLOW("b", 1, 1, PASSES(0))),
	REFUSES(SLOW("a", 3, 1, PASSES(3)), SLOW("b", 1, 1, FAILS(0), WAITS(HOUR - MIN, HOUR)), SLOW("c", 1, 1, PASSES(1))),
	TAKES(SLOW("a", 3, 1, PASSES(2)), SLOW("c", 1, 1, PASSES(0))) } },
{ "take/16", { { .op = TAKE, .limits = { SLOW("a", 3, 1, PASSES(2)) }, .repeat = CH_KV_BUCKETS_MAX, .done = YES },
	{ .op = TAKE, .limits = { SLOW("a", 3, 1, PASSES(1)) }, .repeat = CH_KV_BUCKETS_MAX, .done = YES } } },
{ "take/wrong-number-of-buckets", { WRONG(TAKE, .repeat = NOTHING), WRONG(TAKE, .limits = { SLOW("a", 3, 1) },
	.repeat = CH_KV_BUCKETS_MAX + 1) } },
{ "take/same-key-twice", { WRONG_TAKE(SLOW("a", 3, 1), SLOW("b", 3, 1), SLOW("a", 3, 1)), TAKES(SLOW("a", 3, 1, PASSES(2))) } },
{ "take/large-numbers", { TAKES(TOKENS("a", CH_KV_COUNT_MAX, CH_KV_COUNT_MAX, 4096, CH_KV_COUNT_MAX - 1, PASSES_ANY)),
	TAKES(TOKENS("b", CH_KV_COUNT_MAX, 1, 4096, 1, PASSES(CH_KV_COUNT_MAX - 1))), WRONG_TAKE(TOKENS("c", CH_KV_COUNT_MAX, 1, 4097, 1)),
	TAKES(TOKENS("c", 1, 1, CH_KV_MS_MAX, 1, PASSES(0), FULL_IN(CH_KV_MS_MAX - MIN, CH_KV_MS_MAX))) } },
{ "take/wrong-numbers", { WRONG_TAKE(SLOW("a", -1, 1)), WRONG_TAKE(SLOW("a", CH_KV_COUNT_MAX + 1, 1)), WRONG_TAKE(SLOW("a", 3, -1)),
	WRONG_TAKE(SLOW("a", 3, CH_KV_COUNT_MAX + 1)), WRONG_TAKE(TOKENS("a", 3, -1, HOUR, 1)), WRONG_TAKE(TOKENS("a", 3, 1, 0, 1)),
	WRONG_TAKE(TOKENS("a", 3, 1, CH_KV_MS_MAX + 1, 1)), WRONG_TAKE(SLOW("a", 3, 1, .kind = 2)), WRONG_TAKE(SLOW("", 3, 1)),
	WRONG_TAKE(TOKENS("a", CH_KV_COUNT_MAX, 7, CH_KV_MS_MAX - 1, 1)), TAKES(SLOW("a", 3, 1, PASSES(2))) } },

/* change/: with other numbers a bucket keeps what it lacks; a larger burst is there at once, a smaller one cuts. */

{ "change/larger-burst", { TAKES(SLOW("a", 3, 3, PASSES(0))), TAKES(SLOW("a", 5, 1, PASSES(1))), TAKES(SLOW("a", 5, 1, PASSES(0))),
	REFUSES(SLOW("a", 5, 1, FAILS(0), WAITS(1, HOUR))) } },
{ "change/smaller-burst", { TAKES(SLOW("a", 10, 4, PASSES(6))), TAKES(SLOW("a", 5, 1, PASSES(0))),
	REFUSES(SLOW("a", 5, 1, FAILS(0), WAITS(1, HOUR))) } },
{ "change/other-rate", { TAKES(SLOW("a", 10, 4, PASSES(6))), TAKES(TOKENS("a", 10, 6, HOUR, 6, PASSES(0))),
	REFUSES(TOKENS("a", 10, 6, HOUR, 1, FAILS(0), WAITS(HOUR / 6 - MIN, HOUR / 6 + 1))) } },
{ "change/holds-though-it-is-refused", { TAKES(SLOW("a", 10, 10, PASSES(0))), REFUSES(TOKENS("a", 10, 1, 1000, 1, FAILS(0),
	WAITS(1, 1000))), PAUSE(1100), TAKES(TOKENS("a", 10, 1, 1000, 1, PASSES_ANY)) } },
{ "change/fewer-places", { TAKES(DOOR("a", 3, "me", PASSES(2))), TAKES(DOOR_FOR(2 * HOUR, "a", 3, "you", PASSES(1))),
	TAKES(DOOR_FOR(3 * HOUR, "a", 3, "she", PASSES(0))), REFUSES(DOOR("a", 2, "he", FAILS(0), WAITS(2 * HOUR - MIN, 2 * HOUR),
	FULL_IN(3 * HOUR - MIN, 3 * HOUR))), TAKES(DOOR_FOR(3 * HOUR, "a", 2, "she", PASSES(0))), TAKES(DOOR("a", 4, "he", PASSES(0))) } },
{ "change/to-a-limit-of-0-and-back", { TAKES(SLOW("a", 3, 2, PASSES(1))), REFUSES(SLOW("a", 0, 1, FAILS(0), FOR_EVER)),
	TAKES(SLOW("a", 3, 1, PASSES(0))) } },

/* settle/: what was not used is given back, what was used more is charged, be it there or not. */

{ "settle/back", { TAKES(SLOW("a", 5, 5, PASSES(0))), SETTLES(SLOW("a", 5, -3, PASSES(3))), TAKES(SLOW("a", 5, 3, PASSES(0))) } },
{ "settle/back-up-to-full", { TAKES(SLOW("a", 5, 1, PASSES(4))), SETTLES(SLOW("a", 5, -4, PASSES(5))),
	REFUSES(SLOW("a", 5, 6, FAILS(5), FOR_EVER)) } },
{ "settle/more", { TAKES(SLOW("a", 5, 1, PASSES(4))), SETTLES(SLOW("a", 5, 3, PASSES(1))), TAKES(SLOW("a", 5, 1, PASSES(0))) } },
{ "settle/debt", { TAKES(SLOW("a", 2, 2, PASSES(0))), SETTLES(SLOW("a", 2, 3, PASSES(0))),
	REFUSES(SLOW("a", 2, 0, FAILS(0), WAITS(3 * HOUR - MIN, 3 * HOUR))), REFUSES(SLOW("a", 2, 1, FAILS(0),
	WAITS(4 * HOUR - MIN, 4 * HOUR))),
	SETTLES(SLOW("a", 2, -4, PASSES(1))) } },
{ "settle/debt-is-paid", { SETTLES(TOKENS("a", 1, 1, 200, 2, PASSES(0))), PAUSE(450), TAKES(TOKENS("a", 1, 1, 200, 1, PASSES(0))) } },
{ "settle/new", { SETTLES(SLOW("a", 5, 2, PASSES(3)), SLOW("b", 5, -2, PASSES(5))), TAKES(SLOW("a", 5, 3, PASSES(0))) } },
{ "settle/wrong", { WRONG(SETTLE, .limits = { SLOW("a", 3, -CH_KV_COUNT_MAX - 1) }), WRONG(SETTLE, .repeat = NOTHING) } },

/* holders/: so many at once, each known by name; gone by settle, or by itself. */

{ "holders/full", { TAKES(DOOR("a", 2, "me", PASSES(1))), TAKES(DOOR("a", 2, "you", PASSES(0))),
	REFUSES(DOOR("a", 2, "she", FAILS(0), WAITS(HOUR - MIN, HOUR), FULL_IN(HOUR - MIN, HOUR))), SETTLES(DOOR("a", 2, "me", PASSES(1))),
	TAKES(DOOR("a", 2, "she", PASSES(0))), REFUSES(DOOR("a", 2, "me", FAILS(0), WAITS(1, HOUR))) } },
{ "holders/no-second-place", { TAKES(DOOR("a", 2, "me", PASSES(1))), TAKES(DOOR("a", 2, "me", PASSES(1))),
	TAKES(DOOR("a", 2, "you", PASSES(0))),
	TAKES(DOOR("a", 2, "me", PASSES(0))) } },
{ "holders/strangers-leave", { TAKES(DOOR("a", 2, "me", PASSES(1))), SETTLES(DOOR("a", 2, "you", PASSES(1))),
	SETTLES(DOOR("b", 2, "you", PASSES(2))) } },
{ "holders/gone-by-themselves", { TAKES(DOOR_FOR(1000, "a", 1, "me", PASSES(0), FULL_IN(900, 1000))),
	REFUSES(DOOR("a", 1, "you", FAILS(0), WAITS(1, 1000))), PAUSE(1100), TAKES(DOOR("a", 1, "you", PASSES(0))) } },
{ "holders/one-of-several-gone", { TAKES(DOOR_FOR(1000, "a", 2, "me", PASSES(1))), TAKES(DOOR("a", 2, "you", PASSES(0))), PAUSE(1100),
	TAKES(DOOR("a", 2, "she", PASSES(0))), REFUSES(DOOR("a", 2, "he", FAILS(0), WAITS(1, HOUR))) } },
{ "holders/hold-on", { TAKES(DOOR_FOR(500, "a", 1, "me", PASSES(0))), PAUSE(300),
	TAKES(DOOR_FOR(5000, "a", 1, "me", PASSES(0))), PAUSE(400), REFUSES(DOOR("a", 1, "you", FAILS(0), WAITS(1, 5000))) } },
{ "holders/a-refusal-is-no-holding-on", { TAKES(DOOR_FOR(1000, "a", 1, "me", PASSES(0))), REFUSES(DOOR("a", 1, "me", PASSES(0)),
	SLOW("b", 0, 1, FAILS(0), FOR_EVER)), PAUSE(1100), TAKES(DOOR("a", 1, "you", PASSES(0))) } },
{ "holders/names", { TAKES(DOOR("a", 3, "a\0b", PASSES(2))), TAKES(DOOR("a", 3, "a\0c", PASSES(1))), TAKES(DOOR("a", 3, "a", PASSES(0))),
	SETTLES(DOOR("a", 3, "a\0c", PASSES(1))),
	TAKES(DOOR("a", 3, "0123456789012345678901234567890123456789012345678901234567890123", PASSES(0))) } },
{ "holders/with-tokens", { TAKES(DOOR("a", 1, "me", PASSES(0)), SLOW("b", 2, 1, PASSES(1))),
	REFUSES(DOOR("a", 1, "you", FAILS(0), WAITS(1, HOUR)), SLOW("b", 2, 1, PASSES(1))),
	REFUSES(DOOR("c", 1, "you", PASSES(1)), SLOW("b", 2, 2, FAILS(1), WAITS(1, HOUR))),
	SETTLES(DOOR("a", 1, "me", PASSES(1)), SLOW("b", 2, -1, PASSES(2))), TAKES(DOOR("a", 1, "you", PASSES(0)),
	SLOW("b", 2, 2, PASSES(0))) } },
{ "holders/limit-of-0", { REFUSES(DOOR("a", 0, "me", FAILS(0), FOR_EVER)) } },
{ "holders/wrong", { WRONG_TAKE(DOOR("a", 1, "")), WRONG_TAKE(DOOR_FOR(0, "a", 1, "me")),
	WRONG_TAKE(DOOR_FOR(CH_KV_MS_MAX + 1, "a", 1, "me")),
	WRONG_TAKE(DOOR("a", 1, "01234567890123456789012345678901234567890123456789012345678901234")) } },

/* nobody/: with ticket 0 it happens all the same. */

{ "nobody/set", { { .op = SET, KEY("a"), VALUE("one"), .ttl = HOUR, .nobody = true }, PAUSE(300),
	LOOK("a", "one", .ttl_least = 1, .ttl_most = HOUR) } },
{ "nobody/large-set", { { .op = SET, KEY("a"), .value_bytes = 1 << 20, .nobody = true }, PAUSE(500),
	{ .op = GET, KEY("a"), .done = YES, .found_bytes = 1 << 20 } } },
{ "nobody/del", { PUT("a", "one"), { .op = DEL, KEY("a"), .nobody = true }, PAUSE(300), ABSENT("a") } },
{ "nobody/add", { { .op = ADD, KEY("a"), .delta = 5, .nobody = true }, PAUSE(300), { .op = ADD, KEY("a"), .number = 5 } } },
{ "nobody/settle", { TAKES(SLOW("a", 5, 5, PASSES(0)), DOOR("b", 1, "me", PASSES(0))),
	{ .op = SETTLE, .limits = { SLOW("a", 5, -2), DOOR("b", 1, "me") }, .nobody = true }, PAUSE(300),
	TAKES(SLOW("a", 5, 2, PASSES(0)), DOOR("b", 1, "you", PASSES(0))) } },
{ "nobody/what-goes-wrong", { { .op = ADD, KEY("a"), .delta = 5, .number = 5 }, { .op = SET, KEY("a"), VALUE("one"), .nobody = true },
	{ .op = SET, .key_bytes = -1, VALUE("one"), .nobody = true }, PAUSE(300), { .op = ADD, KEY("a"), .number = 5 } } },

/* cancel/: the ticket is resumed within the turn; what comes after works. (Behind the end of each operation it is called as well.) */

{ "cancel/get", { PUT("a", "one"), { .op = GET, KEY("a"), .cancel = true }, LOOK("a", "one", .same = 1) } },
{ "cancel/set", { { .op = SET, KEY("a"), VALUE("one"), .cancel = true }, PAUSE(300), PUT("a", "two"), LOOK("a", "two") } },
{ "cancel/large-set", { { .op = SET, KEY("a"), .value_bytes = 1 << 20, .cancel = true }, PAUSE(500), PUT("a", "two"), LOOK("a", "two") } },
{ "cancel/del", { PUT("a", "one"), { .op = DEL, KEY("a"), .cancel = true }, PAUSE(300), PUT("a", "two"), LOOK("a", "two") } },
{ "cancel/add", { { .op = ADD, KEY("a"), .delta = 1, .cancel = true }, PAUSE(300), { .op = DEL, KEY("a") },
	{ .op = ADD, KEY("a"), .delta = 1, .number = 1 } } },
{ "cancel/take", { { .op = TAKE, .limits = { SLOW("a", 5, 1), DOOR("b", 2, "me") }, .cancel = true }, PAUSE(300),
	SETTLES(SLOW("a", 5, -5, PASSES(5)), DOOR("b", 2, "me", PASSES(2))),
	TAKES(SLOW("a", 5, 1, PASSES(4)), DOOR("b", 2, "me", PASSES(1))) } },

};
const size_t kv_ncases = sizeof(kv_cases) / sizeof(kv_cases[0]);
