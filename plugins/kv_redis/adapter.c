/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adapter.c - hiredis on the loop of the host.
 *
 * What is to be sent is sent at the end of the turn in which it came, all at once and without asking the kernel first; only what does not
 * fit then waits for the socket. What frees a context while hiredis is at work on it waits until it has returned.
 */
#include "kv_redis.h"

static void set_events(struct kr_lane *lane, int events)
{
	if (lane->watch && lane->events != events)
		ch_watch_set(lane->watch, events);
	lane->events = events;
}

/* Lets hiredis work, and looks whether the connection is still there behind it. */
static void work(struct kr_lane *lane, void (*fn)(redisAsyncContext *))
{
	char why[128] = "it was closed";

	if (!lane->ac || lane->inside)
		return;
	lane->inside = true;
	fn(lane->ac);
	lane->inside = false;
	if (!lane->ac) { /* hiredis has given it up */
		if (lane->doomed)
			lane->doomed = false;
		else
			kr_lane_fall(lane, KR_LOST, "The connection to Redis was lost: %s.", why);
	} else if (lane->doomed) {
		kr_drop(lane);
	}
}

static void on_event(void *data, int events)
{
	struct kr_lane *lane = data;

	if (events & CH_WRITE)
		work(lane, redisAsyncHandleWrite);
	if (events & CH_READ && lane->ac)
		work(lane, redisAsyncHandleRead);
}

static void flush(void *data)
{
	struct kr_lane *lane = data;

	lane->flush_due = false;
	if (!lane->ac || lane->events & CH_WRITE)
		return;
	lane->flushing = true;
	work(lane, redisAsyncHandleWrite);
	lane->flushing = false;
}

static void add_read(void *data)
{
	struct kr_lane *lane = data;

	set_events(lane, lane->events | CH_READ);
}

static void del_read(void *data)
{
	struct kr_lane *lane = data;

	set_events(lane, lane->events & ~CH_READ);
}

static void add_write(void *data)
{
	struct kr_lane *lane = data;

	if (lane->flushing || !(lane->ac->c.flags & REDIS_CONNECTED)) {
		set_events(lane, lane->events | CH_WRITE);
	} else if (!lane->flush_due) {
		lane->flush_due = true;
		ch_turn_end(lane->l->loop, flush, lane);
	}
}

static void del_write(void *data)
{
	struct kr_lane *lane = data;

	set_events(lane, lane->events & ~CH_WRITE);
}

static void cleanup(void *data)
{
	struct kr_lane *lane = data;

	if (lane->watch)
		ch_watch_free(lane->watch);
	lane->watch = NULL;
	lane->events = 0;
	lane->ac = NULL;
}
