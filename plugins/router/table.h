/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - the names of a router's config, read once: which backend lists what, what [router.NAME] says, where default and fallback point.
 * Made at start (and, to find mistakes, in check); read-only while the loops run. table.c makes it, resolve.c reads it.
 */
#ifndef ROUTER_TABLE_H
#define ROUTER_TABLE_H

#include "router.h"

/* A model, or a pattern of models, that a backend lists. */
struct router_listed {
	struct ch_str name;
	bool pattern;
	const struct router_rule *rule;
};

/* What a backend serves: its `models`, its default_model, and the manifests that name it. Of struct router's backends, by index. */
struct router_served {
	struct router_listed *v;
	size_t n;
	size_t named;                     /* so many of v, the first ones, are the backend's own; the others are manifests */
	const struct router_rule *standard; /* of its default_model; NULL: it has none */
};

/*
 * "backend" and "backend/model" in the config. model NULL: the one that is asked for, or, of a default or fallback that does not list it,
 * the backend's default_model; then there is no rule either, but in a row's backends, where it is of the row's name.
 */
struct router_refs { struct router_entry *v; size_t n; };

/* [router.NAME] */
struct router_named {
	struct ch_str name;               /* may be a pattern */
	const struct router_row *conf;
	struct router_refs backends;      /* what it says, or, of a row that is no pattern and says nothing, who lists the model */
	struct router_refs fallback;
	bool own_fallback;                /* it has one, maybe "none": the router's does not count */
};

struct router_table {
	struct router_served *served;     /* struct router.nbackends of them */
	struct router_named *rows;
	size_t nrows;
	struct router_entry standard;     /* of a request that names no model; backend NULL: there is none */
	struct router_refs fallback;
	size_t most;                      /* no plan has more entries of one kind: equals, or fallbacks */
};

/*
 * [boot] Fills r->backends and r->table from r->conf and r->self. True: all is well. False: ch_config_error has said what is not (each
 * mistake, not the first alone), or there is no memory. Either way router_table_free takes it all away, but for the backends' states.
 * started: the backends are, and what they say of themselves holds; in check some may not have read their own config yet.
 */
bool router_table_make(struct router *r, bool started);
void router_table_free(struct router *r);

/* Is the text what a model may be called: 1 to 128 of letters, digits and . _ : / @ + - */
bool router_is_model(struct ch_str);

/* The backend of that id; NULL: there is none. */
struct router_backend *router_backend_find(const struct router *, struct ch_str id);

/* The rule under which that backend lists the model: the name itself, else the longest pattern; NULL: it does not. */
const struct router_listed *router_lists(const struct router *, const struct router_backend *, struct ch_str model);

/*
 * Who lists the model best: all that list its very name, else all whose pattern is the longest. Their entries go to out, which has room for
 * one of each backend, with `as` for the model.
 */
size_t router_who_lists(const struct router *, struct ch_str model, const char *as, struct router_entry *out);

#endif
