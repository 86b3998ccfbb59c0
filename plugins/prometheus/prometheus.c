/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prometheus.c - GET /metrics. Threads and ownership: the handler runs on a loop and hands the work to the offload pool; the page that
 * comes back is malloc'd and belongs to whoever holds its pointer: the pool, then the ticket, then the answer.
 */
#include <stdlib.h>

#include <chimera/inspect.h>

#include "render.h"

#define RENDER_TIMEOUT_MS 10000
#define RETRY_MS 1000

struct prometheus_conf {
	const char *path;
};

static void page_free(void *data)
{
	struct render *page = data;

	if (page)
		free(page->p);
	free(page);
}

/* On a pool thread. `data` lies in the arena and holds the format. NULL: no memory. */
static void *render_page(void *data)
{
	const enum render_format *format = data;
	struct render *page = malloc(sizeof(*page));

	if (!page)
		return NULL;
	render_begin(page, *format);
	ch_metrics_walk(render_sample, page);
	if (render_end(page))
		return page;
	free(page);
	return NULL;
}

static int refuse_busy(struct ch_ctx *c, const char *why)
{
	return ch_refuse(c, CH_E_OVERLOADED, RETRY_MS, "The metrics cannot be rendered now: %s. Ask again in a second.", why);
}

static int on_page(struct ch_ctx *c, void *data, int why, void *result)
{
	const enum render_format *format = data;
	struct render *page = result;

	if (why == CH_GONE) /* the page, when it comes, is dropped by page_free */
		return CH_DONE;
	if (why == CH_TIMEOUT)
		return refuse_busy(c, "the worker pool did not get to it in 10 seconds");
	if (!page)
		return refuse_busy(c, "there is no memory");
	ch_header_set(c, "Content-Type", render_type(*format));
	ch_header_set(c, "Vary", "Accept");
	ch_header_set(c, "Cache-Control", "no-store");
	ch_length(c, page->n);
	if (ch_begin(c, 200) == CH_OK)
		ch_write(c, page->p, page->n, free, page->p);
	else
		free(page->p);
	free(page);
	ch_end(c);
	return CH_DONE;
}

static int get_metrics(struct ch_self *self, struct ch_ctx *c)
{
	enum render_format *format = ch_alloc(c, sizeof(*format));
	ch_ticket ticket;

	if (!format)
		return refuse_busy(c, "there is no memory");
	*format = render_choose(ch_header(c, "Accept"));
	ticket = ch_suspend(c, RENDER_TIMEOUT_MS, on_page, format);
	if (!ticket)
		return refuse_busy(c, "too much is waiting");
	if (!ch_offload(self, render_page, format, ticket, page_free)) {
		ch_unsuspend(ticket);
		return refuse_busy(c, "the queue of the worker pool is full");
	}
	return CH_AGAIN;
}

static int check(struct ch_self *self)
{
	const struct prometheus_conf *conf = self->conf;

	if (conf->path[0] == '/' && !strpbrk(conf->path, "?#{} \t"))
		return CH_OK;
	ch_config_error(self, NULL, "path", "\"%s\" is no path; it begins with / and has no blanks, braces, ? or #, as in /metrics", conf->path);
	return CH_ERROR;
}

static const struct ch_option options[] = {
	CH_OPT(struct prometheus_conf, path, STR, .def = "/metrics", .help = "Where the metrics are served"),
};

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern_option = "path", .cls = CH_OPS, .body = CH_BODY_NONE, .fn = get_metrics,
	  .response_type = "text/plain", .summary = "Metrics in Prometheus' text format or OpenMetrics" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "prometheus",
	.version = "0.1",
	.summary = "Serves all metrics of the process for Prometheus",
	.conf_size = sizeof(struct prometheus_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
	.check = check,
};

CH_PLUGIN(prometheus, plugin)
