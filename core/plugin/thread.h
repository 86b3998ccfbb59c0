/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin/thread.h - threads of plugins, see ch_thread. [any] */
#ifndef CHI_THREAD_H
#define CHI_THREAD_H

#include "core/chi.h"

struct ch_thread *chi_thread_new(const char *name, ch_fn fn, void *data);
void chi_thread_join(struct ch_thread *t); /* NULL is fine */

#endif
