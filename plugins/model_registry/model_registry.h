/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_registry.h - what the files of this plugin share.
 *
 *   model_registry.c   options, service, health check, life: which files are there
 *   command.c          `models`: list, and who asks for verify
 *   verify.c           hashing files piece by piece in the pool
 *   path.c             names, paths, opening a file below the folder
 *
 * Threads and ownership: models are made in start and freed in stop; what a look at the disk changes of them is atomic, since pool threads
 * write and every thread reads it.
 */
#ifndef MODEL_REGISTRY_H
#define MODEL_REGISTRY_H

#include <stdatomic.h>

#include <chimera/models.h>

#define REGISTRY_SHA256 64 /* digits */

struct registry_conf {
	const char *dir;
};

struct registry_row {
	const char *path, *revision, *sha256, *backend;
	int64_t context;
};

struct registry_model {
	const char *name;
	const struct registry_row *row;
	char *path;                            /* absolute */
	const char *below;                     /* in it: the part below the folder */
	char sha256[REGISTRY_SHA256 + 1];      /* lower case; empty: not given */
	_Atomic int64_t bytes, created;        /* -1 and 0: it is not there */
	atomic_bool looked;                    /* once, or more often */
};

struct registry_state {
	struct registry_model *models;
	size_t n;
};

/* model_registry.c: looks at one file, and says what has changed since the last time. NULL: it is there; else why not. [any], may block. */
const char *registry_look(struct ch_self *self, struct registry_model *m);

/* command.c: CH_LIVE | CH_OFFLINE, `models list|verify [NAME]`. */
int registry_command(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv);

/* verify.c: hashes these models of the instance's (n at least 1), says how far it is and what came of each. As a command's function. */
int registry_verify(struct ch_self *self, struct ch_ctx *c, struct registry_model *const *models, size_t n);

#endif
