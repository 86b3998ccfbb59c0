/* SPDX-License-Identifier: Apache-2.0 */
/* probes.h - the instance: what health.c (routes) and checks.c (checks, GPUs) share. */
#ifndef HEALTH_PROBES_H
#define HEALTH_PROBES_H

#include <pthread.h>

#include <chimera/inspect.h>
#include <chimera/json.h>

#include "gpu.h"

struct health_conf {
	struct ch_list ready_requires;
	int64_t check_interval; /* ms */
	double disk_free_warn, disk_free_critical;
	double memory_used_warn, memory_used_critical;
};

struct health_state {
	bool refreshing;           /* house loop: a task reads the GPUs now */
	struct nvml nvml;          /* the task's pool thread, and stop */
	enum { NVML_UNTRIED, NVML_OPEN, NVML_ABSENT } nvml_state;
	pthread_mutex_t lock;      /* for what follows; held for a copy */
	bool have_gpus;
	struct gpu_list gpus;
};

/* The rows of the plugin's table of checks. */
int health_check_disk(struct ch_self *, struct ch_ctx *, struct ch_check_result *out);
int health_check_memory(struct ch_self *, struct ch_ctx *, struct ch_check_result *out);

/* [any] A copy of the last list; false: there is none. */
bool health_gpus(struct ch_self *, struct gpu_list *out);

#endif
