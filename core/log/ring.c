/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.c - the ring between callers and target, and the writer's thread.
 *
 * Callers hold the mutex for one memcpy and never wait for the writer. The writer copies what there is into a buffer of its own and writes
 * that in one go. After a batch it naps for 2 ms instead of asking to be woken, so that a stream of lines costs its callers no system call.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/log/ring.h"
#include "core/log/target.h"
#include "core/metrics/metrics.h"

#define OUT_SIZE (64 * 1024) /* at least two records */
#define NAP_MS 2
#define RETRY_MS 1000        /* how soon a failing target is tried again with the line about dropped lines */
#define HEADER sizeof(uint64_t)
#define SKIP UINT64_MAX      /* in a header: the rest of the ring's memory is unused, go on at its start */

enum writer { ENDED = 0, AWAKE, NAPPING, IDLE };

/* Under `lock` unless noted. head and tail only grow; a record is its length and its bytes, rounded up to 8. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress; /* finished, or the writer, went on */
static char *ring;
static size_t size;
static uint64_t head, tail;
static uint64_t pushed, finished; /* records */
static uint64_t dropped;          /* records that no line has told of yet */
static enum writer writer;
static bool reopen, quit;
static int bell = -1;             /* an eventfd */
static int style;                 /* enum chi_style, atomic */
static unsigned dropped_series;

/* The writer's own. */
static struct chi_target target;
static char out[OUT_SIZE];
static size_t out_n, out_at;
static uint64_t out_records; /* of callers, in `out` */
static uint64_t told;        /* the number in the line about dropped ones in `out`; 0: there is none */
static bool lead;            /* `out` begins with a newline that ends a torn line */
static bool torn;            /* the target's last line has no end */

int chi_log_style(void)
{
	return __atomic_load_n(&style, __ATOMIC_RELAXED);
}

/* ---- callers ---- */

static void ring_bell(void)
{
	uint64_t one = 1;
	ssize_t done = write(bell, &one, sizeof(one)); /* full: it rings already */

	(void)done;
}

static void write_stderr(const char *p, size_t n)
{
	ssize_t done;

	while (n) {
		done = write(STDERR_FILENO, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		p += done;
		n -= (size_t)done;
	}
}

/* Room for a record of n bytes in one piece, its header written; NULL: full. */
static char *reserve(size_t n)
{
	size_t need = HEADER + ((n + 7) & ~(size_t)7), at = head & (size - 1), rest = size - at;
	uint64_t header = SKIP;

	if (size - (head - tail) < need + (rest < need ? rest : 0))
		return NULL;
	if (rest < need) {
		memcpy(ring + at, &header, HEADER);
		head += rest;
		at = 0;
	}
	header = n;
	memcpy(ring + at, &header, HEADER);
	head += need;
	return ring + at + HEADER;
}

void chi_log_push(const char *p, size_t n)
{
	bool wake = false, lost = false;
	char *to;

	pthread_mutex_lock(&lock);
	if (writer == ENDED) {
		pthread_mutex_unlock(&lock);
		write_stderr(p, n);
		return;
	}
	to = reserve(n);
	if (to) {
		memcpy(to, p, n);
		pushed++;
		wake = writer == IDLE || (writer == NAPPING && head - tail > size / 2);
		if (wake)
			writer = AWAKE;
	} else {
		dropped++;
		lost = true;
	}
	pthread_mutex_unlock(&lock);
	if (wake)
		ring_bell();
	if (lost)
		chi_metrics_add(dropped_series, 1);
}

/* ---- the writer ---- */

/* Appends the line about dropped ones to `out`. It goes past the ring, which may be full. */
static void tell_dropped(uint64_t n)
{
	struct chi_line l;
	char msg[160];

	snprintf(msg, sizeof(msg), "%llu log lines were dropped: the log's target did not take them; see chimera_log_dropped_total",
		(unsigned long long)n);
	chi_line_begin(&l, CH_WARN, NULL, msg, strlen(msg));
	chi_line_int(&l, "dropped", (int64_t)n);
	chi_line_finish(&l);
	memcpy(out + out_n, l.buf, l.n);
	out_n += l.n;
	told = n;
}

/* Fills `out` from the ring. Under `lock`. */
static void take(bool retry)
{
	uint64_t n;
	size_t at;

	out_n = out_at = 0;
	out_records = told = 0;
	lead = torn;
	if (lead)
		out[out_n++] = '\n';
	/* A datagram is a buffer of its own. */
	while (tail != head && OUT_SIZE - out_n > 2 * CHI_LINE_MAX && !(target.journal && out_records)) {
		at = tail & (size - 1);
		memcpy(&n, ring + at, HEADER);
		if (n == SKIP) {
			tail += size - at;
			continue;
		}
		memcpy(out + out_n, ring + at + HEADER, n);
		out_n += n;
		out_records++;
		tail += HEADER + ((n + 7) & ~(uint64_t)7);
	}
	if (dropped && (target.journal ? !out_records : out_records || retry))
		tell_dropped(dropped);
	else if (!out_records)
		out_n = 0;
}

/* Waits for the bell, or for the target's readiness, or for the time to pass (-1: for ever). */
static void rest(int ms, bool for_target)
{
	struct pollfd fds[2] = { { .fd = bell, .events = POLLIN }, { .fd = target.fd, .events = POLLOUT } };
	uint64_t rung;
	ssize_t done;

	if (for_target && target.journal) { /* a datagram socket is always ready; the journal's queue is what is full */
		for_target = false;
		ms = 10;
	}
	poll(fds, for_target ? 2 : 1, ms);
	if (fds[0].revents) {
		done = read(bell, &rung, sizeof(rung));
		(void)done;
	}
}

/* What is left of `out` will not be written: counts its records. */
static void give_up(void)
{
	uint64_t whole = 0;
	size_t i;

	for (i = lead; !target.journal && i < out_at; i++)
		whole += out[i] == '\n';
	if (out_at > lead)
		torn = out[out_at - 1] != '\n';
	pthread_mutex_lock(&lock);
	dropped += out_records - whole;
	pthread_mutex_unlock(&lock);
	chi_metrics_add(dropped_series, (double)(out_records - whole));
	told = 0;
}

/* Writes `out`. False: the target failed and lines were lost. */
static bool drain(void)
{
	bool leave;
	ssize_t n;

	while (out_at < out_n) {
		n = chi_target_write(&target, out + out_at, out_n - out_at);
		if (n > 0) {
			out_at += (size_t)n;
			torn = false;
			continue;
		}
		pthread_mutex_lock(&lock);
		leave = quit;
		pthread_mutex_unlock(&lock);
		if (n < 0 && errno == EAGAIN && !leave) {
			rest(-1, true);
			continue;
		}
		give_up();
		return false;
	}
	pthread_mutex_lock(&lock);
	dropped -= told;
	pthread_mutex_unlock(&lock);
	return true;
}

static void reopen_target(void)
{
	struct chi_log_kv path = { "path", CHI_LOG_STR, { .s = { target.path, target.path ? strlen(target.path) : 0 } } };
	struct chi_log_fields fields = { .kv = &path, .nkv = 1 };

	if (!target.path)
		return;
	if (chi_target_reopen(&target))
		torn = false;
	else
		chi_log(CH_ERR, &fields, "the log file could not be opened again and the old one is used on: %m");
}

/*
 * `waited` is the last pause: none after a batch, then a nap, then until the bell rings. After a failure the line about dropped ones goes
 * with the next lines, or alone after RETRY_MS.
 */
static void *write_lines(void *arg)
{
	int waited = 0;
	bool good = true, again;

	pthread_mutex_lock(&lock);
	for (;;) {
		again = reopen;
		reopen = false;
		if (again) {
			pthread_mutex_unlock(&lock);
			reopen_target();
			pthread_mutex_lock(&lock);
		}
		take(good || waited == RETRY_MS);
		if (out_n) {
			pthread_mutex_unlock(&lock);
			good = drain();
			pthread_mutex_lock(&lock);
			waited = 0;
			finished += out_records;
			pthread_cond_broadcast(&progress);
			continue;
		}
		if (quit)
			break;
		writer = waited ? IDLE : NAPPING;
		waited = !waited ? NAP_MS : good ? -1 : RETRY_MS;
		pthread_mutex_unlock(&lock);
		rest(waited, false);
		pthread_mutex_lock(&lock);
		writer = AWAKE;
	}
	writer = ENDED;
	pthread_cond_broadcast(&progress);
	pthread_mutex_unlock(&lock);
	return arg;
}

/* ---- start, stop ---- */

static void make_progress(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&progress, &attr);
	pthread_condattr_destroy(&attr);
}

static bool start_writer(void)
{
	pthread_t thread;
	sigset_t all, before;
	bool good;

	sigfillset(&all); /* SIGPIPE of a target that is gone, too */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	good = !pthread_create(&thread, NULL, write_lines, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (good)
		pthread_detach(thread);
	return good;
}

static void release(void)
{
	chi_target_close(&target);
	free(ring);
	ring = NULL;
	if (bell >= 0)
		close(bell);
	bell = -1;
}

bool chi_log_start(const struct chi_log_setup *conf, char *err, size_t nerr)
{
	static const struct ch_metric metric = { .name = "chimera_log_dropped_total", .kind = CH_COUNTER,
		.help = "Log lines that were dropped because the log's target did not take them" };
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	bool good;

	pthread_once(&once, make_progress);
	if (ring) {
		snprintf(err, nerr, "the log was started before and not stopped since");
		return false;
	}
	if (!chi_target_open(&target, conf, err, nerr))
		return false;
	dropped_series = chi_metrics_series(chi_metrics_family(&metric, err, nerr), NULL);
	for (size = 64 * 1024; size < (conf->ring ? conf->ring : 1024 * 1024) && size < (size_t)1 << 30; size *= 2)
		;
	ring = malloc(size);
	bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	head = tail = pushed = finished = dropped = 0;
	out_n = out_at = 0;
	torn = reopen = quit = false;
	good = ring && bell >= 0;
	if (good) {
		pthread_mutex_lock(&lock);
		writer = AWAKE;
		pthread_mutex_unlock(&lock);
		good = start_writer();
	}
	if (!good) {
		snprintf(err, nerr, "the log cannot start: no memory, no descriptor or no thread is to be had; raise the limits of the "
			"service");
		writer = ENDED;
		release();
		return false;
	}
	chi_log_level_set(conf->level);
	__atomic_store_n(&style, target.journal ? CHI_STYLE_JOURNAL : conf->format == CHI_LOG_JSON ? CHI_STYLE_JSON : CHI_STYLE_TEXT,
		__ATOMIC_RELAXED);
	return true;
}

void chi_log_reopen(void)
{
	pthread_mutex_lock(&lock);
	if (writer != ENDED) {
		reopen = true;
		ring_bell();
	}
	pthread_mutex_unlock(&lock);
}

static struct timespec in_ms(int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

bool chi_log_flush(int timeout_ms)
{
	struct timespec end = in_ms(timeout_ms);
	uint64_t upto;
	bool good;

	pthread_mutex_lock(&lock);
	upto = pushed;
	while (writer != ENDED && finished < upto && !pthread_cond_timedwait(&progress, &lock, &end))
		;
	good = finished >= upto;
	pthread_mutex_unlock(&lock);
	return good;
}

void chi_log_stop(int timeout_ms)
{
	struct timespec end;
	bool ended;

	chi_log_flush(timeout_ms);
	end = in_ms(1000); /* the writer waits for nothing any more; a write that blocks all the same is left alone */
	pthread_mutex_lock(&lock);
	quit = true;
	if (writer != ENDED)
		ring_bell();
	while (writer != ENDED && !pthread_cond_timedwait(&progress, &lock, &end))
		;
	ended = writer == ENDED;
	pthread_mutex_unlock(&lock);
	__atomic_store_n(&style, CHI_STYLE_TEXT, __ATOMIC_RELAXED);
	if (ended)
		release();
}
