/* SPDX-License-Identifier: Apache-2.0 */
/* gpu.c - see gpu.h. */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "gpu.h"

bool nvml_open(struct nvml *n, const char *soname)
{
	const struct { const char *name; size_t offset; } symbols[] = {
		{ "nvmlInit_v2", offsetof(struct nvml, init) },
		{ "nvmlShutdown", offsetof(struct nvml, shutdown) },
		{ "nvmlDeviceGetCount_v2", offsetof(struct nvml, count) },
		{ "nvmlDeviceGetHandleByIndex_v2", offsetof(struct nvml, handle) },
		{ "nvmlDeviceGetName", offsetof(struct nvml, name) },
		{ "nvmlDeviceGetUtilizationRates", offsetof(struct nvml, utilization) },
		{ "nvmlDeviceGetMemoryInfo", offsetof(struct nvml, memory) },
	};

	memset(n, 0, sizeof(*n));
	n->library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
	if (!n->library)
		return false;
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *fn = dlsym(n->library, symbols[i].name);

		if (!fn)
			goto none;
		memcpy((char *)n + symbols[i].offset, &fn, sizeof(fn)); /* POSIX: a symbol's address fits a function pointer */
	}
	if (n->init() == 0)
		return true;
none:
	dlclose(n->library);
	n->library = NULL;
	return false;
}

void nvml_close(struct nvml *n)
{
	if (!n->library)
		return;
	n->shutdown();
	dlclose(n->library);
	n->library = NULL;
}

bool nvml_read(const struct nvml *n, struct gpu_list *out)
{
	unsigned count = 0;

	out->n = 0;
	if (n->count(&count) != 0)
		return false;
	for (unsigned i = 0; i < count && out->n < GPU_MAX; i++) {
		struct gpu *g = &out->v[out->n];
		struct nvml_utilization u;
		struct nvml_memory m;
		void *device;

		if (n->handle(i, &device) != 0 || n->memory(device, &m) != 0)
			continue;
		if (n->name(device, g->name, sizeof(g->name)) != 0)
			g->name[0] = 0;
		g->name[sizeof(g->name) - 1] = 0;
		g->utilization = n->utilization(device, &u) == 0 ? (int)u.gpu : -1;
		g->memory_used = m.used;
		g->memory_total = m.total;
		out->n++;
	}
	return true;
}
