/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin/thread.h - threads of plugins, see ch_thread. [any] */
#ifndef CHI_THREAD_H
#define CHI_THREAD_H

#include "core/chi.h"

struct ch_thread *chi_thread_new(const struct ch_self *owner, const char *name, ch_fn fn, void *data);
void chi_thread_join(struct ch_thread *t); /* NULL is fine */
/* Its threads that nobody has joined, whether they still run or not. */
size_t chi_threads_of(const struct ch_self *owner);

#endif
