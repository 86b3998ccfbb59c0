/* SPDX-License-Identifier: Apache-2.0 */
/* plugins/prometheus/render.h - samples of the registry as text for Prometheus. No host, no thread, no state beside the struct. */
#ifndef PROMETHEUS_RENDER_H
#define PROMETHEUS_RENDER_H

#include <chimera/inspect.h>

enum render_format {
	RENDER_TEXT = 0, /* text/plain; version=0.0.4 */
	RENDER_OPENMETRICS /* application/openmetrics-text; version=1.0.0 */
};

struct render {
	enum render_format format;
	char *p;         /* malloc'd, n bytes; the caller's to free */
	size_t n, cap;
	bool failed;     /* no memory: what is there is not whole */
	char *bounds;    /* the family's bounds, ready as text; freed by render_end */
	size_t *bound_ends;
	size_t bounds_cap;
};

/* The format that a request with this Accept field gets; an empty one, and one that allows neither, gets the text. */
enum render_format render_choose(struct ch_str accept);
/* The value of Content-Type for a format. */
const char *render_type(enum render_format format);

/* Begins an exposition: zeroes *r. */
void render_begin(struct render *r, enum render_format format);
/*
 * Appends one sample, and before the first one of a family its metadata. Made to be called by ch_metrics_walk with `data` a struct
 * render.
 */
void render_sample(void *data, const struct ch_sample *s);
/* Ends the exposition. False: no memory, and r->p is freed. True: r->p is the text and the caller's. */
bool render_end(struct render *r);

#endif
