/* SPDX-License-Identifier: MIT */
#include "sdk/test/vloop.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW_FIRST 1000000000        /* microseconds: a clock that has been running */
#define WALL_FIRST 1767225600000000 /* 2026-01-01T00:00:00Z */

/* A timer or watch of a plugin's. */
struct made {
	struct made *older, *newer;
	char maker[64];
	union {
		struct ch_timer timer;
		struct ch_watch watch;
	};
};
struct made_list {
	struct made *oldest, *newest;
	size_t n;
};

static struct {
	int64_t now, wall; /* wall: minus now */
	uint64_t random;
	struct ch_loop *loops[CHI_MAX_LOOPS];
	struct ch_timer **timers; /* set ones, in the order of setting */
	size_t ntimers, timers_cap;
	struct made_list made_timers, made_watches;
	char misuse[512];
	unsigned long fail; /* allocations until one fails; 0: none does */
	bool struck;
} world;
static struct ch_loop *here;

/* ---- the world ---- */

void chi_world_new(void)
{
	free(world.timers);
	memset(&world, 0, sizeof world);
	world.now = NOW_FIRST;
	world.wall = WALL_FIRST - NOW_FIRST;
	world.random = 1;
	here = NULL;
}

void chi_world_move(int64_t at)
{
	if (at > world.now)
		__atomic_store_n(&world.now, at, __ATOMIC_RELAXED); /* plugins' threads look at the clock, too */
}

void chi_world_wall(int64_t us)
{
	__atomic_store_n(&world.wall, world.wall + us, __ATOMIC_RELAXED);
}

struct ch_loop *chi_world_enter(struct ch_loop *l)
{
	struct ch_loop *old = here;
	here = l;
	if (l)
		l->now = world.now;
	return old;
}

static bool busy(const struct ch_loop *l)
{
	return atomic_load_explicit(&l->inbox, memory_order_relaxed) || l->ready || l->nturn;
}

bool chi_world_settle(void)
{
	bool any = false;
	for (unsigned i = 0; i < CHI_MAX_LOOPS; i++) {
		struct ch_loop *l = world.loops[i];
		if (!l || !busy(l))
			continue;
		struct ch_loop *old = chi_world_enter(l);
		chi_loop_settle(l);
		chi_world_enter(old);
		any = true;
		i = (unsigned)-1; /* it may have sent to those before it */
	}
	return any;
}

bool chi_world_may_alloc(void)
{
	if (!world.fail || --world.fail)
		return true;
	world.struck = true;
	return false;
}

bool chi_world_fail_alloc(unsigned long n)
{
	bool struck = world.struck;
	world.fail = n;
	world.struck = false;
	return struck;
}

bool chi_world_failing(void)
{
	return world.fail || world.struck;
}

const char *chi_world_misuse(void)
{
	return *world.misuse ? world.misuse : NULL;
}

/* Is this the loop's own thread? Anything else is remembered, the first time. */
static void on_loop(const struct ch_loop *l, const char *what)
{
	if (here == l || *world.misuse)
		return;
	snprintf(world.misuse, sizeof world.misuse,
		"%s was called %s%s on a thing of the loop %s: only functions marked [any] in plugin.h may be", what,
		here ? "on the loop " : "off the loops (in start, check, stop or offloaded work)", here ? here->name : "", l->name);
}

/* ---- clock.c ---- */

int64_t chi_clock(void)
{
	return __atomic_load_n(&world.now, __ATOMIC_RELAXED);
}

int64_t chi_wall(void)
{
	return __atomic_load_n(&world.wall, __ATOMIC_RELAXED) + __atomic_load_n(&world.now, __ATOMIC_RELAXED);
}

/* splitmix64: any seed is good, and the test's numbers are the same in each run. */
uint64_t chi_random(void)
{
	uint64_t z = __atomic_add_fetch(&world.random, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* ---- what plugins make ---- */

static struct made *make(struct made_list *list, const struct ch_loop *l)
{
	struct made *m = chi_world_may_alloc() ? calloc(1, sizeof *m) : NULL;
	if (!m)
		return NULL;
	const char *maker = atomic_load_explicit(&l->busy_plugin, memory_order_relaxed);
	snprintf(m->maker, sizeof m->maker, "%s", maker ? maker : "a callback");
	m->older = list->newest;
	*(list->newest ? &list->newest->newer : &list->oldest) = m;
	list->newest = m;
	list->n++;
	return m;
}

static void unmake(struct made_list *list, struct made *m)
{
	*(m->older ? &m->older->newer : &list->oldest) = m->newer;
	*(m->newer ? &m->newer->older : &list->newest) = m->older;
	list->n--;
	free(m);
}

static size_t left(const struct made_list *list, const char **maker)
{
	*maker = list->oldest ? list->oldest->maker : "";
	return list->n;
}

size_t chi_world_timers(const char **maker)
{
	return left(&world.made_timers, maker);
}

size_t chi_world_watches(const char **maker)
{
	return left(&world.made_watches, maker);
}

/* ---- watches: io.events is what is waited for ---- */

void chi_watch_init(struct ch_watch *w, struct ch_loop *l, int fd, int events, ch_watch_fn fn, void *data)
{
	memset(w, 0, sizeof *w);
	w->io.fd = fd;
	w->io.events = events;
	w->io.data = data;
	w->loop = l;
	w->fn = fn;
}

void chi_watch_set(struct ch_watch *w, int events)
{
	on_loop(w->loop, "ch_watch_set");
	w->io.events = events;
}

struct ch_watch *chi_watch_new(struct ch_loop *l, int fd, int events, ch_watch_fn fn, void *data)
{
	on_loop(l, "ch_watch");
	struct made *m = make(&world.made_watches, l);
	if (!m)
		return NULL;
	chi_watch_init(&m->watch, l, fd, events, fn, data);
	return &m->watch;
}

void chi_watch_free(struct ch_watch *w)
{
	if (!w)
		return;
	on_loop(w->loop, "ch_watch_free");
	unmake(&world.made_watches, (struct made *)((char *)w - offsetof(struct made, watch)));
}

int chi_watch_events(const struct ch_watch *w)
{
	return w->io.events & (CH_READ | CH_WRITE);
}

void chi_watch_fire(struct ch_watch *w, int events)
{
	struct ch_loop *old = chi_world_enter(w->loop);
	w->fn(w->io.data, events);
	chi_world_enter(old);
	chi_world_settle();
}

int chi_world_watched(int fd)
{
	int events = 0;
	for (const struct made *m = world.made_watches.oldest; m; m = m->newer)
		if (m->watch.io.fd == fd)
			events |= chi_watch_events(&m->watch);
	return events;
}

bool chi_world_fd(int fd, int events)
{
	for (struct made *m = world.made_watches.oldest; m; m = m->newer) {
		int now = m->watch.io.fd == fd ? chi_watch_events(&m->watch) & events : 0;
		if (!now)
			continue;
		chi_watch_fire(&m->watch, now); /* it may free any watch: what is left of `events` is looked for from the start */
		if (events & ~now)
			chi_world_fd(fd, events & ~now);
		return true;
	}
	return false;
}

/* ---- timers: ev.at is when they are due ---- */

void chi_timer_init(struct ch_timer *t, struct ch_loop *l, ch_fn fn, void *data)
{
	memset(t, 0, sizeof *t);
	t->ev.data = data;
	t->loop = l;
	t->fn = fn;
}

static void unset(struct ch_timer *t)
{
	for (size_t i = 0; i < world.ntimers && t->ev.active; i++)
		if (world.timers[i] == t) {
			memmove(world.timers + i, world.timers + i + 1, (--world.ntimers - i) * sizeof *world.timers);
			t->ev.active = 0;
		}
	if (!world.ntimers) {
		free(world.timers);
		world.timers = NULL;
		world.timers_cap = 0;
	}
}

void chi_timer_set(struct ch_timer *t, int64_t ms)
{
	on_loop(t->loop, "ch_timer_set");
	unset(t);
	if (ms < 0)
		return;
	if (world.ntimers == world.timers_cap) {
		size_t cap = world.timers_cap ? world.timers_cap * 2 : 64;
		struct ch_timer **v = realloc(world.timers, cap * sizeof *v);
		if (!v)
			abort();
		world.timers = v;
		world.timers_cap = cap;
	}
	t->ev.at = (double)(world.now + ms * 1000); /* exact: far below 2^53 */
	t->ev.active = 1;
	world.timers[world.ntimers++] = t;
}

struct ch_timer *chi_timer_new(struct ch_loop *l, ch_fn fn, void *data)
{
	on_loop(l, "ch_timer");
	struct made *m = make(&world.made_timers, l);
	if (!m)
		return NULL;
	chi_timer_init(&m->timer, l, fn, data);
	return &m->timer;
}

void chi_timer_free(struct ch_timer *t)
{
	if (!t)
		return;
	on_loop(t->loop, "ch_timer_free");
	unset(t);
	unmake(&world.made_timers, (struct made *)((char *)t - offsetof(struct made, timer)));
}

static struct ch_timer *first(void)
{
	struct ch_timer *t = NULL;
	for (size_t i = 0; i < world.ntimers; i++)
		if (!t || world.timers[i]->ev.at < t->ev.at)
			t = world.timers[i];
	return t;
}

int64_t chi_world_next(void)
{
	const struct ch_timer *t = first();
	return t ? (int64_t)t->ev.at : -1;
}

bool chi_world_fire(void)
{
	struct ch_timer *t = first();
	if (!t || (int64_t)t->ev.at > world.now)
		return false;
	unset(t);
	struct ch_loop *old = chi_world_enter(t->loop);
	t->fn(t->ev.data);
	chi_world_enter(old);
	chi_world_settle();
	return true;
}

/* ---- messages: as in loop.c, but for the waking ---- */

struct ch_loop *chi_loop_here(void)
{
	return here;
}

bool chi_loop_send(struct ch_loop *l, struct chi_msg *m)
{
	if (l->ended)
		return false;
	struct chi_msg *old = atomic_load_explicit(&l->inbox, memory_order_relaxed);
	do /* threads of plugins send, too */
		m->next = old;
	while (!atomic_compare_exchange_weak_explicit(&l->inbox, &old, m, memory_order_release, memory_order_relaxed));
	return true;
}

void chi_loop_ready(struct ch_loop *l, struct chi_msg *m)
{
	m->next = NULL;
	*l->ready_tail = m;
	l->ready_tail = &m->next;
}

static void take_inbox(struct ch_loop *l)
{
	struct chi_msg *m = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acquire), *oldest = NULL;
	while (m) {
		struct chi_msg *next = m->next;
		m->next = oldest;
		oldest = m;
		m = next;
	}
	while (oldest) {
		struct chi_msg *next = oldest->next;
		chi_loop_ready(l, oldest);
		oldest = next;
	}
}

void chi_loop_settle(struct ch_loop *l)
{
	for (;;) {
		take_inbox(l);
		if (l->ready) {
			struct chi_msg *m = l->ready;
			l->ready = m->next;
			if (!l->ready)
				l->ready_tail = &l->ready;
			m->fn(l, m);
		} else if (l->nturn) {
			struct chi_turn_fn t = l->turn[0];
			memmove(l->turn, l->turn + 1, --l->nturn * sizeof *l->turn);
			t.fn(t.data);
		} else {
			return;
		}
	}
}

struct posted {
	struct chi_msg msg;
	ch_fn fn;
	void *data;
};

static void on_posted(struct ch_loop *l, struct chi_msg *m)
{
	(void)l;
	struct posted p = *(struct posted *)m;
	free(m);
	p.fn(p.data);
}

bool chi_loop_post(struct ch_loop *l, ch_fn fn, void *data)
{
	struct posted *p = chi_world_may_alloc() ? malloc(sizeof *p) : NULL;
	if (!p)
		return false;
	*p = (struct posted){ .msg.fn = on_posted, .fn = fn, .data = data };
	if (chi_loop_send(l, &p->msg))
		return true;
	free(p);
	return false;
}

void chi_loop_turn_end(struct ch_loop *l, ch_fn fn, void *data)
{
	on_loop(l, "ch_turn_end");
	struct chi_turn_fn *v = realloc(l->turn, (l->nturn + 1) * sizeof *v);
	if (!v)
		abort();
	l->turn = v;
	l->turn[l->nturn++] = (struct chi_turn_fn){ fn, data };
}

/* ---- loops ---- */

struct ch_loop *chi_loop_new(unsigned index, const char *name)
{
	struct ch_loop *l = calloc(1, sizeof *l);
	if (!l || !(l->scratch = malloc(CHI_SCRATCH)))
		abort();
	l->index = index;
	snprintf(l->name, sizeof l->name, "%s", name);
	l->now = world.now;
	l->ready_tail = &l->ready;
	world.loops[index] = l;
	return l;
}

/* Nothing runs by itself here: the harness settles. */
void chi_loop_run(struct ch_loop *l)
{
	struct ch_loop *old = chi_world_enter(l);
	chi_loop_settle(l);
	chi_world_enter(old);
}

void chi_loop_stop(struct ch_loop *l)
{
	l->ended = true;
}

void chi_loop_free(struct ch_loop *l)
{
	if (!l)
		return;
	world.loops[l->index] = NULL;
	if (here == l)
		here = NULL;
	free(l->turn);
	free(l->scratch);
	free(l);
}
