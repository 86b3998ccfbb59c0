/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_seam.c - a test plugin: fills every seam, and asks them as a provider would. A fault strikes where the request's field X-Fault names
 * the seam ("vendor", "kv", …): after X-Delay milliseconds, with a failure of the kind X-Kind if that is there.
 *
 *   GET /seam/{name}   asks the seam of that name: "nothing", or "waited", or 503 with the kind
 *
 * [t_seam] strike = no: nothing ever strikes.
 *
 * Threads and ownership: everything on the request's loop.
 */
#include <chimera/plugin.h>

struct t_seam_conf {
	bool strike;
};

static const char *const names[CH_SEAMS] = { [CH_S_VENDOR] = "vendor", [CH_S_STORAGE] = "storage", [CH_S_VECTOR_STORE] = "vector_store",
	[CH_S_QUEUE] = "queue", [CH_S_KV] = "kv", [CH_S_SCHEDULER] = "scheduler", [CH_S_TOKEN_CLEANUP] = "token_cleanup" };

/* ---- the side of chaos ---- */

static bool strike(struct ch_self *self, struct ch_ctx *c, struct ch_fault *out, int seam)
{
	const struct t_seam_conf *conf = self->conf;
	struct ch_str where = ch_header(c, "X-Fault"), delay = ch_header(c, "X-Delay"), kind = ch_header(c, "X-Kind");

	if (!conf->strike || where.n != strlen(names[seam]) || memcmp(where.p, names[seam], where.n))
		return false;
	out->delay_ms = 0;
	for (size_t i = 0; i < delay.n; i++)
		out->delay_ms = out->delay_ms * 10 + (delay.p[i] - '0');
	out->fail = kind.p != NULL;
	out->kind = kind.p ? ch_dup(c, kind.p, kind.n) : NULL;
	return true;
}

#define STRIKE(name, seam) \
	static bool name(struct ch_self *self, struct ch_ctx *c, struct ch_fault *out) \
	{ \
		return strike(self, c, out, seam); \
	}
STRIKE(at_vendor, CH_S_VENDOR)
STRIKE(at_storage, CH_S_STORAGE)
STRIKE(at_vector_store, CH_S_VECTOR_STORE)
STRIKE(at_queue, CH_S_QUEUE)
STRIKE(at_kv, CH_S_KV)
STRIKE(at_scheduler, CH_S_SCHEDULER)
STRIKE(at_token_cleanup, CH_S_TOKEN_CLEANUP)

/* ---- the side of a provider ---- */

struct work {
	struct ch_fault fault;
	ch_ticket ticket;
};

static int outcome(struct ch_ctx *c, const struct ch_fault *f)
{
	if (f->fail)
		return ch_refuse(c, CH_E_UPSTREAM_UNAVAILABLE, 1000, "The dependency failed as if by %s; try again.",
			f->kind ? f->kind : "chance");
	return ch_respond(c, 200, "text/plain", "waited", 6);
}

static int on_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct work *w = data;

	(void)result;
	ch_unsuspend(w->ticket);
	return why == CH_GONE ? CH_DONE : outcome(c, &w->fault);
}

static int get_seam(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str name = ch_param(c, "name");
	struct work *w = ch_alloc(c, sizeof(*w));
	int seam = 0;

	(void)self;
	if (!w)
		return CH_ERROR;
	while (seam < CH_SEAMS && (name.n != strlen(names[seam]) || memcmp(name.p, names[seam], name.n)))
		seam++;
	w->fault.size = sizeof(w->fault);
	if (!ch_fault(c, (enum ch_seam_name)seam, &w->fault)) /* CH_SEAMS: no seam has that name, and none strikes */
		return ch_respond(c, 200, "text/plain", "nothing", 7);
	if (!w->fault.delay_ms)
		return outcome(c, &w->fault);
	w->ticket = ch_suspend(c, w->fault.delay_ms, on_over, w);
	return w->ticket ? CH_AGAIN : CH_ERROR;
}

static const struct ch_option options[] = {
	CH_OPT(struct t_seam_conf, strike, BOOL, .def = "yes", .help = "Whether faults strike"),
};
static const struct ch_seam seams[] = {
	{ .seam = CH_S_VENDOR, .fn = at_vendor },
	{ .seam = CH_S_STORAGE, .fn = at_storage },
	{ .seam = CH_S_VECTOR_STORE, .fn = at_vector_store },
	{ .seam = CH_S_QUEUE, .fn = at_queue },
	{ .seam = CH_S_KV, .fn = at_kv },
	{ .seam = CH_S_SCHEDULER, .fn = at_scheduler },
	{ .seam = CH_S_TOKEN_CLEANUP, .fn = at_token_cleanup },
};
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/seam/{name}", .fn = get_seam, .response_type = "text/plain", .summary = "Asks a seam" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_seam",
	.version = "0.1",
	.summary = "Test: seams",
	.conf_size = sizeof(struct t_seam_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
	.seams = CH_TABLE(seams),
};

CH_PLUGIN(t_seam, plugin)
