/* SPDX-License-Identifier: Apache-2.0 */
/* diff.c - two configs: what a reload does with an instance, and what differs, for people. */
#include <string.h>

#include "core/conf/load.h"

static bool same_value(const struct chi_val *a, const struct chi_val *b)
{
	return !strcmp(a->text, b->text) && a->content == b->content;
}

/* A row or an instance (row NULL) by its name. */
static bool same_name(const struct chi_sect *a, const struct chi_sect *b)
{
	return a->row ? !strcmp(a->row, b->row) : !strcmp(a->id, b->id);
}

/* From `s` on the first that is on. */
static const struct chi_sect *on(const struct chi_sect *s)
{
	while (s && !s->enabled)
		s = s->next;
	return s;
}

/* ---- what a reload does ---- */

static int worse(int a, int b)
{
	return a > b ? a : b;
}

/* Both of the same plugin, both instances or both rows. */
static int compare_options(const struct chi_sect *was, const struct chi_sect *now)
{
	int verdict = CHI_CONF_SAME;
	size_t i;

	for (i = 0; i < now->nopts; i++)
		if (!same_value(&was->vals[i], &now->vals[i]))
			verdict = worse(verdict, now->opts[i].flags & CH_O_RELOAD ? CHI_CONF_RELOAD : CHI_CONF_CHANGED);
	return verdict;
}

static bool all_reload(const struct chi_sect *row)
{
	size_t i;

	for (i = 0; i < row->nopts; i++)
		if (!(row->opts[i].flags & CH_O_RELOAD))
			return false;
	return true;
}

static int compare_rows(const struct chi_sect *was, const struct chi_sect *now)
{
	int verdict = CHI_CONF_SAME;

	was = on(was);
	now = on(now);
	for (; was && now && same_name(was, now); was = on(was->next), now = on(now->next))
		verdict = worse(verdict, compare_options(was, now));
	if (was || now)
		verdict = worse(verdict, all_reload(was ? was : now) ? CHI_CONF_RELOAD : CHI_CONF_CHANGED);
	return verdict;
}

int chi_conf_compare(const struct chi_conf_inst *was, const struct chi_conf_inst *now)
{
	if (was->plugin != now->plugin || strcmp(was->id, now->id))
		return CHI_CONF_CHANGED;
	return worse(compare_options(was->sect, now->sect), compare_rows(was->sect->rows, now->sect->rows));
}

bool chi_conf_equal(const struct chi_conf_inst *a, const struct chi_conf_inst *b)
{
	return chi_conf_compare(a, b) == CHI_CONF_SAME;
}

/* ---- what differs, for people ---- */

struct diff {
	void (*fn)(void *arg, const struct chi_conf_change *change);
	void *arg;
};

/* A section or row as a whole; one of the two may be NULL. */
static void tell_section(const struct diff *d, const struct chi_sect *was, const struct chi_sect *now, const char *note)
{
	const struct chi_sect *s = now ? now : was;
	struct chi_conf_change c = { .id = s->id, .row = s->row, .note = note };

	c.was = was ? was->name : NULL;
	c.now = now ? now->name : NULL;
	d->fn(d->arg, &c);
}

static const char *shown(const struct chi_val *v)
{
	return v->hidden && *v->text ? "***" : v->text;
}

static bool same_file(const struct chi_val *a, const struct chi_val *b)
{
	return !strcmp(a->text, b->text) || (a->at && b->at && !strcmp(a->at->path, b->at->path));
}

static void diff_options(const struct diff *d, const struct chi_sect *was, const struct chi_sect *now)
{
	struct chi_conf_change c = { .id = now->id, .row = now->row };
	size_t i;

	for (i = 0; i < now->nopts; i++) {
		const struct chi_val *a = &was->vals[i], *b = &now->vals[i];

		if (same_value(a, b))
			continue;
		c.key = now->opts[i].name;
		c.was = shown(a);
		c.now = shown(b);
		c.note = same_file(a, b) ? "the file has changed" : NULL;
		c.flags = now->opts[i].flags;
		c.written = a->origin >= CHI_O_FILE || b->origin >= CHI_O_FILE;
		d->fn(d->arg, &c);
	}
}

/*
 * The namesake of `s` in the list `first`, looked for from `next` on, where it stands if the order is the same; *before: it stands before
 * that.
 */
static const struct chi_sect *namesake(const struct chi_sect *first, const struct chi_sect *next, const struct chi_sect *s, bool *before)
{
	const struct chi_sect *p;

	*before = false;
	for (p = on(next); p; p = on(p->next))
		if (same_name(p, s))
			return p;
	*before = true;
	for (p = on(first); p && p != next; p = on(p->next))
		if (same_name(p, s))
			return p;
	return NULL;
}

/* Two lists: of instances, or of an instance's rows. */
static void diff_list(const struct diff *d, const struct chi_sect *was, const struct chi_sect *now)
{
	const struct chi_sect *s, *old, *next;
	bool moved, told = false;

	for (s = on(now), next = on(was); s; s = on(s->next)) {
		old = namesake(was, next, s, &moved);
		if (!old || old->desc != s->desc) {
			tell_section(d, old, s, NULL);
		} else {
			if (moved && !told)
				tell_section(d, old, s, "its place in the order has changed");
			told = told || moved;
			diff_options(d, old, s);
			diff_list(d, old->rows, s->rows);
		}
		if (old)
			next = on(old->next);
	}
	for (s = on(was), next = on(now); s; s = on(s->next)) {
		old = namesake(now, next, s, &moved);
		if (!old)
			tell_section(d, s, NULL, NULL);
		else
			next = on(old->next);
	}
}

void chi_conf_diff(const struct chi_conf *was, const struct chi_conf *now, void (*fn)(void *arg, const struct chi_conf_change *change),
		   void *arg)
{
	struct diff d = { fn, arg };

	diff_options(&d, was->priv->server, now->priv->server);
	diff_options(&d, was->priv->log, now->priv->log);
	diff_list(&d, was->priv->first, now->priv->first);
}
