/* SPDX-License-Identifier: Apache-2.0 */
/* command_rows.c - rows for people and for programs, by their kind's table of fields; lists come in pages. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"

#define PAGE 100 /* rows; the largest keys and tokens, 33 KiB each, stay below what a call of sql/1 gives */

/*
 * A page of a list is a task of its own, so that its rows are gone with its arena before the next one is asked for. Held by the task and by
 * the job that waits for it; `job` is the house loop's.
 */
struct id_page {
	atomic_uint refs;
	struct id_command *job;         /* NULL: it does not wait any more */
	ch_ticket outer, inner;  /* the job's, and the data access's */
	struct id_result r;
};

/* ---- showing ---- */

/* A row as an object on a line, in the words of the routes; not of the arena's memory, which the page's rows are in. False: no memory. */
static bool show_object(struct id_command *j, const void *row)
{
	struct ch_jw w;

	ch_jw_init(&w, NULL, 0);
	w.grow = ch_jw_heap;
	ch_jw_object(&w);
	id_write_json(&w, j->kind, row);
	ch_jw_object_end(&w);
	if (!w.failed)
		j->full = ch_out(j->c, "%.*s\n", (int)w.len, w.buf) == CH_AGAIN;
	free(w.buf);
	return !w.failed;
}

/* One row, all fields, each on its line. */
int id_command_show(struct id_command *j)
{
	if (j->json)
		return show_object(j, j->r.rows) ? CH_DONE : id_command_no_memory(j->c);
	for (size_t i = 0; i < j->kind->n; i++) {
		const struct id_field *f = &j->kind->fields[i];
		const char *text = f->flags & ID_F_HIDDEN ? NULL : id_shown(j->c, f, j->r.rows);

		if (text)
			ch_out(j->c, "%-10s %s\n", f->name, text);
	}
	return CH_DONE;
}

static const void *row_at(const struct id_command *j, const struct id_result *r, size_t i)
{
	return (const char *)r->rows + i * j->kind->size;
}

/* A page of rows as objects. The same. */
static bool show_objects(struct id_command *j, const struct id_result *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (!show_object(j, row_at(j, r, i)))
			return false;
	return true;
}

/* A page of rows, in columns as wide as need be, out of the memory of c. False: there is none. */
static bool show_table(struct id_command *j, struct ch_ctx *c, const struct id_result *r)
{
	const struct id_kind *kind = j->kind;
	size_t n = r->n, columns = 0, width = 2, *widths = j->widths;
	const char **cells = ch_alloc(c, (n + 1) * kind->n * sizeof(*cells));
	char *line;

	if (!cells)
		return false;
	for (size_t k = 0; k < kind->n; k++) {
		if (!(kind->fields[k].flags & ID_F_COLUMN))
			continue;
		for (size_t i = 0; i <= n; i++) {
			const char *text = i ? id_shown(c, &kind->fields[k], row_at(j, r, i - 1)) : kind->fields[k].name;

			if (!text)
				return false;
			cells[i * kind->n + columns] = text;
			widths[columns] = strlen(text) > widths[columns] ? strlen(text) : widths[columns];
		}
		width += widths[columns++] + 2;
	}
	line = ch_alloc(c, width);
	if (!line)
		return false;
	for (size_t i = j->heading ? 1 : 0; i <= n; i++) { /* one piece a row, as programs read it */
		size_t at = 0;

		for (size_t k = 0; k < columns; k++)
			at += (size_t)snprintf(line + at, width - at, k + 1 < columns ? "%-*s  " : "%.*s",
				(int)widths[k], cells[i * kind->n + k]);
		j->full = ch_out(j->c, "%s\n", line) == CH_AGAIN;
	}
	j->heading = true;
	return true;
}

/* "owner=…" of a list; "" without. */
static void filter(struct id_command *j, const char *name, const char **to)
{
	size_t n = strlen(name);

	*to = "";
	for (size_t i = 0; i < j->argc; i++)
		if (!strncmp(j->argv[i], name, n) && j->argv[i][n] == '=')
			*to = j->argv[i] + n + 1;
}

/* Each word is a filter of that list. */
static bool only_filters(struct id_command *j, const char *a, const char *b)
{
	for (size_t i = 0; i < j->argc; i++) {
		size_t n = strcspn(j->argv[i], "=");
		bool known = j->argv[i][n] && ((a && strlen(a) == n && !strncmp(j->argv[i], a, n)) || (b && strlen(b) == n &&
			!strncmp(j->argv[i], b, n)));

		if (!known) {
			ch_refuse(j->c, CH_E_BAD_REQUEST, 0, "'%.64s' is no filter of this list: there %s%s%s%s", j->argv[i], a ? "is "
				: "is none", a ? a : "",
				b ? "=… and " : a ? "=…" : "", b ? b : "");
			return false;
		}
	}
	return true;
}

/* ---- lists ---- */

static void page_put(void *data)
{
	struct id_page *p = data;

	if (atomic_fetch_sub(&p->refs, 1) == 1)
		free(p);
}

/* Also when the task could not begin. [any] */
static void page_over(void *data)
{
	ch_resume(((struct id_page *)data)->outer, NULL, NULL);
	page_put(data);
}

/* What came is shown; the last row's id is where the next page begins. */
static void show_page(struct id_command *j, struct ch_ctx *c, const struct id_result *r)
{
	const void *last = r->n ? row_at(j, r, r->n - 1) : NULL;

	if (r->error)
		id_refuse(j->c, r, j->kind->what, j->id);
	else if (!(j->json ? show_objects(j, r) : show_table(j, c, r)))
		id_command_no_memory(j->c);
	else if (r->n == PAGE && !(j->after = strdup(*(const char *const *)((const char *)last + j->kind->fields[0].offset))))
		id_command_no_memory(j->c); /* id is the first text of each entity */
}

static int on_page_came(struct ch_ctx *c, void *data, int why, void *result)
{
	struct id_page *p = data;

	(void)result;
	if (why != CH_READY)
		id_cancel(&p->r);
	if (p->job)
		show_page(p->job, c, &p->r);
	page_over(p);
	return CH_DONE;
}

static int page_task(struct ch_ctx *c, void *data)
{
	struct id_page *p = data;
	struct id_command *j = p->job;
	char *after = j && j->after ? ch_dup(c, j->after, strlen(j->after)) : NULL;

	p->inner = after ? ch_suspend(c, 0, on_page_came, p) : 0;
	if (!p->inner) {
		page_over(p);
		return CH_DONE;
	}
	free(j->after);
	j->after = NULL;
	if (j->kind == &id_user_kind)
		id_users_list(j->self, c, after, PAGE, &p->r, p->inner);
	else if (j->kind == &id_key_kind)
		id_keys_list(j->self, c, after, j->owner, PAGE, &p->r, p->inner);
	else
		id_tokens_list(j->self, c, after, j->user, j->provider, PAGE, &p->r, p->inner);
	return CH_AGAIN;
}

static int ask_page(struct id_command *j);

static int on_room(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c, (void)result;
	return why == CH_READY ? ask_page(data) : CH_DONE;
}

static void on_writable(void *data)
{
	struct id_command *j = data;
	ch_ticket t = j->ticket;

	j->full = false;
	j->ticket = 0;
	if (t)
		ch_resume(t, NULL, NULL);
}

static int wait_for_room(struct id_command *j)
{
	j->ticket = ch_suspend(j->c, 0, on_room, j);
	return j->ticket ? CH_AGAIN : id_command_no_memory(j->c);
}

static int on_page(struct ch_ctx *c, void *data, int why, void *result)
{
	struct id_command *j = data;
	struct id_page *p = j->page;
	bool ran = p->inner;

	(void)result;
	j->page = NULL;
	p->job = NULL;
	if (why != CH_READY)
		id_cancel(&p->r); /* from here on nobody reads our words any more */
	page_put(p);
	if (why != CH_READY)
		return CH_DONE;
	if (!ran)
		return id_command_no_memory(c);
	return !j->after ? CH_DONE : j->full ? wait_for_room(j) : ask_page(j);
}

static int ask_page(struct id_command *j)
{
	struct id_page *p = calloc(1, sizeof(*p));

	j->page = p;
	if (p) {
		p->refs = 2;
		p->job = j;
		p->outer = ch_suspend(j->c, 0, on_page, j);
	}
	if (p && p->outer && ch_task(j->self, NULL, 0, page_task, p, page_over))
		return CH_AGAIN;
	if (p)
		ch_unsuspend(p->outer);
	free(p);
	return id_command_no_memory(j->c);
}

static void free_after(void *data)
{
	free(((struct id_command *)data)->after);
}

int id_command_list(struct id_command *j)
{
	bool keys = j->kind == &id_key_kind, tokens = j->kind == &id_token_kind;

	filter(j, "owner", &j->owner);
	filter(j, "user", &j->user);
	filter(j, "provider", &j->provider);
	if (!only_filters(j, keys ? "owner" : tokens ? "user" : NULL, tokens ? "provider" : NULL))
		return CH_DONE;
	ch_on_writable(j->c, on_writable, j);
	j->after = strdup("");
	return j->after && ch_keep(j->c, free_after, j) ? ask_page(j) : id_command_no_memory(j->c);
}
