/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.h - names of models, the files that belong to them, and how a file is opened so that nothing leads out of its folder. Any thread.
 */
#ifndef MODEL_REGISTRY_PATH_H
#define MODEL_REGISTRY_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define REGISTRY_NAME_MAX 128

/* 1 to 128 of A-Z a-z 0-9 . _ : / - */
bool registry_is_name(const char *name);
/*
 * The file's name that a model's name gives: what is no letter, digit, dot, underscore or hyphen becomes '_', as does a dot in front.
 * "gemma3:latest": gemma3_latest. The name must be one; out: REGISTRY_NAME_MAX + 1 bytes.
 */
void registry_sanitise(char *out, const char *name);
/* What is wrong with a path below the folder, as the end of a sentence ("must not …"); NULL: nothing. */
const char *registry_path_wrong(const char *path);
/*
 * Opens a regular file below `dir` for reading, part by part, so that neither ".." nor a symbolic link leads elsewhere, whoever changes the
 * folders meanwhile. dir itself may be a link. -1: *why says it (static text, or strerror's), errno as well: ENOENT if it is not there. May
 * block.
 */
int registry_open(const char *dir, const char *path, struct stat *st, const char **why);

#endif
