/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop/loop.h"

#include <stdlib.h>

static __thread struct ch_loop *here;

struct ch_loop *chi_loop_here(void)
{
	return here;
}

/* ---- watches and timers ---- */

static int to_ev(int events)
{
	return ((events & CH_READ) ? EV_READ : 0) | ((events & CH_WRITE) ? EV_WRITE : 0);
}

static void on_io(struct ev_loop *ev, ev_io *io, int revents)
{
	(void)ev;
	struct ch_watch *w = (struct ch_watch *)io;
	w->fn(io->data, ((revents & EV_READ) ? CH_READ : 0) | ((revents & EV_WRITE) ? CH_WRITE : 0));
}

void chi_watch_init(struct ch_watch *w, struct ch_loop *l, int fd, int events, ch_watch_fn fn, void *data)
{
	ev_io_init(&w->io, on_io, fd, to_ev(events));
	w->io.data = data;
	w->loop = l;
	w->fn = fn;
	if (events)
		ev_io_start(l->ev, &w->io);
}

void chi_watch_set(struct ch_watch *w, int events)
{
	int want = to_ev(events);
	if (ev_is_active(&w->io)) {
		if ((w->io.events & (EV_READ | EV_WRITE)) == want)
			return;
		ev_io_stop(w->loop->ev, &w->io);
	}
	if (want) {
		ev_io_set(&w->io, w->io.fd, want);
		ev_io_start(w->loop->ev, &w->io);
	}
}

struct ch_watch *chi_watch_new(struct ch_loop *l, int fd, int events, ch_watch_fn fn, void *data)
{
	struct ch_watch *w = malloc(sizeof *w);
	if (w)
		chi_watch_init(w, l, fd, events, fn, data);
	return w;
}

void chi_watch_free(struct ch_watch *w)
{
	if (!w)
		return;
	ev_io_stop(w->loop->ev, &w->io);
	free(w);
}

static void on_timer(struct ev_loop *ev, ev_timer *e, int revents)
{
	(void)ev;
	(void)revents;
	((struct ch_timer *)e)->fn(e->data);
}

void chi_timer_init(struct ch_timer *t, struct ch_loop *l, ch_fn fn, void *data)
{
	ev_timer_init(&t->ev, on_timer, 0., 0.);
	t->ev.data = data;
	t->loop = l;
	t->fn = fn;
}

void chi_timer_set(struct ch_timer *t, int64_t ms)
{
	if (ev_is_active(&t->ev) || ev_is_pending(&t->ev)) /* else there is nothing to stop, as at the end of most waits */
		ev_timer_stop(t->loop->ev, &t->ev);
	if (ms < 0)
		return;
	/* libev counts from the moment it last woke; a long turn must not make the timer early. */
	double late = (double)(chi_clock() - t->loop->now) / 1e6;
	ev_timer_set(&t->ev, (double)ms / 1e3 + (late > 0 ? late : 0), 0.);
	ev_timer_start(t->loop->ev, &t->ev);
}

struct ch_timer *chi_timer_new(struct ch_loop *l, ch_fn fn, void *data)
{
	struct ch_timer *t = malloc(sizeof *t);
	if (t)
		chi_timer_init(t, l, fn, data);
	return t;
}

void chi_timer_free(struct ch_timer *t)
{
	if (!t)
		return;
	ev_timer_stop(t->loop->ev, &t->ev);
	free(t);
}

/* ---- messages ---- */

bool chi_loop_send(struct ch_loop *l, struct chi_msg *m)
{
	if (atomic_load_explicit(&l->ended, memory_order_acquire))
		return false;
	struct chi_msg *old = atomic_load_explicit(&l->inbox, memory_order_relaxed);
	do
		m->next = old;
	while (!atomic_compare_exchange_weak_explicit(&l->inbox, &old, m, memory_order_release, memory_order_relaxed));
	if (!old) /* whoever found the box empty wakes the loop; the others' messages ride along */
		ev_async_send(l->ev, &l->async);
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
	struct chi_msg *m = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acquire), *first = NULL;
	while (m) { /* newest first: turn it round */
		struct chi_msg *next = m->next;
		m->next = first;
		first = m;
		m = next;
	}
	while (first) {
		struct chi_msg *next = first->next;
		chi_loop_ready(l, first);
		first = next;
	}
}

#define ROUNDS 256 /* of what makes itself ready again, before sockets have their turn */

void chi_loop_settle(struct ch_loop *l)
{
	for (unsigned round = 0;; round++) {
		if (round == ROUNDS) {
			ev_async_send(l->ev, &l->async); /* the rest after a look at the sockets */
			return;
		}
		if (atomic_load_explicit(&l->inbox, memory_order_relaxed))
			take_inbox(l);
		if (l->ready) {
			struct chi_msg *m = l->ready;
			l->ready = NULL;
			l->ready_tail = &l->ready;
			while (m) {
				struct chi_msg *next = m->next; /* m may be freed by its function */
				m->fn(l, m);
				m = next;
			}
		} else if (l->nturn) {
			size_t n = l->nturn;
			for (size_t i = 0; i < n; i++) {
				struct chi_turn_fn t = l->turn[i]; /* the array may move under us */
				t.fn(t.data);
			}
			l->nturn -= n;
			memmove(l->turn, l->turn + n, l->nturn * sizeof *l->turn);
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
	struct posted *p = malloc(sizeof *p);
	if (!p)
		return false;
	p->msg.fn = on_posted;
	p->fn = fn;
	p->data = data;
	if (chi_loop_send(l, &p->msg))
		return true;
	free(p);
	return false;
}

void chi_loop_turn_end(struct ch_loop *l, ch_fn fn, void *data)
{
	if (l->nturn == l->turn_cap) {
		size_t cap = l->turn_cap ? l->turn_cap * 2 : 64;
		struct chi_turn_fn *v = realloc(l->turn, cap * sizeof *v);
		if (!v)
			abort(); /* a promise of a callback cannot be broken silently */
		l->turn = v;
		l->turn_cap = cap;
	}
	l->turn[l->nturn++] = (struct chi_turn_fn){ fn, data };
}

/* ---- the loop ---- */

static void on_prepare(struct ev_loop *ev, ev_prepare *p, int revents)
{
	(void)ev;
	(void)revents;
	struct ch_loop *l = p->data;
	chi_loop_settle(l);
	int64_t took = chi_clock() - l->now;
	l->slowest_turn = took > l->slowest_turn ? took : l->slowest_turn;
	atomic_store_explicit(&l->busy_since, 0, memory_order_relaxed);
}

static void on_check(struct ev_loop *ev, ev_check *c, int revents)
{
	(void)ev;
	(void)revents;
	struct ch_loop *l = c->data;
	l->now = chi_clock();
	atomic_store_explicit(&l->busy_since, l->now, memory_order_relaxed);
}

static void on_async(struct ev_loop *ev, ev_async *a, int revents)
{
	(void)ev;
	(void)revents;
	(void)a; /* waking is all it is for: prepare empties the inbox */
}

#define RESERVE (256u << 10) /* more than libev's tables ever grow by in one step here */

static void *_Atomic reserve; /* never touched, so it costs no memory until then */

/* libev ends the process when it gets no memory for a larger table, so it is given the reserve when all else is gone. */
static void *ev_memory(void *p, long n)
{
	if (!n) {
		free(p);
		return NULL;
	}
	void *q = realloc(p, (size_t)n);
	for (int i = 0; !q && i < 64; i++) {
		free(atomic_exchange(&reserve, NULL));
		q = realloc(p, (size_t)n);
	}
	return q;
}

struct ch_loop *chi_loop_new(unsigned index, const char *name)
{
	struct ch_loop *l = calloc(1, sizeof *l);
	if (!atomic_load(&reserve))
		atomic_store(&reserve, malloc(RESERVE));
	ev_set_allocator(ev_memory);
	if (!l)
		return NULL;
	/* The environment must not choose the backend (LIBEV_FLAGS=…). */
	l->ev = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	l->scratch = malloc(CHI_SCRATCH);
	if (!l->ev || !l->scratch) {
		if (l->ev)
			ev_loop_destroy(l->ev);
		free(l->scratch);
		free(l);
		return NULL;
	}
	l->index = index;
	strncpy(l->name, name, sizeof l->name - 1);
	l->now = chi_clock();
	l->ready_tail = &l->ready;
	ev_prepare_init(&l->prepare, on_prepare);
	ev_check_init(&l->check, on_check);
	ev_async_init(&l->async, on_async);
	l->prepare.data = l->check.data = l;
	ev_set_priority(&l->check, EV_MAXPRI); /* the clock first */
	ev_prepare_start(l->ev, &l->prepare);
	ev_check_start(l->ev, &l->check);
	ev_async_start(l->ev, &l->async);
	return l;
}

void chi_loop_run(struct ch_loop *l)
{
	here = l;
	l->now = chi_clock();
	ev_run(l->ev, 0);
	atomic_store_explicit(&l->ended, true, memory_order_release);
	chi_loop_settle(l);
	here = NULL;
}

struct stop_msg {
	struct chi_msg msg;
};

static void on_stop(struct ch_loop *l, struct chi_msg *m)
{
	free(m);
	ev_break(l->ev, EVBREAK_ALL);
}

void chi_loop_stop(struct ch_loop *l)
{
	struct stop_msg *m = malloc(sizeof *m);
	if (!m)
		abort();
	m->msg.fn = on_stop;
	if (!chi_loop_send(l, &m->msg))
		free(m);
}

void chi_loop_free(struct ch_loop *l)
{
	if (!l)
		return;
	ev_loop_destroy(l->ev);
	free(l->turn);
	free(l->scratch);
	free(l);
}
