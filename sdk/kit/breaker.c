/* SPDX-License-Identifier: MIT */
/* breaker.c - the circuit breaker. */
#include <string.h>

#include "chimera/kit/breaker.h"

static uint32_t or_one(uint32_t n)
{
	return n ? n : 1;
}

/* From then to now; 0 if the clock went back. As unsigned numbers, whose difference is right for any two times. */
static uint64_t passed(int64_t then, int64_t now)
{
	return now > then ? (uint64_t)now - (uint64_t)then : 0;
}

/* A pass carries the epoch; the highest bit is set, so that none is 0. */
static uint32_t pass_of(const struct ch_breaker *b)
{
	return b->epoch | (uint32_t)1 << 31;
}

static void enter(struct ch_breaker *b, enum ch_breaker_state state, int64_t now)
{
	*b = (struct ch_breaker){
		.state = (uint8_t)state,
		.epoch = (b->epoch + 1) & INT32_MAX,
		.trips = state == CH_BREAKER_CLOSED ? 0 : b->trips,
		.since = now,
	};
}

/* ---- closed ---- */

/* Moves the window on. */
static void slide(struct ch_breaker *b, const struct ch_breaker_conf *conf, int64_t now)
{
	int64_t window = conf->window_us > 0 ? conf->window_us : CH_BREAKER_WINDOW_US;
	uint64_t slot = window >= CH_BREAKER_SLOTS ? (uint64_t)window / CH_BREAKER_SLOTS : 1, steps = passed(b->since, now) / slot;

	if (now < b->since)
		b->since = now;
	if (steps >= CH_BREAKER_SLOTS) {
		memset(b->slots, 0, sizeof(b->slots));
		b->window = (struct ch_breaker_slot){ 0, 0 };
		b->since = now;
		return;
	}
	for (; steps; steps--) {
		struct ch_breaker_slot *oldest = &b->slots[b->slot = (b->slot + 1) % CH_BREAKER_SLOTS];

		b->window.calls -= oldest->calls;
		b->window.failed -= oldest->failed;
		*oldest = (struct ch_breaker_slot){ 0, 0 };
		b->since += (int64_t)slot;
	}
}

static void count(struct ch_breaker *b, bool failed)
{
	struct ch_breaker_slot *newest = &b->slots[b->slot];

	b->in_a_row = !failed ? 0 : b->in_a_row < UINT32_MAX ? b->in_a_row + 1 : UINT32_MAX;
	if (b->window.calls == UINT32_MAX) /* enough to know the share */
		return;
	newest->calls++;
	newest->failed += failed;
	b->window.calls++;
	b->window.failed += failed;
}

static bool too_many(const struct ch_breaker *b, const struct ch_breaker_conf *conf)
{
	if (conf->failures && b->in_a_row >= conf->failures)
		return true;
	return conf->error_rate > 0 && b->window.calls >= or_one(conf->min_requests) &&
		(double)b->window.failed >= conf->error_rate * (double)b->window.calls;
}

/* ---- open ---- */

/* cooldown_us, doubled for each trip before, and lengthened by the jitter. */
static int64_t cooldown(const struct ch_breaker *b, const struct ch_breaker_conf *conf, uint32_t random)
{
	int64_t most = conf->cooldown_max_us > conf->cooldown_us ? conf->cooldown_max_us : conf->cooldown_us, c = conf->cooldown_us;

	if (c <= 0)
		return 0;
	c = b->trips < 63 && c <= most >> b->trips ? c << b->trips : most;
	if (!(conf->jitter > 0))
		return c;
	if (__builtin_add_overflow(c, (int64_t)((double)c * (conf->jitter < 1 ? conf->jitter : 1) * (random / 4294967296.0)), &c))
		c = INT64_MAX;
	return c;
}

static void trip(struct ch_breaker *b, const struct ch_breaker_conf *conf, int64_t now, uint32_t random)
{
	int64_t length = cooldown(b, conf, random);

	enter(b, CH_BREAKER_OPEN, now);
	b->cooldown = length;
	b->trips += b->trips < UINT32_MAX;
}

/* ---- half open ---- */

/* Have the probes that were let through been silent for too long? */
static bool silent(const struct ch_breaker *b, const struct ch_breaker_conf *conf, int64_t now)
{
	return conf->probe_us > 0 && passed(b->since, now) >= (uint64_t)conf->probe_us;
}

static uint32_t probe(struct ch_breaker *b, int64_t now)
{
	b->running++;
	b->since = now;
	return pass_of(b);
}

/* ---- entries ---- */

uint32_t ch_breaker_allow(struct ch_breaker *b, const struct ch_breaker_conf *conf, int64_t now_us)
{
	switch (b->state) {
	case CH_BREAKER_CLOSED:
		return pass_of(b);
	case CH_BREAKER_OPEN:
		if (now_us < b->since)
			b->since = now_us;
		if (passed(b->since, now_us) < (uint64_t)b->cooldown)
			return 0;
		enter(b, CH_BREAKER_HALF_OPEN, now_us);
		return probe(b, now_us);
	default:
		if (now_us < b->since)
			b->since = now_us;
		if (b->running >= or_one(conf->probes)) {
			if (!silent(b, conf, now_us))
				return 0;
			enter(b, CH_BREAKER_HALF_OPEN, now_us); /* what the silent ones say after all is of an earlier epoch */
		}
		return probe(b, now_us);
	}
}

enum ch_breaker_outcome ch_breaker_judge(const struct ch_breaker_conf *conf, bool succeeded, int64_t took_us)
{
	if (!succeeded)
		return CH_BREAKER_FAILED;
	return conf->slow_us > 0 && took_us > conf->slow_us ? CH_BREAKER_SLOW : CH_BREAKER_OK;
}

bool ch_breaker_report(struct ch_breaker *b, const struct ch_breaker_conf *conf, uint32_t pass, enum ch_breaker_outcome outcome,
		       int64_t now_us, uint32_t random)
{
	bool failed = outcome == CH_BREAKER_FAILED || (outcome == CH_BREAKER_SLOW && conf->slow_us > 0);

	if (pass != pass_of(b))
		return false;
	if (b->state == CH_BREAKER_CLOSED) {
		slide(b, conf, now_us);
		count(b, failed);
		if (!failed || !too_many(b, conf))
			return false;
		trip(b, conf, now_us, random);
		return true;
	}
	/* Half open: no pass is given while it is open. */
	if (failed) {
		trip(b, conf, now_us, random);
		return true;
	}
	b->running -= b->running > 0;
	if (++b->succeeded < or_one(conf->successes))
		return false;
	enter(b, CH_BREAKER_CLOSED, now_us);
	return true;
}

void ch_breaker_cancelled(struct ch_breaker *b, uint32_t pass)
{
	if (b->state == CH_BREAKER_HALF_OPEN && pass == pass_of(b))
		b->running -= b->running > 0;
}

int64_t ch_breaker_wait(const struct ch_breaker *b, const struct ch_breaker_conf *conf, int64_t now_us)
{
	uint64_t length, gone = passed(b->since, now_us);

	if (b->state == CH_BREAKER_CLOSED)
		return 0;
	if (b->state == CH_BREAKER_OPEN) {
		length = (uint64_t)b->cooldown;
	} else {
		if (b->running < or_one(conf->probes))
			return 0;
		if (conf->probe_us <= 0)
			return -1;
		length = (uint64_t)conf->probe_us;
	}
	return gone < length ? (int64_t)(length - gone) : 0;
}

const char *ch_breaker_state_name(int state)
{
	return state == CH_BREAKER_CLOSED ? "closed" : state == CH_BREAKER_OPEN ? "open" : "half-open";
}
