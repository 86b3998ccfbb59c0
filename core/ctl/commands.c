/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ctl/commands.h"

#include "core/ctl/client.h"
#include "core/ctl/doc.h"
#include "core/ctl/table.h"

#include "core/plugin/command.h"

#include <stdlib.h>

/* {"commands":[…]} of the running server, or of what the config makes. */
static int commands(const struct ctl *ctl, struct ctl_answer *out)
{
	if (ctl->socket)
		return ctl_ask(ctl->socket, "GET", "/control/commands", NULL, out);
	struct chi_report *report = chi_report_new();
	struct chi_gen *g = chi_config_build(report);
	struct ch_jw w;

	if (!g)
		chi_report_print(report, stderr, false);
	chi_report_free(report);
	if (!g)
		return CHI_EXIT_CONFIG;
	ch_jw_init(&w, NULL, 0);
	w.grow = ctl_grow;
	chi_commands_json(g, &w);
	chi_gen_free(g);
	*out = (struct ctl_answer){ 200, w.buf, w.len };
	return w.failed ? ctl_fail(CHI_EXIT_OSERR, "there is not enough memory") : 0;
}

static bool is_text(struct ch_str value, const char *want)
{
	char *text = ctl_text(value);
	bool same = text && !strcmp(text, want);

	free(text);
	return same;
}

static bool wanted(struct ch_str row, const char *instance, const char *command)
{
	return (!instance || is_text(ctl_member(row, "instance"), instance)) && (!command || is_text(ctl_member(row, "name"), command));
}

static void show_table(const struct ctl *ctl, struct ch_str rows, const char *instance)
{
	static const char *const members[] = { "instance", "name", "args", "modes", "summary" };
	struct ctl_table t = { .columns = 5 };
	struct ch_str row;

	ctl_table_row(&t, (const char *const[]){ "instance", "command", "arguments", "runs", "summary" });
	for (size_t at = 0; ctl_each(rows, &at, NULL, &row);) {
		char *cells[CTL_COLUMNS] = { NULL };
		for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
			cells[i] = wanted(row, instance, NULL) ? ctl_text(ctl_member(row, members[i])) : NULL;
		if (cells[0])
			ctl_table_take(&t, cells);
	}
	ctl_table_print(&t, stdout, ctl->colour);
}

static void show_json(struct ch_str rows, const char *instance)
{
	struct ch_str row;
	const char *comma = "";

	fputs("{\"commands\":[", stdout);
	for (size_t at = 0; ctl_each(rows, &at, NULL, &row);)
		if (wanted(row, instance, NULL)) {
			printf("%s%.*s", comma, (int)row.n, row.p);
			comma = ",";
		}
	puts("]}");
}

static int no_instance(struct ch_str rows, const char *instance)
{
	struct ch_near near;
	struct ch_str row;

	ch_near_init(&near, instance);
	for (size_t at = 0; ctl_each(rows, &at, NULL, &row);) {
		char *id = ctl_text(ctl_member(row, "instance"));
		if (id)
			ch_near_offer(&near, id);
		free(id);
	}
	return ctl_fail(CHI_EXIT_USAGE, "no instance '%s' has commands%s%s: chimeractl run lists those that have", instance,
		*near.best ? "; did you mean " : "", near.best);
}

int ctl_commands_list(const struct ctl *ctl, const char *instance)
{
	struct ctl_answer doc;
	struct ch_str row;
	size_t n = 0;
	int code = commands(ctl, &doc);

	if (code)
		return code;
	struct ch_str rows = ctl_member((struct ch_str){ doc.body, doc.n }, "commands");
	for (size_t at = 0; ctl_each(rows, &at, NULL, &row);)
		n += wanted(row, instance, NULL);
	if (!n && instance)
		code = no_instance(rows, instance);
	else if (ctl->json)
		show_json(rows, instance);
	else if (n)
		show_table(ctl, rows, instance);
	else
		fputs("chimeractl: no enabled plugin has commands\n", stderr);
	free(doc.body);
	return code;
}

/* How one command is used. */
int ctl_commands_explain(const struct ctl *ctl, const char *instance, const char *command)
{
	struct ctl_answer doc;
	struct ch_str row, found = { NULL, 0 };
	int code = commands(ctl, &doc);

	if (code)
		return code;
	for (size_t at = 0; ctl_each(ctl_member((struct ch_str){ doc.body, doc.n }, "commands"), &at, NULL, &row);)
		found = wanted(row, instance, command) ? row : found;
	if (found.n) {
		char *args = ctl_text(ctl_member(found, "args")), *summary = ctl_text(ctl_member(found, "summary"));
		char *modes = ctl_text(ctl_member(found, "modes"));
		printf("usage: chimeractl run %s %s%s%s\n\n%s.\nRuns %s.\n", instance, command, args && *args ? " " : "", args ? args : "",
			summary ? summary : "", modes ? modes : "");
		free(args);
		free(summary);
		free(modes);
	} else {
		code = ctl_fail(CHI_EXIT_USAGE, "[%s] has no command '%s': chimeractl run lists what there is", instance, command);
	}
	free(doc.body);
	return code;
}

/* Does it say that it runs in each instance that has it? */
static bool is_each(struct ch_str row)
{
	struct ch_str modes = ctl_member(row, "modes"), mode;
	bool each = false;

	for (size_t at = 0; ctl_each(modes, &at, NULL, &mode);)
		each = each || is_text(mode, "each");
	return each;
}

int ctl_commands_owners(const struct ctl *ctl, const char *command, char *instances[CTL_OWNERS], struct ch_near *near)
{
	struct ctl_answer doc;
	struct ch_str row;
	char all[512] = "";
	size_t n = 0, each = 0;
	int code = commands(ctl, &doc);

	memset(instances, 0, CTL_OWNERS * sizeof(*instances));
	if (code)
		return code;
	for (size_t at = 0; ctl_each(ctl_member((struct ch_str){ doc.body, doc.n }, "commands"), &at, NULL, &row);) {
		char *name = ctl_text(ctl_member(row, "name")), *id = ctl_text(ctl_member(row, "instance"));
		size_t used = strlen(all);
		if (name)
			ch_near_offer(near, name);
		if (name && id && !strcmp(name, command)) {
			snprintf(all + used, sizeof(all) - used, "%s%s", n ? ", " : "", id);
			each += is_each(row);
			if (n < CTL_OWNERS - 1) {
				instances[n] = id;
				id = NULL;
			}
			n++;
		}
		free(name);
		free(id);
	}
	if (n > 1 && each < n)
		code = ctl_fail(CHI_EXIT_USAGE, "%zu instances have a command '%s' (%s): say whose, as in chimeractl run %s %s", n, command,
			all, instances[0], command);
	free(doc.body);
	return code;
}
