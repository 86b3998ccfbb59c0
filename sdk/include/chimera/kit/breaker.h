/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/breaker.h - a circuit breaker for one dependency. Since 0.2.
 *
 *            too many failures                cooldown is over: the next call is a probe
 *   CLOSED --------------------> OPEN -------------------------------------------------> HALF_OPEN
 *      ^                           ^                                                      |     |
 *      |                           +------------------ a probe failed --------------------+     |
 *      +------------------------------- enough probes succeeded --------------------------------+
 *
 * Closed, every call is let through and its outcome counted: it opens after so many failures in a row, or when of the calls of a sliding
 * window at least such a share failed. Open, no call is let through until the cooldown is over. Half open, a few calls are, as probes; the
 * others are refused until the probes have told.
 *
 * Pure functions: no allocation, no global state, no clock and no random numbers of their own. Times are microseconds of any one clock,
 * best a monotonic one; one that steps back, however far, lengthens a state by no more than what it lasts anyway. Not thread-safe: one
 * breaker per loop, or under the caller's lock. The settings are only read and may be shared; they may change between two calls (a reload).
 *
 *   static const struct ch_breaker_conf conf = {
 *           .failures = 5, .error_rate = 0.5, .min_requests = 20, .cooldown_us = 10000000,
 *   };
 *   struct ch_breaker breaker = { 0 };                       // closed
 *
 *   uint32_t pass = ch_breaker_allow(&breaker, &conf, ch_now());
 *   if (!pass)
 *           return refuse(ch_breaker_wait(&breaker, &conf, ch_now()));
 *   int64_t began = ch_now();
 *   int rc = call();
 *   if (rc == CANCELLED)
 *           ch_breaker_cancelled(&breaker, pass);            // nobody knows how it would have ended
 *   else if (ch_breaker_report(&breaker, &conf, pass, ch_breaker_judge(&conf, rc == 0, ch_now() - began), ch_now(), random_bits()))
 *           log("the backend's circuit is %s now", ch_breaker_state_name(breaker.state));
 *
 * Each pass is handed back exactly once, by ch_breaker_report or ch_breaker_cancelled. A pass belongs to the state it was given in: what a
 * call says that began before the circuit opened is not taken for a probe's outcome, however late it comes.
 */
#ifndef CHIMERA_KIT_BREAKER_H
#define CHIMERA_KIT_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ch_breaker_state {
	CH_BREAKER_CLOSED,
	CH_BREAKER_OPEN,
	CH_BREAKER_HALF_OPEN
};

enum ch_breaker_outcome {
	CH_BREAKER_OK,
	CH_BREAKER_FAILED,
	CH_BREAKER_SLOW /* it ended well and took too long: a failure where slow_us is set, else CH_BREAKER_OK */
};

/* Settings. 0 means what is said there; all zero is a breaker that never opens. */
struct ch_breaker_conf {
	uint32_t failures;       /* opens after so many in a row; 0: never for that */
	double error_rate;       /* opens when this share of the window's calls failed, above 0 to 1; 0: never for that */
	uint32_t min_requests;   /* … if there were at least so many; 0: 1 */
	int64_t window_us;       /* … in the last so many microseconds, less up to a tenth; 0: CH_BREAKER_WINDOW_US */
	int64_t slow_us;         /* a call that takes longer is slow; 0: none is */
	int64_t cooldown_us;     /* how long it stays open; 0: not at all, the next call is a probe */
	int64_t cooldown_max_us; /* doubled each time that the probes fail, up to this; 0 or less than cooldown_us: it stays the same */
	double jitter;           /* 0 to 1: a cooldown is lengthened by a random share up to this, so that many do not probe as one */
	uint32_t probes;         /* half open, so many calls at once; 0: 1 */
	uint32_t successes;      /* half open, closes after so many that succeeded; 0: 1 */
	int64_t probe_us;        /* half open, when all are out and the last one is so old, new ones are let through; 0: never */
};

#define CH_BREAKER_WINDOW_US 10000000
#define CH_BREAKER_SLOTS 10 /* the tenths */

/* Calls that ended within a stretch of time. */
struct ch_breaker_slot {
	uint32_t calls, failed;
};

/* The breaker; all zero bytes are a closed one. Read `state` as you like, leave the rest alone. */
struct ch_breaker {
	uint8_t state;      /* enum ch_breaker_state */
	uint8_t slot;       /* closed: of slots[], the newest */
	uint32_t epoch;     /* counts changes of the state; what a pass is checked against */
	uint32_t in_a_row;  /* closed: failures since the last success */
	uint32_t trips;     /* how often it opened since it was closed */
	uint32_t running;   /* half open: probes that have not told yet */
	uint32_t succeeded; /* half open: probes that did */
	int64_t since;      /* closed: the newest slot's begin; open: when it opened; half open: when the last probe was let through */
	int64_t cooldown;   /* open: how long */
	struct ch_breaker_slot slots[CH_BREAKER_SLOTS], window; /* closed: the last tenths of the window, and their sum */
};

/* May a call be made? Returns its pass, or 0: no. Makes an open circuit half open when the cooldown is over. Give every pass back, once. */
uint32_t ch_breaker_allow(struct ch_breaker *b, const struct ch_breaker_conf *conf, int64_t now_us);

/* What is to be reported of a call that succeeded or not and took so long. */
enum ch_breaker_outcome ch_breaker_judge(const struct ch_breaker_conf *conf, bool succeeded, int64_t took_us);

/*
 * How a call ended. `random`: 32 random bits, looked at when this opens the circuit and there is a jitter. Returns true if the state is
 * another one now: log it, once. A pass of an earlier state, or 0, changes nothing. A circuit opens only with a failure, never with a
 * success that completes min_requests.
 */
bool ch_breaker_report(struct ch_breaker *b, const struct ch_breaker_conf *conf, uint32_t pass, enum ch_breaker_outcome outcome,
                       int64_t now_us, uint32_t random);

/* The call was given up, or its end says nothing about the dependency (the client left): it is not counted, and a probe's place is free. */
void ch_breaker_cancelled(struct ch_breaker *b, uint32_t pass);

/*
 * Would ch_breaker_allow let a call through? 0: yes. Above 0: in so many microseconds. -1: when a probe has told, or was cancelled.
 * Changes nothing: for choosing among several, and for Retry-After.
 */
int64_t ch_breaker_wait(const struct ch_breaker *b, const struct ch_breaker_conf *conf, int64_t now_us);

/* "closed", "open" or "half-open"; static storage. */
const char *ch_breaker_state_name(int state);

#ifdef __cplusplus
}
#endif
#endif
