/* SPDX-License-Identifier: Apache-2.0 */
/* status, log level: questions to a running server. */
#include "core/ctl/client.h"
#include "core/ctl/ctl.h"
#include "core/ctl/doc.h"
#include "core/ctl/table.h"

#include <stdlib.h>

/* ---- status ---- */

static void line(struct ctl_table *t, const char *name, char *value)
{
	char *cells[CTL_COLUMNS] = { strdup(name), value };

	ctl_table_take(t, cells);
}

static char *print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *print(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return text;
}

static char *uptime(double seconds)
{
	unsigned long s = (unsigned long)seconds;

	if (s < 60)
		return print("%lu s", s);
	if (s < 3600)
		return print("%lu min %lu s", s / 60, s % 60);
	if (s < 86400)
		return print("%lu h %lu min", s / 3600, s / 60 % 60);
	return print("%lu d %lu h", s / 86400, s / 3600 % 24);
}

static char *workers(struct ch_str doc)
{
	double stalled = ctl_number(ctl_member(doc, "stalled"));

	return stalled > 0 ? print("%.0f, %.0f of them stalled", ctl_number(ctl_member(doc, "workers")), stalled)
			   : ctl_text(ctl_member(doc, "workers"));
}

static void show_status(const struct ctl *ctl, struct ch_str doc)
{
	static const char *const plain[][2] = { { "connections", "connections" }, { "requests", "requests" },
		{ "generation", "config generation" }, { "log_level", "log level" } };
	struct ctl_table t = { .columns = 2, .headless = true }, loops = { .columns = 2 };
	char *state = ctl_text(ctl_member(doc, "state"));
	struct ch_str loop;

	if (state && ctl->colour) {
		char *painted = print("\033[%dm%s\033[0m", strcmp(state, "ready") ? 33 : 32, state);
		free(state);
		state = painted;
	}
	line(&t, "state", state);
	line(&t, "version", ctl_text(ctl_member(doc, "version")));
	line(&t, "profile", ctl_text(ctl_member(doc, "profile")));
	line(&t, "up for", uptime(ctl_number(ctl_member(doc, "uptime_seconds"))));
	line(&t, "workers", workers(doc));
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		line(&t, plain[i][1], ctl_text(ctl_member(doc, plain[i][0])));
	ctl_table_print(&t, stdout, ctl->colour);
	putchar('\n');
	ctl_table_row(&loops, (const char *const[]){ "loop", "lag" });
	for (size_t at = 0; ctl_each(ctl_member(doc, "loops"), &at, NULL, &loop);)
		ctl_table_take(&loops, (char *const[]){ ctl_text(ctl_member(loop, "name")),
					       print("%.3f ms", ctl_number(ctl_member(loop, "lag_seconds")) * 1e3) });
	ctl_table_print(&loops, stdout, ctl->colour);
}

int ctl_status(const struct ctl *ctl)
{
	struct ctl_answer a;
	int code = ctl_ask(ctl->socket, "GET", "/control/status", NULL, &a);

	if (code)
		return code;
	if (ctl->json)
		printf("%s\n", a.body);
	else
		show_status(ctl, (struct ch_str){ a.body, a.n });
	free(a.body);
	return 0;
}

/* ---- log ---- */

int ctl_log_level(const struct ctl *ctl)
{
	static const char *const levels[] = { "debug", "info", "warn", "error" };
	const char *level = ctl->nargs > 1 ? ctl->args[1] : NULL;
	bool known = !level;
	struct ctl_answer a;

	if (strcmp(ctl->args[0], "level"))
		return ctl_fail(CHI_EXIT_USAGE, "log '%s' is unknown: it is log level [debug | info | warn | error]", ctl->args[0]);
	for (size_t i = 0; level && i < sizeof(levels) / sizeof(*levels); i++)
		known |= !strcmp(level, levels[i]);
	if (!known)
		return ctl_fail(CHI_EXIT_USAGE, "'%s' is no log level: allowed are debug, info, warn and error", level);
	int code = ctl_ask(ctl->socket, level ? "POST" : "GET", "/control/log-level", level, &a);
	if (code)
		return code;
	if (ctl->json) {
		printf("%s\n", a.body);
	} else {
		char *now = ctl_text(ctl_member((struct ch_str){ a.body, a.n }, "level"));
		printf("%s\n", now ? now : "");
		free(now);
	}
	free(a.body);
	return 0;
}
