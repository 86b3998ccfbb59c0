/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpu.h - NVIDIA's GPUs through NVML, whose library is looked for at run time: no driver, no list. All of this may block for seconds (the
 * driver wakes up): a pool thread's work, one thread at a time.
 */
#ifndef HEALTH_GPU_H
#define HEALTH_GPU_H

#include <stdbool.h>
#include <stdint.h>

#define GPU_MAX 32

struct gpu {
	char name[96];
	int utilization; /* percent of the last sample; -1: this GPU does not tell */
	uint64_t memory_used, memory_total; /* bytes */
};
struct gpu_list { unsigned n; struct gpu v[GPU_MAX]; };

/* NVML as far as it is used here; 0 is success everywhere. Types and names are those of nvml.h, version 2 of the calls that have one. */
struct nvml_utilization { unsigned gpu, memory; };
struct nvml_memory { unsigned long long total, free, used; };
struct nvml {
	void *library;
	int (*init)(void);
	int (*shutdown)(void);
	int (*count)(unsigned *);
	int (*handle)(unsigned, void **);
	int (*name)(void *, char *, unsigned);
	int (*utilization)(void *, struct nvml_utilization *);
	int (*memory)(void *, struct nvml_memory *);
};

/* Loads the library and wakes the driver. False: there is none, and nothing is left open. */
bool nvml_open(struct nvml *, const char *soname);
void nvml_close(struct nvml *);

/* Reads all GPUs, at most GPU_MAX; those that do not answer are left out. False: the driver does not answer. */
bool nvml_read(const struct nvml *, struct gpu_list *out);

#endif
