/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel.h - when entries expire, without a timer for each: adding, taking out and looking at what is due cost the same however many there
 * are. An entry is looked at by the tick behind its due time, so that what is seen there has expired or was prolonged. Under the shard's
 * lock.
 */
#ifndef KV_MEMORY_WHEEL_H
#define KV_MEMORY_WHEEL_H

#include "store.h"

/* A wheel that stands at that time. */
void km_wheel_start(struct km_wheel *w, int64_t now);
/* The entry is looked at when its `expires` is over, or never if that is 0. It is in no wheel. */
void km_wheel_add(struct km_wheel *w, struct km_entry *e);
void km_wheel_take_out(struct km_entry *e);
/* Takes out the next entry that is due by `now`. NULL: none is. *steps counts what was moved to do so; it stops at `most`. */
struct km_entry *km_wheel_next(struct km_wheel *w, int64_t now, size_t *steps, size_t most);

#endif
