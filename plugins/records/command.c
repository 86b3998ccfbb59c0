/* SPDX-License-Identifier: Apache-2.0 */
/* command.c - `chimeractl records status|show`: how far each sink is. On the house loop. */
#include <stdio.h>

#include "records.h"

#define BAR 30

static const char *bytes(struct ch_ctx *c, uint64_t n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)n;
	size_t unit = 0;

	while (v >= 1024 && unit < 4) {
		v /= 1024;
		unit++;
	}
	return ch_print(c, unit ? "%.1f %s" : "%.0f %s", v, units[unit]);
}

static void show_journal(const struct records *state, struct ch_ctx *c)
{
	struct journal_status st;
	char bar[BAR + 1];
	const char *used, *max;
	size_t full;

	journal_status(state->ledger->journal, &st);
	full = st.max_bytes ? (size_t)((double)st.used_bytes / (double)st.max_bytes * BAR + 0.5) : 0;
	for (size_t i = 0; i < BAR; i++)
		bar[i] = i < full ? '#' : '.';
	bar[BAR] = 0;
	used = bytes(c, st.used_bytes);
	max = bytes(c, st.max_bytes);
	ch_out(c, "journal [%s] %s of %s in %llu segments, %llu rows so far, %llu of them on disk\n", bar, used ? used : "?",
		max ? max : "?",
		(unsigned long long)st.segments, (unsigned long long)st.end.row, (unsigned long long)st.synced.row);
	if (*st.error)
		ch_out(c, "   |     %s: %s\n", st.failed ? "FAILS" : "failed once", st.error);
	if (st.damaged_bytes || st.missing_segments)
		ch_out(c, "   |     %llu damaged bytes in quarantine/, %llu segments missing\n", (unsigned long long)st.damaged_bytes,
			(unsigned long long)st.missing_segments);
}

static void show_sink(const struct shipper *s, struct ch_ctx *c, bool last)
{
	const char *line = last ? " " : "|";
	uint64_t lag = shipper_lag(s);

	ch_out(c, "   |\n   +--> %-24s up to row %llu, %llu waiting", s->id, (unsigned long long)atomic_load(&s->passed_row),
		(unsigned long long)lag);
	if (lag)
		ch_out(c, ", the oldest for %.1f s", shipper_age(s));
	ch_out(c, "\n   %s      since the start: %llu shipped, %llu dead letters\n", line, (unsigned long long)s->shipped,
		(unsigned long long)s->dead);
	if (atomic_load(&s->down))
		ch_out(c, "   %s      DOWN, %u attempts: %s\n", line, s->attempts, s->last_error);
	else if (s->last_error_at)
		ch_out(c, "   %s      last error %.0f s ago: %s\n", line, (double)(ch_wall() - s->last_error_at) / 1e6, s->last_error);
}

static int status(struct ch_self *self, struct ch_ctx *c)
{
	const struct records *state = self->state;

	show_journal(state, c);
	for (size_t i = 0; i < state->nsinks; i++)
		show_sink(state->sinks[i].shipper, c, i + 1 == state->nsinks);
	if (!state->nsinks)
		ch_out(c, "   no sink: rows stay in the journal until it is full\n");
	return CH_DONE;
}

int records_command(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	if (!strcmp(argv[0], "status") && argc == 1)
		return status(self, c);
	if (!strcmp(argv[0], "show") && argc == 2)
		return records_show(self, c, argv[1]);
	if (!strcmp(argv[0], "show"))
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "which request? Write: records show REQ_ID");
	return ch_refuse(c, CH_E_BAD_REQUEST, 0, "\"%.80s\" is neither status nor show REQ_ID", argv[0]);
}
