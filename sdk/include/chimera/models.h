/* SPDX-License-Identifier: MIT */
/*
 * chimera/models.h - the service "models/1": which model files there are on this machine, and whose they are. Since 0.3.
 *
 * Nothing here waits: a manifest comes from the config and from what the provider last saw on disk.
 */
#ifndef CHIMERA_MODELS_H
#define CHIMERA_MODELS_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One model. Texts live as long as the providing instance. */
struct ch_manifest {
	size_t size;
	const char *name;                 /* as clients name it: "gemma3:latest" */
	const char *path;                 /* absolute, below the registry's folder */
	const char *revision, *sha256;    /* "": not given; 64 lower hex digits */
	const char *backend;              /* the id of the instance that serves it; "": whoever lists it */
	int64_t context;                  /* tokens; 0: not given */
	int64_t bytes;                    /* of the file; -1: it is not there */
	int64_t created;                  /* the file's last change, seconds since the epoch; 0: not there */
};

struct ch_models_v1 {
	size_t size;
	/* [any] The i-th manifest in config order: true and *out filled (set out->size), or false past the last. */
	bool (*at)(const struct ch_svc *, size_t i, struct ch_manifest *out);
};

#ifdef __cplusplus
}
#endif
#endif
