/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/http/route.h - the routes of a generation: exact paths by hash, patterns by trial. Built on the boot thread, read by all loops.
 */
#ifndef CHI_ROUTE_H
#define CHI_ROUTE_H

#include "core/chi.h"
#include "core/work/work.h"

#define CHI_METHODS 10 /* enum ch_h1_method */
#define CHI_PARAMS 8   /* {name} parts of a pattern */

struct chi_path;

/* One method of one pattern. */
struct chi_route {
	const struct ch_route *def;
	const struct chi_path *path;
	struct chi_hook handler; /* as a chain of one */
	size_t max_body;
	_Atomic unsigned requests[600]; /* metric series by status, made on first use; 0: not yet */
	_Atomic unsigned duration;      /* metric series, made on first use */
};

/* One pattern with all its methods. */
struct chi_path {
	const char *pattern;
	char allow[80]; /* "GET, HEAD, OPTIONS" */
	struct chi_route *methods[CHI_METHODS]; /* HEAD falls back to GET */
};

struct chi_route_match {
	const struct chi_path *path; /* NULL: no route */
	size_t nparams;
	struct {
		const char *name;
		size_t name_len;
		struct ch_str value;
	} params[CHI_PARAMS];
};

struct chi_routes *chi_routes_new(void);
void chi_routes_free(struct chi_routes *r);
/* Adds a row. NULL: ok, else one sentence (static or in buf): a bad pattern, the same method and pattern twice, or the same
 * shape with other names (/{a}, /{b}). */
const char *chi_routes_add(
	struct chi_routes *r, struct chi_inst *inst, const struct ch_route *def, const char *pattern, char *buf, size_t cap);
/* The normalised path's route. Exact patterns win over those with parts, and longer literal prefixes over shorter ones. */
void chi_routes_find(const struct chi_routes *r, const char *path, size_t n, struct chi_route_match *m);
/* All paths in the order of their patterns. */
size_t chi_routes_count(const struct chi_routes *r);
const struct chi_path *chi_routes_at(const struct chi_routes *r, size_t i);
/* The method's number, or -1. */
int chi_method_number(const char *name);
const char *chi_method_name(int number);

#endif
