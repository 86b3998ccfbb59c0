/* SPDX-License-Identifier: Apache-2.0 */
/* What to add to a config in which something is missing: the sections of plugins that are there and not enabled. */
#include "core/plugin/build.h"
#include "core/plugin/host.h"

#include <stdio.h>

struct search {
	const char *iface;
	bool before_many;       /* only those that provide it and use many that do: they stand before the others */
	char *out;
	size_t cap, n, found;
};

static bool provides(const struct ch_plugin *p, const char *iface)
{
	const struct ch_provide *v;
	for (size_t k = 0; (v = chi_row(&p->provides, k)); k++)
		if (!strcmp(v->iface, iface))
			return true;
	return false;
}

static bool uses_many(const struct ch_plugin *p, const char *iface)
{
	const struct ch_option *o;
	for (size_t k = 0; (o = chi_row(&p->options, k)); k++)
		if (o->type == CH_T_SERVICES && o->iface && !strcmp(o->iface, iface))
			return true;
	return false;
}

static void look(void *arg, const struct ch_plugin *p)
{
	struct search *s = arg;
	if (!provides(p, s->iface) || uses_many(p, s->iface) != s->before_many || s->n >= s->cap)
		return;
	s->n += (size_t)snprintf(s->out + s->n, s->cap - s->n, "%s[%s]", s->found++ ? ", " : "", p->name);
}

static bool search(struct search *s)
{
	s->out[0] = 0;
	if (chi_around.plugins)
		chi_around.plugins(look, s);
	return s->found > 0;
}

bool chi_suggest_provider(const char *iface, char *out, size_t cap)
{
	return search(&(struct search){ .iface = iface, .out = out, .cap = cap });
}

bool chi_suggest_before_many(const char *iface, char *out, size_t cap)
{
	return search(&(struct search){ .iface = iface, .before_many = true, .out = out, .cap = cap });
}
