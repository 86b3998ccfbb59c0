/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_life.c - a test plugin: an instance's life, and state that outlives it. A counter and an open file go from each instance to its
 * successor; each event of its life is a line in `events`.
 *
 *   GET /life          counts, writes the new count as a line into the open file, answers with it
 *   GET /life/info     {"serial":…,"count":…,"fixed":…,"live":…,"loops":…,"rows":[…]}: of the instance that answers
 *   GET /life/hold     answers when it is released, by GET /life/release
 *
 * Threads and ownership: `shared` belongs to all instances of a chain of successors and goes with the last. A per-loop counter is handed on
 * by loop_adopt and adds to the shared total in loop_stop. `live` is atomic: reload writes it while the loops read.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <chimera/json.h>

struct t_life_conf {
	const char *file, *events;
	int64_t fixed, live;
	bool no_start;
};

struct t_life_row {
	int64_t n;
};

struct shared {
	atomic_uint instances;
	int fd;
	pthread_mutex_t lock;
	int64_t count;     /* … and the line of the file, under the lock: so the lines are in order */
	_Atomic int64_t total; /* of the loops that were left */
};

struct t_life_state {
	int serial;
	struct shared *shared;
	_Atomic int64_t live;
};

struct per_loop {
	int64_t count;
	struct ch_timer *timer; /* ticks, so that a timer goes through the reloads too */
	uint64_t ticks;
};

static atomic_int serials;
static _Atomic ch_ticket held; /* one at a time */

/* ---- events ---- */

__attribute__((format(printf, 2, 3))) static void event(struct ch_self *self, const char *fmt, ...)
{
	const struct t_life_conf *conf = self->conf;
	char line[200];
	va_list ap;
	int fd, n;

	if (!*conf->events)
		return;
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	line[n++] = '\n';
	fd = open(conf->events, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, line, (size_t)n) != n) /* one write is one line, from whatever thread */
		ch_log(self, NULL, CH_ERR, "events cannot be written: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int serial(const struct ch_self *self)
{
	const struct t_life_state *state = self->state;

	return state->serial;
}

/* ---- life ---- */

static int check(struct ch_self *self)
{
	const struct t_life_conf *conf = self->conf;

	if (conf->fixed >= 0)
		return CH_OK;
	ch_config_error(self, NULL, "fixed", "is %lld: must not be negative", (long long)conf->fixed);
	return CH_ERROR;
}

static struct shared *open_shared(struct ch_self *self)
{
	const struct t_life_conf *conf = self->conf;
	struct shared *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->instances = 1;
	pthread_mutex_init(&s->lock, NULL);
	s->fd = open(conf->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (s->fd < 0) {
		ch_log(self, NULL, CH_ERR, "file = %s cannot be opened: %s", conf->file, strerror(errno));
		free(s);
		return NULL;
	}
	return s;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct t_life_conf *conf = self->conf;
	struct t_life_state *state = self->state;

	state->serial = atomic_fetch_add(&serials, 1) + 1;
	state->live = conf->live;
	event(self, "start %d after %d", state->serial, prev ? serial(prev) : 0);
	if (conf->no_start) {
		ch_log(self, NULL, CH_ERR, "no_start = yes: it does not start");
		return CH_ERROR;
	}
	if (!prev && !(state->shared = open_shared(self))) /* else adopt will bring it */
		return CH_ERROR;
	return CH_OK;
}

static void adopt(struct ch_self *self, struct ch_self *prev)
{
	struct t_life_state *state = self->state, *old = prev->state;

	state->shared = old->shared;
	atomic_fetch_add(&state->shared->instances, 1);
	event(self, "adopt %d from %d", state->serial, old->serial);
}

static void reload(struct ch_self *self, const struct ch_self *fresh)
{
	const struct t_life_conf *conf = fresh->conf;
	struct t_life_state *state = self->state;

	state->live = conf->live;
	event(self, "reload %d live %lld rows %zu", state->serial, (long long)conf->live, fresh->nrows);
}

static void retire(struct ch_self *self)
{
	event(self, "retire %d", serial(self));
}

static void stop(struct ch_self *self)
{
	struct t_life_state *state = self->state;
	struct shared *s = state->shared;

	if (s && atomic_fetch_sub(&s->instances, 1) == 1) {
		event(self, "total %lld of %lld", (long long)s->total, (long long)s->count);
		close(s->fd);
		pthread_mutex_destroy(&s->lock);
		free(s);
	}
	event(self, "stop %d", state->serial);
}

/* ---- on the loops ---- */

static void on_tick(void *data)
{
	struct per_loop *p = data;

	p->ticks++;
	ch_timer_set(p->timer, 20);
}

static int loop_start(struct ch_self *self, struct ch_loop *l)
{
	struct per_loop *p = calloc(1, sizeof(*p));

	*ch_loop_state(self, l) = p;
	if (!p)
		return CH_ERROR;
	p->timer = ch_timer(l, on_tick, p);
	if (!p->timer)
		return CH_ERROR;
	ch_timer_set(p->timer, 20);
	return CH_OK;
}

static void loop_adopt(struct ch_self *self, struct ch_self *prev, struct ch_loop *l)
{
	struct per_loop *p = *ch_loop_state(self, l), *old = *ch_loop_state(prev, l);

	p->count += old->count;
	old->count = 0;
}

static void loop_stop(struct ch_self *self, struct ch_loop *l)
{
	struct t_life_state *state = self->state;
	struct per_loop *p = *ch_loop_state(self, l);

	if (!p)
		return;
	if (state->shared)
		state->shared->total += p->count;
	ch_timer_free(p->timer);
	free(p);
	*ch_loop_state(self, l) = NULL;
}

/* ---- requests ---- */

static int get_life(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_life_state *state = self->state;
	struct per_loop *p = *ch_loop_state(self, ch_loop(c));
	struct shared *s = state->shared;
	char line[24];
	bool ok;
	int n;

	pthread_mutex_lock(&s->lock);
	n = snprintf(line, sizeof(line), "%lld\n", (long long)++s->count);
	ok = write(s->fd, line, (size_t)n) == n;
	pthread_mutex_unlock(&s->lock);
	p->count++;
	return ok ? ch_respond(c, 200, "text/plain", line, (size_t)n - 1) : CH_ERROR;
}

static int get_info(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_life_conf *conf = self->conf;
	const struct t_life_state *state = self->state;
	struct ch_jw w;
	int64_t count;

	pthread_mutex_lock(&state->shared->lock);
	count = state->shared->count;
	pthread_mutex_unlock(&state->shared->lock);
	ch_jw_ctx(&w, c, 256);
	ch_jw_object(&w);
	ch_jw_key(&w, "serial");
	ch_jw_int(&w, state->serial);
	ch_jw_key(&w, "count");
	ch_jw_int(&w, count);
	ch_jw_key(&w, "fixed");
	ch_jw_int(&w, conf->fixed);
	ch_jw_key(&w, "live");
	ch_jw_int(&w, state->live);
	ch_jw_key(&w, "rows");
	ch_jw_array(&w);
	for (size_t i = 0; i < self->nrows; i++)
		ch_jw_cstr(&w, self->rows[i].name);
	ch_jw_array_end(&w);
	ch_jw_object_end(&w);
	return w.failed ? CH_ERROR : ch_respond(c, 200, "application/json", w.buf, w.len);
}

static int released(struct ch_ctx *c, void *data, int why, void *result)
{
	const struct t_life_state *state = ((const struct ch_self *)data)->state;
	const char *text = ch_print(c, "%d", state->serial);

	(void)result;
	if (why != CH_READY)
		ch_unsuspend(atomic_exchange(&held, 0));
	return why == CH_READY && text ? ch_respond(c, 200, "text/plain", text, strlen(text)) : CH_DONE;
}

static int get_hold(struct ch_self *self, struct ch_ctx *c)
{
	ch_ticket t = ch_suspend(c, 0, released, self);

	atomic_store(&held, t);
	return t ? CH_AGAIN : CH_ERROR;
}

static int get_release(struct ch_self *self, struct ch_ctx *c)
{
	ch_ticket t = atomic_exchange(&held, 0);

	(void)self;
	if (t)
		ch_resume(t, NULL, NULL);
	return ch_respond(c, t ? 200 : 404, "text/plain", "", 0);
}

static const struct ch_option options[] = {
	CH_OPT(struct t_life_conf, file, PATH, .flags = CH_O_REQUIRED, .help = "The file that stays open"),
	CH_OPT(struct t_life_conf, events, PATH, .help = "Where events of its life are appended; empty: nowhere"),
	CH_OPT(struct t_life_conf, fixed, INT, .def = "0", .help = "A change takes a new instance"),
	CH_OPT(struct t_life_conf, live, INT, .flags = CH_O_RELOAD, .def = "0", .help = "A change takes none"),
	CH_OPT(struct t_life_conf, no_start, BOOL, .help = "Its start fails"),
};
static const struct ch_option row_options[] = {
	CH_OPT(struct t_life_row, n, INT, .flags = CH_O_RELOAD, .help = "A number"),
};
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/life", .fn = get_life, .response_type = "text/plain", .summary = "Counts" },
	{ .method = "GET", .pattern = "/life/info", .fn = get_info, .summary = "The instance" },
	{ .method = "GET", .pattern = "/life/hold", .fn = get_hold, .response_type = "text/plain", .summary = "Waits" },
	{ .method = "GET", .pattern = "/life/release", .fn = get_release, .response_type = "text/plain", .summary = "Ends the wait" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_life",
	.version = "0.1",
	.summary = "Test: a life over reloads",
	.conf_size = sizeof(struct t_life_conf),
	.row_conf_size = sizeof(struct t_life_row),
	.state_size = sizeof(struct t_life_state),
	.options = CH_TABLE(options),
	.row_options = CH_TABLE(row_options),
	.routes = CH_TABLE(routes),
	.check = check,
	.start = start,
	.adopt = adopt,
	.reload = reload,
	.retire = retire,
	.stop = stop,
	.loop_start = loop_start,
	.loop_adopt = loop_adopt,
	.loop_stop = loop_stop,
};

CH_PLUGIN(t_life, plugin)
