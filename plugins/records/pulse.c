/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pulse.c - the house loop's timer: it wakes the shippers, because appending makes no system call that could, and looks how the journal is.
 *
 * Threads and ownership: on the house loop; what is [any] says so.
 */
#include <stdio.h>

#include "records.h"

#define BUSY_MS 20                        /* between two looks while rows wait */
#define IDLE_MS 200
#define MEASURE_US 1000000
#define ALARM 0.8                         /* of max_bytes */
#define BEHIND 60                         /* seconds: a sink that is so far behind is degraded */
#define REFUSING_US 300000000             /* a sink that has refused rows since then is so, too */

static void measure(struct ch_self *self)
{
	struct records *state = self->state;
	struct journal_status status;
	double full;

	journal_status(state->ledger->journal, &status);
	full = status.max_bytes ? (double)status.used_bytes / (double)status.max_bytes : 0;
	ch_set(state->bytes, (double)status.used_bytes);
	ch_set(state->full, full);
	ch_set(state->sync_seconds, (double)status.sync_us / 1e6);
	ch_set(state->sync_failures, (double)status.sync_failures);
	ch_set(state->quarantined, (double)status.damaged_bytes);
	ch_degraded(self, "journal", status.failed || status.no_room || full >= ALARM,
		"%s%.0f %% of max_bytes is used: rows wait for their sinks",
		status.failed ? "the disk takes no rows; " : status.no_room ? "the disk is full; " : "", full * 100);
	for (size_t i = 0; i < state->nsinks; i++)
		if (state->sinks[i].shipper->owner == self)
			shipper_measure(state->sinks[i].shipper);
}

static void on_pulse(void *data)
{
	struct ch_self *self = data;
	struct records *state = self->state;
	bool pending = false;
	int64_t now = ch_now();

	for (size_t i = 0; i < state->nsinks; i++) {
		struct shipper *s = state->sinks[i].shipper;

		if (s->owner != self)
			continue; /* a successor has it */
		shipper_poll(s);
		pending |= s->busy || shipper_lag(s);
	}
	if (now - state->measured_at >= MEASURE_US) {
		state->measured_at = now;
		measure(self);
	}
	ch_timer_set(state->pulse, pending ? BUSY_MS : IDLE_MS);
}

int records_pulse_start(struct ch_self *self, struct ch_loop *house)
{
	struct records *state = self->state;

	state->pulse = ch_timer(house, on_pulse, self);
	if (!state->pulse)
		return CH_ERROR;
	for (size_t i = 0; i < state->nsinks; i++) {
		state->sinks[i].shipper->owner = self;
		state->sinks[i].shipper->svc = state->sinks[i].svc;
	}
	ch_timer_set(state->pulse, 0);
	return CH_OK;
}

/* The server ends without them: nothing is lost, but whoever reads the log is to know where they are. */
static void tell_left(struct ch_self *self, const struct shipper *s)
{
	struct ch_server server = { .size = sizeof(server) };
	uint64_t n = shipper_lag(s);

	ch_server(&server);
	if (n && server.draining)
		ch_log(self, NULL, CH_WARN, "%llu %s in the journal for %s and %s sent after the next start", (unsigned long long)n,
			n == 1 ? "row waits" : "rows wait", s->id, n == 1 ? "is" : "are");
}

void records_pulse_stop(struct ch_self *self)
{
	struct records *state = self->state;

	for (size_t i = 0; i < state->nsinks; i++)
		if (state->sinks[i].shipper->owner == self) {
			shipper_tell_dead(state->sinks[i].shipper, true);
			tell_left(self, state->sinks[i].shipper);
			state->sinks[i].shipper->owner = NULL;
		}
	if (state->pulse)
		ch_timer_free(state->pulse);
	state->pulse = NULL;
}

bool records_drained(struct ch_self *self)
{
	const struct records *state = self->state;

	for (size_t i = 0; i < state->nsinks; i++)
		if (shipper_hopes(state->sinks[i].shipper))
			return false;
	return true;
}

int records_on_check(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	const struct records *state = self->state;
	struct journal_status status;
	size_t behind = 0;
	const struct shipper *refusing = NULL;
	const char *which = "";
	double worst = 0;

	(void)c;
	journal_status(state->ledger->journal, &status);
	for (size_t i = 0; i < state->nsinks; i++) {
		const struct shipper *s = state->sinks[i].shipper;
		double age = shipper_age(s);

		if (s->dead_at && ch_now() - s->dead_at < REFUSING_US)
			refusing = s;
		if (!atomic_load(&s->down) && age < BEHIND)
			continue;
		behind++;
		if (age >= worst) {
			worst = age;
			which = s->id;
		}
	}
	if (status.failed) {
		out->health = CH_UNHEALTHY;
		snprintf(out->message, sizeof(out->message), "the journal cannot be made durable: %.120s", status.error);
	} else if (status.no_room || status.used_bytes >= status.max_bytes) {
		out->health = CH_UNHEALTHY;
		snprintf(out->message, sizeof(out->message), "the journal is full%s",
			status.no_room ? ": there is no room on its disk" : "");
	} else if ((double)status.used_bytes >= ALARM * (double)status.max_bytes) {
		out->health = CH_DEGRADED;
		snprintf(out->message, sizeof(out->message), "%.0f %% of max_bytes is used",
			100 * (double)status.used_bytes / (double)status.max_bytes);
	} else if (behind) {
		out->health = CH_DEGRADED;
		snprintf(out->message, sizeof(out->message), "%zu of %zu sinks are behind; %s by %.0f s", behind, state->nsinks, which,
			worst);
	} else if (refusing) {
		out->health = CH_DEGRADED;
		snprintf(out->message, sizeof(out->message),
			"%s refused rows in the last 5 minutes, %llu since the start: see chimeractl dlq list",
			refusing->id, (unsigned long long)refusing->dead);
	} else {
		out->health = CH_HEALTHY;
		snprintf(out->message, sizeof(out->message), "all rows are at their sinks, or on their way");
	}
	return CH_OK;
}
