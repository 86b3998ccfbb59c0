/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adapter.c - hiredis on the loop of the host.
 *
 * What is to be sent is sent at the end of the turn in which it came, all at once and without asking the kernel first; only what does not
 * fit then waits for the socket. What frees a context while hiredis is at work on it waits until it has returned.
 */
#include <fcntl.h>

#include "kv_redis.h"

/* ---- answers ---- */

/* Memory that hiredis would take for any number that a server names, and what nobody has asked for: both end the connection. */
static redisReplyObjectFunctions usual, guarded;

static bool unasked(const redisReadTask *task)
{
	const redisAsyncContext *ac = task->privdata;

	return !task->parent && !ac->replies.head;
}

static void *create_string(const redisReadTask *task, char *p, size_t n)
{
	return unasked(task) ? NULL : usual.createString(task, p, n);
}

#if HIREDIS_MAJOR > 0
static void *create_array(const redisReadTask *task, size_t n)
#else
static void *create_array(const redisReadTask *task, int n)
#endif
{
	return unasked(task) || n > 4096 ? NULL : usual.createArray(task, n);
}

static void *create_integer(const redisReadTask *task, long long v)
{
	return unasked(task) ? NULL : usual.createInteger(task, v);
}

static void *create_nil(const redisReadTask *task)
{
	return unasked(task) ? NULL : usual.createNil(task);
}

bool kr_guard_init(void)
{
	redisReader *reader = redisReaderCreate();

	if (!reader)
		return false;
	usual = guarded = *reader->fn;
	guarded.createString = create_string;
	guarded.createArray = create_array;
	guarded.createInteger = create_integer;
	guarded.createNil = create_nil;
	redisReaderFree(reader);
	return true;
}

/* ---- events ---- */

static void set_events(struct kr_wire *w, int events)
{
	if (w->watch && w->events != events)
		ch_watch_set(w->watch, events);
	w->events = events;
}

void kr_drop(struct kr_wire *w)
{
	if (!w->ac)
		return;
	if (w->inside) {
		w->doomed = true;
		return;
	}
	w->inside = true; /* the callbacks of what was out run now */
	redisAsyncFree(w->ac);
	w->inside = w->doomed = false;
}

/* Lets hiredis work, and looks whether the connection is still there, and still makes sense, behind it. */
static void work(struct kr_wire *w, void (*fn)(redisAsyncContext *))
{
	bool doomed;

	if (!w->ac || w->inside)
		return;
	if (fn == redisAsyncHandleWrite)
		w->offered = w->given;
	w->inside = true;
	w->said = KR_LOST;
	fn(w->ac);
	w->inside = false;
	doomed = w->doomed;
	w->doomed = false;
	if (!w->ac) { /* hiredis has given it up */
		if (!doomed)
			w->lost(w, w->said);
	} else if (doomed) {
		kr_drop(w);
	} else if (w->ac->c.reader->len > w->most) {
		w->lost(w, KR_GARBAGE);
	}
}

static void on_event(void *data, int events)
{
	struct kr_wire *w = data;

	if (events & CH_WRITE)
		work(w, redisAsyncHandleWrite);
	if (events & CH_READ && w->ac)
		work(w, redisAsyncHandleRead);
}

static void flush(void *data)
{
	struct kr_wire *w = data;

	w->flush_due = false;
	if (!w->ac || w->events & CH_WRITE)
		return;
	w->flushing = true;
	work(w, redisAsyncHandleWrite);
	w->flushing = false;
}

static void add_read(void *data)
{
	struct kr_wire *w = data;

	set_events(w, w->events | CH_READ);
}

static void del_read(void *data)
{
	struct kr_wire *w = data;

	set_events(w, w->events & ~CH_READ);
}

static void add_write(void *data)
{
	struct kr_wire *w = data;

	if (w->flushing || !(w->ac->c.flags & REDIS_CONNECTED)) {
		set_events(w, w->events | CH_WRITE);
	} else if (!w->flush_due) {
		w->flush_due = true;
		ch_turn_end(w->loop, flush, w);
	}
}

static void del_write(void *data)
{
	struct kr_wire *w = data;

	set_events(w, w->events & ~CH_WRITE);
}

static void cleanup(void *data)
{
	struct kr_wire *w = data;

	if (w->watch)
		ch_watch_free(w->watch);
	w->watch = NULL;
	w->events = 0;
	w->ac = NULL;
}

/* Why hiredis gives it up. */
static void on_disconnect(const redisAsyncContext *ac, int status)
{
	struct kr_wire *w = ac->data;

	(void)status;
	if (ac->err == REDIS_ERR_PROTOCOL || ac->err == REDIS_ERR_OOM)
		w->said = KR_GARBAGE;
}

bool kr_adapt(struct kr_wire *w, redisAsyncContext *ac)
{
	w->watch = ch_watch(w->loop, ac->c.fd, 0, on_event, w);
	if (!w->watch)
		return false;
	fcntl(ac->c.fd, F_SETFD, FD_CLOEXEC);
	w->events = 0;
	w->ac = ac;
	ac->data = w;
	ac->ev.data = w;
	ac->ev.addRead = add_read;
	ac->ev.delRead = del_read;
	ac->ev.addWrite = add_write;
	ac->ev.delWrite = del_write;
	ac->ev.cleanup = cleanup;
	ac->c.reader->fn = &guarded;
	ac->c.reader->privdata = ac;
	redisAsyncSetDisconnectCallback(ac, on_disconnect);
	return true;
}
