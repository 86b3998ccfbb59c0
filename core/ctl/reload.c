/* SPDX-License-Identifier: Apache-2.0 */
/* reload: makes the running server read its config again, and tells what has changed or what is wrong. */
#include "core/ctl/client.h"
#include "core/ctl/ctl.h"
#include "core/ctl/doc.h"

#include <stdlib.h>

static bool is_there(struct ch_str value)
{
	return value.n && *value.p != 'n'; /* null: texts begin with a quote */
}

static char *text_of(struct ch_str change, const char *member)
{
	struct ch_str value = ctl_member(change, member);

	return is_there(value) ? ctl_text(value) : NULL;
}

/* ~ [id] key: was -> now; + [id]; - [id]; ~ [id] what is to be said of all of it */
static void show_change(struct ch_str change)
{
	static const char *const names[] = { "id", "row", "key", "was", "now", "note" };
	enum { ID, ROW, KEY, WAS, NOW, NOTE, N };
	char *v[N];

	for (int i = 0; i < N; i++)
		v[i] = text_of(change, names[i]);
	bool whole = !v[KEY];
	char sign = whole && !v[WAS] ? '+' : whole && !v[NOW] ? '-' : '~';
	printf("%c [%s%s%s]", sign, v[ID] ? v[ID] : "", v[ROW] ? "." : "", v[ROW] ? v[ROW] : "");
	if (!whole)
		printf(" %s: %s -> %s", v[KEY], v[WAS] ? v[WAS] : "(not there)", v[NOW] ? v[NOW] : "(not there)");
	else if (v[WAS] && v[NOW] && strcmp(v[WAS], v[NOW]))
		printf(" [%s] -> [%s]", v[WAS], v[NOW]);
	if (v[NOTE])
		printf(whole ? " %s" : " (%s)", v[NOTE]);
	putchar('\n');
	for (int i = 0; i < N; i++)
		free(v[i]);
}

static void show_problems(struct ch_str doc)
{
	struct ch_str problem;

	for (size_t at = 0; ctl_each(ctl_member(doc, "problems"), &at, NULL, &problem);) {
		char *text = ctl_text(problem);
		fprintf(stderr, "%s\n", text ? text : "");
		free(text);
	}
}

static void show(struct ch_str doc, bool ok)
{
	struct ch_str change;
	char *generation = ctl_text(ctl_member(doc, "generation"));

	show_problems(doc);
	for (size_t at = 0; ctl_each(ctl_member(doc, "changes"), &at, NULL, &change);)
		show_change(change);
	if (ok)
		printf("reloaded: generation %s\n", generation ? generation : "");
	else
		ctl_fail(0, "the server has refused the new config and goes on with the old one, generation %s",
			generation ? generation : "");
	free(generation);
}

int ctl_reload(const struct ctl *ctl)
{
	struct ctl_answer a;
	int code = ctl_ask_patiently(ctl->socket, "POST", "/control/reload", NULL, &a);

	if (code)
		return code;
	struct ch_str doc = { a.body, a.n };
	char *result = ctl_text(ctl_member(doc, "result"));
	bool ok = result && !strcmp(result, "ok");
	if (ctl->json)
		printf("%s\n", a.body);
	else
		show(doc, ok);
	free(result);
	free(a.body);
	return ok ? 0 : CHI_EXIT_CONFIG;
}
