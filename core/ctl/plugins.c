/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugins: instances, hooks in the order of their chains, routes; from the config or from a running server, which also tells what hooks
 * have cost. One document, shown one way.
 */
#include "core/ctl/client.h"
#include "core/ctl/ctl.h"
#include "core/ctl/doc.h"
#include "core/ctl/table.h"

#include "core/plugin/control.h"

#include <stdlib.h>

/* A table of one array of objects: a column for each member named. */
static void show_array(const struct ctl *ctl, struct ch_str array, const char *const *members, size_t n)
{
	struct ctl_table t = { .columns = n };
	struct ch_str row;
	char *cells[CTL_COLUMNS];

	ctl_table_row(&t, members);
	for (size_t at = 0; ctl_each(array, &at, NULL, &row);) {
		for (size_t i = 0; i < n; i++)
			cells[i] = ctl_text(ctl_member(row, members[i]));
		ctl_table_take(&t, cells);
	}
	ctl_table_print(&t, stdout, ctl->colour);
}

static char *copy(struct ch_str s)
{
	char *text = malloc(s.n + 1);

	if (text) {
		memcpy(text, s.p, s.n);
		text[s.n] = '\0';
	}
	return text;
}

static void show_chains(const struct ctl *ctl, struct ch_str chains)
{
	struct ctl_table t = { .columns = 2 };
	struct ch_str phase, ids;

	ctl_table_row(&t, (const char *const[]){ "phase", "hooks in order" });
	for (size_t at = 0; ctl_each(chains, &at, &phase, &ids);) {
		char *cells[CTL_COLUMNS] = { copy(phase), ctl_text(ids) };
		if (!cells[1] || !*cells[1]) {
			free(cells[1]);
			cells[1] = strdup("-");
		}
		ctl_table_take(&t, cells);
	}
	ctl_table_print(&t, stdout, ctl->colour);
}

static char *milliseconds(struct ch_str value)
{
	char *text;

	if (!value.n || *value.p == 'n') /* null: none was timed */
		return strdup("-");
	return asprintf(&text, "%.3f ms", ctl_number(value) * 1e3) < 0 ? NULL : text;
}

/* What hooks have cost: those that were called, or block a loop now. */
static void show_costs(const struct ctl *ctl, struct ch_str hooks)
{
	struct ctl_table t = { .columns = 8 };
	struct ch_str row;

	ctl_table_row(&t, (const char *const[]){ "id", "hook", "calls", "errors", "over budget", "mean", "worst", "stalled now" });
	for (size_t at = 0; ctl_each(hooks, &at, NULL, &row);) {
		char *stalled = ctl_text(ctl_member(row, "stalled"));
		if (ctl_number(ctl_member(row, "calls")) > 0)
			ctl_table_take(&t, (char *const[]){ ctl_text(ctl_member(row, "id")), ctl_text(ctl_member(row, "hook")),
						   ctl_text(ctl_member(row, "calls")), ctl_text(ctl_member(row, "errors")),
						   ctl_text(ctl_member(row, "over_budget")), milliseconds(ctl_member(row, "mean_seconds")),
						   milliseconds(ctl_member(row, "worst_seconds")), stalled });
		else
			free(stalled);
	}
	putchar('\n');
	ctl_table_print(&t, stdout, ctl->colour);
}

static int show(const struct ctl *ctl, struct ch_str doc)
{
	if (ctl->json) {
		printf("%.*s\n", (int)doc.n, doc.p);
		return 0;
	}
	show_array(ctl, ctl_member(doc, "plugins"), (const char *const[]){ "id", "plugin", "version", "abi", "provides", "summary" }, 6);
	putchar('\n');
	show_chains(ctl, ctl_member(doc, "chains"));
	putchar('\n');
	show_array(ctl, ctl_member(doc, "routes"), (const char *const[]){ "method", "pattern", "id" }, 3);
	struct ch_str hooks = ctl_member(doc, "hooks");
	if (hooks.n)
		show_costs(ctl, hooks);
	return 0;
}

int ctl_plugins(const struct ctl *ctl)
{
	struct chi_report *report = chi_report_new();
	struct chi_gen *g = chi_config_build(report);
	struct ch_jw w;

	chi_report_print(report, stderr, false);
	chi_report_free(report);
	if (!g)
		return CHI_EXIT_CONFIG;
	ch_jw_init(&w, NULL, 0);
	w.grow = ctl_grow;
	chi_plugins_json(g, NULL, &w);
	int code = w.failed ? ctl_fail(CHI_EXIT_OSERR, "there is not enough memory") : show(ctl, (struct ch_str){ w.buf, w.len });
	free(w.buf);
	chi_gen_free(g);
	return code;
}

int ctl_plugins_live(const struct ctl *ctl)
{
	struct ctl_answer a;
	int code = ctl_ask(ctl->socket, "GET", "/control/plugins", NULL, &a);

	if (code)
		return code;
	show(ctl, (struct ch_str){ a.body, a.n });
	free(a.body);
	return 0;
}
