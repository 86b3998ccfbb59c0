/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h - what a probe is told, and the forms it is told in. Pure functions; text is appended by the kit's writer: look at w->failed at
 * the end.
 */
#ifndef HEALTH_REPORT_H
#define HEALTH_REPORT_H

#include <chimera/kit/json.h>
#include <chimera/inspect.h>

#include "gpu.h"

struct health_component {
	const char *name;      /* "dryrun", "health.disk" */
	int health;            /* enum ch_health */
	bool required;         /* unhealthy here means unhealthy as a whole */
	const char *message;
	double duration_ms;
};

struct health_capability {
	const char *name;      /* "model_registry.gemma3:latest" */
	bool there;
};

struct health_instance {
	const char *id;
	bool storage;          /* provides sql/1 or sink/1 */
};

struct health_report {
	const char *version;
	double uptime;         /* seconds */
	const struct health_component *v;
	size_t n;
	const struct health_instance *instances; /* all that is enabled, for the summary */
	size_t ninstances;
	const struct health_capability *capabilities; /* what instances say they offer; behind them */
	size_t ncapabilities;
};

/* The whole: unhealthy if a required component is, degraded if any component is not healthy. */
int health_judge(const struct health_report *r);

/* The state of all components of instances that store: -1 none, 0 one is unhealthy, 1 none is. */
int health_of_storage(const struct health_report *r);

/* {"status":"healthy",…,"components":[…]} */
void health_write(struct ch_jw *w, const struct health_report *r);

/* /health: {"status":"ok",…,"capabilities":{…}}. gpus NULL: null. */
void health_write_summary(struct ch_jw *w, const struct health_report *r, const struct gpu_list *gpus);

/* draft-inadarei-api-health-check-06: pass, warn, fail. `never_fail`: for an answer whose status is always 200. */
void health_write_draft(struct ch_jw *w, const struct health_report *r, bool never_fail);

/* Lines for people: "[+]name ok", "[-]name failed: why", and "<probe> check passed". */
void health_write_lines(struct ch_jw *w, const struct health_report *r, const char *probe);

/* ---- what the client asked for ---- */

/* Does the raw query have a parameter of that name? */
bool health_query_has(struct ch_str query, const char *name);

/* Is there an exclude=<name>? %XX is decoded. */
bool health_excluded(struct ch_str query, const char *name);

/* Does this Accept name application/health+json? */
bool health_wants_draft(struct ch_str accept);

/* ---- thresholds: shares from 0 to 1 ---- */

int health_if_low(double share, double warn, double critical);
int health_if_high(double share, double warn, double critical);

#endif
