/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/plugin/loader.h - shared objects to descriptors, by libltdl. Nothing else in chimera knows libltdl. One thread at a time (boot,
 * reload, the tool). What is loaded stays loaded: code that ran is never unmapped.
 */
#ifndef CHI_LOADER_H
#define CHI_LOADER_H

#include "core/chi.h"

/* The folder to load from. strict: refuse files and folders that the group may write (those that everybody may write always are). */
void chi_loader_folder(const char *folder, bool strict);
/* Tables are not looked at from now on: for `chimera-plugin check`, which says more about them. */
void chi_loader_leave_tables(void);
/* The descriptor of NAME.so, loaded on the first call. NULL: one sentence in why. */
const struct ch_plugin *chi_loader_find(const char *name, char *why, size_t why_cap);
/* fn(arg, name) for each .so of the folder, by name. */
void chi_loader_list(void (*fn)(void *arg, const char *name), void *arg);

#endif
