/* SPDX-License-Identifier: Apache-2.0 */
/* journal.c - opening, closing and appending (see journal.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "journal_parts.h"

#define MIB ((int64_t)1 << 20)
#define WINDOW_MAX ((size_t)1 << 20) /* a tenth of a second at 30,000 rows a second; what is faulted in is memory that counts as ours */

void journal_say(struct journal *j, int level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (j->conf.log)
		j->conf.log(j->conf.arg, level, line);
}

void journal_note(struct journal *j, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(j->status.error, sizeof(j->status.error), fmt, ap);
	va_end(ap);
}

int64_t journal_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void journal_wait(struct journal *j, pthread_cond_t *c, int64_t us)
{
	struct timespec t;

	if (us < 0) {
		pthread_cond_wait(c, &j->lock);
		return;
	}
	us += journal_now();
	t = (struct timespec){ us / 1000000, us % 1000000 * 1000 };
	pthread_cond_timedwait(c, &j->lock, &t);
}

const char *journal_rc_name(int rc)
{
	static const char *const names[] = { "ok", "full", "failed", "too_large", "bad_table", "bad_row" };

	return rc >= 0 && rc <= JOURNAL_BAD_ROW ? names[rc] : "unknown";
}

/* ---- tables ---- */

struct table *journal_table_of(struct journal *j, uint32_t id)
{
	struct table *t = j->tables;

	while (t && t->id != id)
		t = t->next;
	return t;
}

struct table *journal_learn(struct journal *j, const unsigned char *description, size_t n)
{
	uint32_t id = segment_table_id(description, n);
	struct table *t = journal_table_of(j, id);

	if (t) /* another one under the same hash is refused */
		return t->n == n && !memcmp(t->description, description, n) ? t : NULL;
	t = calloc(1, sizeof(*t) + n);
	if (!t || !(t->relation = segment_get_table(description, n))) {
		free(t);
		return NULL;
	}
	t->id = id;
	t->n = n;
	memcpy(t->description, description, n);
	t->next = j->tables;
	j->tables = t;
	return t;
}

/* A caller's table that was not met before. */
static struct table *new_key(struct journal *j, const struct ch_relation *key)
{
	unsigned char description[SEGMENT_TABLE_MAX];
	const char *why = segment_table_error(key);
	struct table *t = NULL;

	if (!why && j->nkeys < JOURNAL_TABLES_MAX)
		t = journal_learn(j, description, segment_put_table(description, key));
	if (t)
		j->keys[j->nkeys++] = (struct table_key){ key, t };
	return t;
}

static struct table *known(struct journal *j, const struct ch_relation *key)
{
	for (unsigned i = 0; i < j->nkeys; i++)
		if (j->keys[i].key == key)
			return j->keys[i].table;
	return new_key(j, key);
}

/* ---- appending ---- */

void journal_ask_ahead(struct journal *j)
{
	if (!j->ahead_asked) {
		j->ahead_asked = true;
		pthread_cond_signal(&j->ahead);
	}
}

bool journal_roll(struct journal *j)
{
	struct segment *old = j->current;

	if (!j->spare)
		return false;
	j->current = j->spare;
	j->spare = NULL;
	if (old) {
		old->next = j->current;
		old->row_end = j->next_row;
		atomic_store_explicit(&old->rolled, true, memory_order_release);
	} else {
		/* There was none: behind those that were read at open. */
		struct segment **last = &j->oldest;

		while (*last)
			last = &(*last)->next;
		*last = j->current;
	}
	journal_ask_ahead(j);
	return true;
}

void journal_put(struct journal *j, int kind, uint32_t table, const void *payload, size_t length)
{
	struct segment *s = j->current;
	size_t at = atomic_load_explicit(&s->end, memory_order_relaxed);
	struct segment_record r = { .kind = kind, .table = table, .row = j->next_row, .length = length };

	if (payload)
		memcpy(s->map + at + SEGMENT_RECORD, payload, length);
	segment_put(s->map, s->number, at, &r);
	if (kind == SEGMENT_ROW)
		j->next_row++;
	at += segment_room(length);
	atomic_store_explicit(&s->end, at, memory_order_release);
	if (at > s->touched) {
		j->status.page_waits++;
		s->touched = (at + j->page - 1) & ~(j->page - 1);
	}
	if (s->touched - at < j->window / 2 && s->touched < s->size)
		journal_ask_ahead(j);
	if (j->sync_idle) {
		j->sync_idle = false;
		pthread_cond_signal(&j->sync);
	}
}

int journal_room(struct journal *j, struct table *t, size_t length)
{
	size_t need = segment_room(length), described = t ? segment_room(t->n) : 0;

	for (;;) {
		struct segment *s = j->current;
		size_t more = s && t && t->in_segment != s->number ? described : 0;

		if (s && more + need <= s->size - atomic_load_explicit(&s->end, memory_order_relaxed)) {
			if (more) {
				journal_put(j, SEGMENT_TABLE, t->id, t->description, t->n);
				t->in_segment = s->number;
			}
			return JOURNAL_OK;
		}
		if (!journal_roll(j))
			return j->make_broken ? JOURNAL_FAILED : JOURNAL_FULL;
	}
}

static int append(struct journal *j, const struct ch_relation *table, const struct ch_value *row, size_t n, struct journal_pos *end)
{
	struct table *t = known(j, table);
	struct segment *s;
	size_t at;
	int rc;

	if (!t)
		return JOURNAL_BAD_TABLE;
	/* With what it may need when it has to be repeated. */
	if (SEGMENT_PAGE + segment_room(t->n) + segment_room(n) + 2 * segment_room(SEGMENT_REPEATED_BYTES) > j->segment_bytes)
		return JOURNAL_TOO_LARGE;
	rc = journal_room(j, t, n);
	if (rc)
		return rc;
	s = j->current;
	at = atomic_load_explicit(&s->end, memory_order_relaxed);
	segment_put_row(s->map + at + SEGMENT_RECORD, table, row);
	journal_put(j, SEGMENT_ROW, t->id, NULL, n);
	if (end)
		*end = (struct journal_pos){ s->number, at + segment_room(n), j->next_row };
	return JOURNAL_OK;
}

int journal_append(struct journal *j, const struct ch_relation *table, const struct ch_value *row, struct journal_pos *end)
{
	size_t n = table->columns.n <= JOURNAL_COLUMNS_MAX ? segment_row_size(table, row) : 1;
	int rc;

	if (!n)
		return JOURNAL_BAD_ROW;
	if (n > JOURNAL_ROW_MAX)
		return JOURNAL_TOO_LARGE;
	pthread_mutex_lock(&j->lock);
	rc = append(j, table, row, n, end);
	pthread_mutex_unlock(&j->lock);
	return rc;
}

/* ---- how it is ---- */

/* Bytes that are in use: what is still free in the current segment and the spare is not. */
static uint64_t used(const struct journal *j)
{
	uint64_t n = j->file_bytes - (j->spare ? j->spare->size : 0);

	return j->current ? n - (j->current->size - atomic_load_explicit(&j->current->end, memory_order_relaxed)) : n;
}

/* Bytes that can still be appended: what is left of the files that are there, and whole segments below max_bytes. Locked. */
static uint64_t room_left(const struct journal *j)
{
	uint64_t room = j->file_bytes - used(j), max = (uint64_t)j->conf.max_bytes;

	if (j->no_room || j->make_broken || max <= j->file_bytes)
		return room;
	return room + (max - j->file_bytes) / j->segment_bytes * j->segment_bytes;
}

/* Is there room for a row of JOURNAL_TAKEN_MAX bytes now? While the spare is late the current segment must have it. Locked. */
static bool is_ready(const struct journal *j)
{
	size_t row = j->segment_bytes / 4 < JOURNAL_TAKEN_MAX ? j->segment_bytes / 4 : JOURNAL_TAKEN_MAX;

	if (!j->current || j->spare)
		return j->current != NULL;
	/* Its table's description may stand in front of it, and a sync may close the page before. */
	return j->current->size - atomic_load_explicit(&j->current->end, memory_order_relaxed) >=
		segment_room(row) + segment_room(SEGMENT_TABLE_MAX) + j->page + SEGMENT_RECORD;
}

bool journal_takes(struct journal *j)
{
	bool takes;

	if (j->conf.on_full != JOURNAL_REFUSE)
		return true;
	pthread_mutex_lock(&j->lock);
	takes = !j->sync_broken && is_ready(j) && room_left(j) >= (uint64_t)j->conf.reserve_bytes;
	pthread_mutex_unlock(&j->lock);
	return takes;
}

struct journal_pos journal_end_of(struct journal *j)
{
	if (!j->current)
		return (struct journal_pos){ j->next_number - 1, SEGMENT_PAGE, j->next_row };
	return (struct journal_pos){ j->current->number, atomic_load_explicit(&j->current->end, memory_order_relaxed), j->next_row };
}

void journal_end(struct journal *j, struct journal_pos *end)
{
	pthread_mutex_lock(&j->lock);
	*end = journal_end_of(j);
	pthread_mutex_unlock(&j->lock);
}

bool journal_is_synced(struct journal *j, const struct journal_pos *pos)
{
	bool yes;

	pthread_mutex_lock(&j->lock);
	yes = journal_pos_cmp(pos, &j->status.synced) <= 0;
	pthread_mutex_unlock(&j->lock);
	return yes;
}

void journal_status(struct journal *j, struct journal_status *out)
{
	pthread_mutex_lock(&j->lock);
	*out = j->status;
	out->used_bytes = used(j);
	out->max_bytes = (uint64_t)j->conf.max_bytes;
	for (struct segment *s = j->oldest; s; s = s->next)
		out->segments++;
	out->no_room = j->no_room;
	out->failed = j->sync_broken || j->make_broken;
	out->end = journal_end_of(j);
	pthread_mutex_unlock(&j->lock);
}

/* ---- opening and closing ---- */

static bool open_folder(struct journal *j, char *err, size_t err_size)
{
	if (mkdir(j->conf.dir, 0700) && errno != EEXIST) {
		snprintf(err, err_size, "the folder %s of the journal cannot be made: %s", j->conf.dir, strerror(errno));
		return false;
	}
	j->dir = open(j->conf.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dir >= 0)
		j->lock_file = openat(j->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (j->dir < 0 || j->lock_file < 0) {
		snprintf(err, err_size, "the folder %s of the journal cannot be used: %s", j->conf.dir, strerror(errno));
		return false;
	}
	if (flock(j->lock_file, LOCK_EX | LOCK_NB)) {
		snprintf(err, err_size, errno == EWOULDBLOCK ?
			 "another process uses the journal in %s: stop it, or give each server a folder of its own" :
			 "the journal in %s cannot be locked", j->conf.dir);
		return false;
	}
	return true;
}

/* Bounds, and what 0 stands for. */
static void settle_conf(struct journal *j)
{
	struct journal_conf *c = &j->conf;
	int64_t page = sysconf(_SC_PAGESIZE) > (long)SEGMENT_PAGE ? sysconf(_SC_PAGESIZE) : (long)SEGMENT_PAGE;

	if (!c->segment_bytes)
		c->segment_bytes = c->max_bytes / 16 < 2 * MIB ? 2 * MIB : c->max_bytes / 16 > 16 * MIB ? 16 * MIB : c->max_bytes / 16;
	c->segment_bytes = (c->segment_bytes + page - 1) / page * page;
	if (c->max_bytes < 4 * c->segment_bytes)
		c->max_bytes = 4 * c->segment_bytes;
	if (!c->reserve_bytes)
		c->reserve_bytes = c->max_bytes / 16;
	j->page = (size_t)page;
	j->segment_bytes = (size_t)c->segment_bytes;
	j->window = (j->segment_bytes / 4 < WINDOW_MAX ? j->segment_bytes / 4 : WINDOW_MAX) & ~(j->page - 1);
}

struct journal *journal_open(const struct journal_conf *conf, char *err, size_t err_size)
{
	struct journal *j = calloc(1, sizeof(*j));
	pthread_condattr_t monotonic;
	struct timespec now;

	if (!j) {
		snprintf(err, err_size, "there is no memory for the journal");
		return NULL;
	}
	j->conf = *conf;
	j->dir = j->lock_file = -1;
	j->sync_idle = true;
	settle_conf(j);
	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&j->ahead, &monotonic);
	pthread_cond_init(&j->sync, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (!open_folder(j, err, err_size) || !journal_recover(j, err, err_size)) {
		journal_close(j);
		return NULL;
	}
	/*
	 * The numbers begin with the time in seconds at which the journal was begun: one that was removed and begun anew is ahead of what
	 * checkpoints say about the old one, so that none of its rows is taken for known.
	 */
	if (!j->next_number) {
		clock_gettime(CLOCK_REALTIME, &now);
		j->next_number = now.tv_sec > 0 ? (uint64_t)now.tv_sec : 1;
	}
	journal_step_ahead(j);
	if (!j->current && j->make_broken) {
		snprintf(err, err_size, "%s", j->status.error);
		journal_close(j);
		return NULL;
	}
	/* What was found is as durable as it will ever be. */
	j->status.synced = (struct journal_pos){ j->next_number - 1, SEGMENT_PAGE, j->next_row };
	return j;
}

static void unmap_all(struct segment *s)
{
	while (s) {
		struct segment *next = s->next;

		journal_unmap(s);
		s = next;
	}
}

void journal_close(struct journal *j)
{
	while (j->tables) {
		struct table *next = j->tables->next;

		free(j->tables->relation);
		free(j->tables);
		j->tables = next;
	}
	unmap_all(j->oldest);
	unmap_all(j->ghosts);
	unmap_all(j->spare);
	if (j->lock_file >= 0)
		close(j->lock_file);
	if (j->dir >= 0)
		close(j->dir);
	pthread_cond_destroy(&j->ahead);
	pthread_cond_destroy(&j->sync);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

void journal_stop(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	j->stop = true;
	pthread_cond_signal(&j->ahead);
	pthread_cond_signal(&j->sync);
	pthread_mutex_unlock(&j->lock);
}
