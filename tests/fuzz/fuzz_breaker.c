/* SPDX-License-Identifier: MIT */
/*
 * Circuit breakers. The input is settings, then calls, their ends in any order and steps of the clock. A model that keeps every call and
 * every pass must agree with what is let through and with each change of the state.
 */
#include <stdbool.h>

#include "chimera/kit/breaker.h"
#include "fuzz.h"

#define STEPS 1000
#define PASSES 16

struct input {
	const uint8_t *p;
	size_t n;
};

struct model {
	struct ch_breaker b;
	struct ch_breaker_conf conf;
	int64_t now;
	uint32_t passes[PASSES]; /* not handed back yet; 0: none */
	bool fresh[PASSES];      /* of the state that lasts */
	uint32_t row, good;
	struct { int64_t at; bool failed; } ended[STEPS]; /* calls counted since the circuit was closed */
	int nended;
	bool forward; /* the clock did not go back since then */
};

static uint64_t number(struct input *in, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes && in->n; i++) {
		v |= (uint64_t)*in->p++ << 8 * i;
		in->n--;
	}
	return v;
}

static uint32_t least(uint32_t n)
{
	return n ? n : 1;
}

/* The breaker went into another state: no pass so far counts any more. */
static void changed(struct model *m)
{
	memset(m->fresh, 0, sizeof(m->fresh));
	m->row = m->good = 0;
	m->nended = 0;
	m->forward = true;
}

static uint32_t fresh_passes(const struct model *m)
{
	uint32_t n = 0;

	for (int i = 0; i < PASSES; i++)
		n += m->passes[i] && m->fresh[i];
	return n;
}

/* The cooldown after a trip, doubled for each one since it was closed, in another way; the jitter is at most a share of it. */
static void check_cooldown(const struct model *m, uint32_t trips)
{
	int64_t c = m->conf.cooldown_us, most = m->conf.cooldown_max_us > c ? m->conf.cooldown_max_us : c;

	while (trips-- && c < most)
		c = c > most / 2 ? most : c * 2;
	FUZZ_CHECK(m->b.cooldown >= c && (double)m->b.cooldown <= (double)c * (1 + m->conf.jitter));
	FUZZ_CHECK(ch_breaker_wait(&m->b, &m->conf, m->now) == m->b.cooldown);
}

/* What allow and wait say of this moment fits together. */
static void check_moment(const struct model *m)
{
	int64_t wait = ch_breaker_wait(&m->b, &m->conf, m->now);
	struct ch_breaker copy = m->b, later = m->b;

	FUZZ_CHECK((ch_breaker_allow(&copy, &m->conf, m->now) != 0) == (wait == 0));
	if (wait > 0) {
		FUZZ_CHECK(wait == 1 || !ch_breaker_allow(&copy, &m->conf, m->now + wait - 1));
		FUZZ_CHECK(ch_breaker_allow(&copy, &m->conf, m->now + wait));
	} else if (wait < 0) {
		FUZZ_CHECK(!ch_breaker_allow(&later, &m->conf, INT64_MAX) && m->b.state == CH_BREAKER_HALF_OPEN);
	}
	if (m->b.state == CH_BREAKER_HALF_OPEN) {
		FUZZ_CHECK(m->b.running == fresh_passes(m) && m->b.running <= least(m->conf.probes));
		FUZZ_CHECK(m->b.succeeded == m->good && m->good < least(m->conf.successes));
	}
	if (m->b.state == CH_BREAKER_OPEN)
		FUZZ_CHECK(fresh_passes(m) == 0);
}

static void allow(struct model *m)
{
	int state = m->b.state, i = 0;
	uint32_t pass, epoch = m->b.epoch;

	while (i < PASSES && m->passes[i])
		i++;
	if (i == PASSES)
		return;
	pass = ch_breaker_allow(&m->b, &m->conf, m->now);
	if (m->b.epoch != epoch) {
		FUZZ_CHECK(pass && m->b.state == CH_BREAKER_HALF_OPEN && state != CH_BREAKER_CLOSED);
		FUZZ_CHECK(state == CH_BREAKER_OPEN || (m->conf.probe_us && fresh_passes(m) >= least(m->conf.probes)));
		changed(m);
	} else {
		FUZZ_CHECK(m->b.state == state);
	}
	m->passes[i] = pass;
	m->fresh[i] = pass != 0;
}

/* Counts of the window against those of all calls: what is younger than nine tenths is in it, what is older than the whole is not. */
static void check_window(const struct model *m, const struct ch_breaker *b)
{
	int64_t all = m->conf.window_us ? m->conf.window_us : CH_BREAKER_WINDOW_US, tenth = all >= 10 ? all / 10 : 1;
	struct ch_breaker_slot sum = { 0, 0 };
	uint32_t calls[2] = { 0 }, failed[2] = { 0 };

	for (int i = 0; i < CH_BREAKER_SLOTS; i++) {
		sum.calls += b->slots[i].calls;
		sum.failed += b->slots[i].failed;
	}
	FUZZ_CHECK(sum.calls == b->window.calls && sum.failed == b->window.failed && sum.failed <= sum.calls);
	for (int i = 0; i < m->nended; i++) {
		int64_t age = m->now - m->ended[i].at;

		for (int k = 0; k < 2; k++) {
			bool in = age < tenth * (9 + k);

			calls[k] += in;
			failed[k] += in && m->ended[i].failed;
		}
	}
	if (m->forward) {
		FUZZ_CHECK(sum.calls >= calls[0] && sum.calls <= calls[1]);
		FUZZ_CHECK(sum.failed >= failed[0] && sum.failed <= failed[1]);
	}
}

static void closed_report(struct model *m, uint32_t pass, enum ch_breaker_outcome outcome, bool failed, uint32_t random)
{
	struct ch_breaker_conf never = { .window_us = m->conf.window_us, .slow_us = m->conf.slow_us };
	struct ch_breaker copy = m->b;
	bool open, got;

	/* One that cannot open shows the counts. */
	FUZZ_CHECK(!ch_breaker_report(&copy, &never, pass, outcome, m->now, random));
	m->ended[m->nended].at = m->now;
	m->ended[m->nended++].failed = failed;
	check_window(m, &copy);
	m->row = failed ? m->row + 1 : 0;
	open = failed && ((m->conf.failures && m->row >= m->conf.failures) ||
		(m->conf.error_rate > 0 && copy.window.calls >= least(m->conf.min_requests) &&
			copy.window.failed >= m->conf.error_rate * copy.window.calls));
	got = ch_breaker_report(&m->b, &m->conf, pass, outcome, m->now, random);
	FUZZ_CHECK(got == open && m->b.state == (open ? CH_BREAKER_OPEN : CH_BREAKER_CLOSED));
	if (open) {
		check_cooldown(m, 0);
		changed(m);
	}
}

static void probe_report(struct model *m, uint32_t pass, enum ch_breaker_outcome outcome, bool failed, uint32_t random)
{
	uint32_t trips = m->b.trips;
	bool got = ch_breaker_report(&m->b, &m->conf, pass, outcome, m->now, random);

	if (failed) {
		FUZZ_CHECK(got && m->b.state == CH_BREAKER_OPEN && m->b.trips == trips + 1);
		check_cooldown(m, trips);
		changed(m);
	} else if (++m->good == least(m->conf.successes)) {
		FUZZ_CHECK(got && m->b.state == CH_BREAKER_CLOSED && m->b.trips == 0);
		changed(m);
	} else {
		FUZZ_CHECK(!got && m->b.state == CH_BREAKER_HALF_OPEN);
	}
}

/* How the call with the i-th pass ended: 3 is cancelled. */
static void end(struct model *m, int i, unsigned int how, uint32_t random)
{
	uint32_t pass = m->passes[i];
	bool fresh = m->fresh[i], failed = how == CH_BREAKER_FAILED || (how == CH_BREAKER_SLOW && m->conf.slow_us);
	struct ch_breaker before;

	memcpy(&before, &m->b, sizeof(before));
	m->passes[i] = 0;
	if (how == 3) {
		ch_breaker_cancelled(&m->b, pass);
		FUZZ_CHECK(m->b.state == before.state && m->b.epoch == before.epoch);
	} else if (fresh && m->b.state == CH_BREAKER_CLOSED) {
		closed_report(m, pass, (enum ch_breaker_outcome)how, failed, random);
	} else if (fresh) {
		probe_report(m, pass, (enum ch_breaker_outcome)how, failed, random);
	} else {
		FUZZ_CHECK(!ch_breaker_report(&m->b, &m->conf, pass, (enum ch_breaker_outcome)how, m->now, random));
		FUZZ_CHECK(!memcmp(&before, &m->b, sizeof(before)));
	}
}

static void step(struct model *m, struct input *in)
{
	uint64_t what = number(in, 1);
	int i = (int)(what >> 4);

	switch (what & 15) {
	case 0: case 1: case 2: case 3:
		allow(m);
		break;
	case 4: case 5: case 6: case 7: case 8: case 9:
		while (i < PASSES && !m->passes[i])
			i++;
		if (i < PASSES)
			end(m, i, (unsigned int)(what & 3), (uint32_t)fuzz_hash(in->p, in->n));
		break;
	case 10: case 11:
		m->now += (int64_t)number(in, 1);
		break;
	case 12:
		m->now += (int64_t)number(in, 3);
		break;
	case 13: { /* to the moment at which something happens */
		int64_t wait = ch_breaker_wait(&m->b, &m->conf, m->now);

		m->now += wait > i % 2 ? wait - i % 2 : 0;
		break;
	}
	case 14:
		if (i == 0) {
			m->now -= (int64_t)number(in, 3);
			m->forward = false;
		}
		break;
	default:
		allow(m);
		for (i = 0; i < PASSES; i++)
			if (m->passes[i])
				end(m, i, CH_BREAKER_FAILED, 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct model m = { .forward = true };

	m.conf.failures = (uint32_t)number(&in, 1) % 8;
	m.conf.error_rate = (double)(number(&in, 1) % 6) / 4; /* 1.25 is never */
	m.conf.min_requests = (uint32_t)number(&in, 1) % 16;
	m.conf.window_us = (int64_t)number(&in, 2);
	m.conf.slow_us = (int64_t)number(&in, 1) % 2;
	m.conf.cooldown_us = (int64_t)number(&in, 2);
	m.conf.cooldown_max_us = (int64_t)number(&in, 3);
	m.conf.jitter = (double)(number(&in, 1) % 5) / 4;
	m.conf.probes = (uint32_t)number(&in, 1) % 4;
	m.conf.successes = (uint32_t)number(&in, 1) % 4;
	m.conf.probe_us = (int64_t)number(&in, 2);
	for (int i = 0; in.n && i < STEPS; i++) {
		step(&m, &in);
		check_moment(&m);
	}
	/* Whatever happened: when nobody is out any more and time has passed, a call is let through. */
	for (int i = 0; i < PASSES; i++)
		if (m.passes[i])
			end(&m, i, 3, 0);
	if (m.b.state == CH_BREAKER_OPEN)
		m.now = (m.now > m.b.since ? m.now : m.b.since) + m.b.cooldown;
	FUZZ_CHECK(ch_breaker_allow(&m.b, &m.conf, m.now));
	return 0;
}
