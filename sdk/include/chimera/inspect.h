/* SPDX-License-Identifier: MIT */
/*
 * chimera/inspect.h - what the host tells about itself and its plugins: for plugins that show it (health, prometheus, a console).
 * Since 0.1 (in plugin.h until 0.2), unless a line says otherwise.
 */
#ifndef CHIMERA_INSPECT_H
#define CHIMERA_INSPECT_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ch_server {                        /* [any] a snapshot */
	size_t size;
	const char *version, *profile, *state_dir;
	int64_t started_wall;             /* seconds since the epoch */
	double uptime;                    /* seconds */
	bool ready;                       /* boot is complete */
	bool draining;
	unsigned workers, stalled;        /* stalled: loops whose heartbeat is late */
	double loop_lag;                  /* seconds, the worst loop's last value */
	uint64_t connections, requests;
	uint64_t generation;              /* of the config */
	bool vendor_pings;                /* startup_vendor_pings: ask what a backend depends on whether it lives, once at start. Since 0.3 */
	int64_t check_timeout_ms;         /* startup_check_timeout. Since 0.3 */
};
struct ch_instance {                      /* valid during the callback */
	size_t size;
	const char *id, *plugin;
	bool needed;                      /* has a route for clients, or serves an instance that has */
	struct ch_table provides;         /* rows of struct ch_provide, as its descriptor has them. Since 0.4 */
};
struct ch_check_state {                   /* one check's cached result; valid during the callback */
	size_t size;
	const char *name;                 /* "dryrun", "storage_sqlite.disk" */
	int health;                       /* enum ch_health */
	int critical;                     /* 1: it says so, and the instance is needed */
	const char *message;
	double duration_ms;
	double age;                       /* seconds; negative: never run */
};
struct ch_sample {                        /* one series of one metric family; valid during the callback */
	size_t size;
	const struct ch_metric *family;
	bool first;                       /* the first series of its family */
	const char *const *labels;        /* values, in the order of family->labels */
	double value;                     /* COUNTER, GAUGE */
	const double *bounds;             /* HISTOGRAM: nbounds upper bounds and … */
	const uint64_t *counts;           /* … nbounds + 1 counts, not cumulative; the last is +Inf */
	size_t nbounds;
	uint64_t count;
	double sum;
};
struct ch_span {                          /* one span of a ctx; valid during the callback. Since 0.2 */
	size_t size;
	unsigned id, parent;              /* from 1 in the order begun; parent 0: the ctx itself */
	const char *plugin;               /* whose hook began it: an instance id; NULL: not known */
	const char *name;
	int64_t begin, end;               /* ch_now; end 0: still open */
	bool failed;
	const char *const *notes;         /* key, value, key, value, … NULL */
};
struct ch_degradation {                   /* something that ch_degraded was told of; valid during the callback. Since 0.2 */
	size_t size;
	const char *instance, *what;
	bool down;
	const char *why;
	int64_t since;                    /* ch_now at the last change */
};

struct ch_capability {                    /* what ch_capability was told; valid during the callback. Since 0.3 */
	size_t size;
	const char *instance, *name;
	bool there;
};

/* [any] A snapshot of the server. Set out->size before the call; texts live as long as the process. */
static inline void ch_server(struct ch_server *out) { ch_host_->server(out); }
/* [any] The checks and their cached results. */
static inline void ch_checks_walk(void (*fn)(void *, const struct ch_check_state *), void *data) { ch_host_->checks_walk(fn, data); }
/* [start] How often the checks of this config run, milliseconds; the host's own choice is 5 s. */
static inline void ch_checks_interval(struct ch_self *s, int64_t ms) { ch_host_->checks_interval(s, ms); }
/* Loop thread, or in check and start: the enabled instances of the newest config that this one belongs to, in its order. */
static inline void ch_instances_walk(struct ch_self *s, void (*fn)(void *, const struct ch_instance *), void *data)
{
	ch_host_->instances_walk(s, fn, data);
}
/* All series of the process, family by family. Takes its time: offload it. */
static inline void ch_metrics_walk(void (*fn)(void *, const struct ch_sample *), void *data) { ch_host_->metrics_walk(fn, data); }
/* The ctx's spans, in the order begun. Loop thread. Since 0.2 */
static inline void ch_spans_walk(struct ch_ctx *c, void (*fn)(void *, const struct ch_span *), void *data)
{
	ch_host_->spans_walk(c, fn, data);
}
/* [any] All that ch_degraded was ever told of by instances that are there. Since 0.2 */
static inline void ch_degraded_walk(void (*fn)(void *, const struct ch_degradation *), void *data) { ch_host_->degraded_walk(fn, data); }
/* [any] All that ch_capability was told by instances that are there, in the order of the config. Since 0.3 */
static inline void ch_capabilities_walk(void (*fn)(void *, const struct ch_capability *), void *data)
{
	ch_host_->capabilities_walk(fn, data);
}

#ifdef __cplusplus
}
#endif
#endif
