/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrations.c - see migrations.h. kit/migrate.h asks from a thread that may block; each of its statements is a task on the house loop,
 * which asks over http/1 as everything here does, and the thread sleeps until the task has told. ClickHouse's lock is a table, so nothing
 * depends on one connection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <chimera/kit/hash.h>

#include "migrations.h"
#include "query.h"

enum { STATEMENT_MS = 600000, RETRY_MS = 2000, RETRY_MAX_MS = 30000, LOOK_MS = 300000 };

/* One statement. Shared by the thread and the task; freed by whoever lets go of it last. */
struct job {
	struct click *k;
	pthread_mutex_t lock;
	pthread_cond_t told;
	int holders;
	bool over, ok, reads;
	char *sql;
	char *text;                       /* the answer, or why there is none */
	size_t n;
};

/* ---- one statement ---- */

static void put(struct job *j)
{
	bool last;

	pthread_mutex_lock(&j->lock);
	last = !--j->holders;
	pthread_mutex_unlock(&j->lock);
	if (!last)
		return;
	pthread_cond_destroy(&j->told);
	pthread_mutex_destroy(&j->lock);
	free(j->sql);
	free(j->text);
	free(j);
}

/* Takes the text, which is malloced. */
static void tell(struct job *j, bool ok, char *text, size_t n)
{
	pthread_mutex_lock(&j->lock);
	j->over = true;
	j->ok = ok;
	j->text = text;
	j->n = n;
	pthread_cond_signal(&j->told);
	pthread_mutex_unlock(&j->lock);
	put(j);
}

static void tell_why(struct job *j, const char *why)
{
	tell(j, false, strdup(why), strlen(why));
}

static void dropped(void *data)
{
	tell_why(data, "The server stops, or its config was replaced.");
}

/*
 * Why a statement of a migration failed: ClickHouse's own words, since they speak of the statement and of nobody's rows: what stands behind
 * "DB::Exception: " and before ", e.what()", which 18.16 adds.
 */
static void tell_failure(struct job *j, const struct click_query *q)
{
	static const char head[] = "DB::Exception: ", tail[] = ", e.what()";
	const char *p = q->error.code && q->n ? memmem(q->text, q->n, head, sizeof(head) - 1) : NULL, *end;
	char *why = NULL;

	if (p) {
		p += sizeof(head) - 1;
		end = memmem(p, (size_t)(q->text + q->n - p), tail, sizeof(tail) - 1);
		for (end = end ? end : q->text + q->n; end > p && (unsigned char)end[-1] <= ' '; end--)
			;
		if (asprintf(&why, "%.*s (code %u)", (int)(end - p), p, q->error.code) < 0)
			why = NULL;
	}
	tell_why(j, why ? why : q->detail);
	free(why);
}

static int on_answer(struct click_query *q)
{
	struct job *j = q->arg;

	if (q->error.kind) {
		tell_failure(j, q);
		click_query_free(q);
	} else {
		tell(j, true, q->text, q->n);
		q->text = NULL;
	}
	return CH_DONE;
}

static int on_task(struct ch_ctx *c, void *data)
{
	struct job *j = data;
	struct click_query *q = ch_alloc(c, sizeof(*q));
	struct click_text sql = { .c = c };

	if (!q) {
		tell_why(j, "No memory is left for a statement.");
		return CH_DONE;
	}
	q->k = j->k;
	q->c = c;
	q->done = on_answer;
	q->arg = j;
	q->due = ch_now() + STATEMENT_MS * INT64_C(1000);
	q->max = (size_t)4 << 20;
	click_text_add(&sql, j->sql, strlen(j->sql));
	if (!j->reads)
		return click_query_write(q, &sql);
	click_text_print(&sql, " FORMAT TabSeparated");
	return click_query_read(q, &sql);
}

/* Runs it; NULL: no memory. Put it when its answer has been read. */
static struct job *ask(struct click *k, const char *sql, bool reads)
{
	struct job *j = calloc(1, sizeof(*j));
	char *copy = j ? strdup(sql) : NULL;

	if (!copy) {
		free(j);
		return NULL;
	}
	*j = (struct job){ .k = k, .holders = 2, .sql = copy, .reads = reads };
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->told, NULL);
	if (!ch_task(k->self, NULL, 0, on_task, j, dropped))
		dropped(j);
	pthread_mutex_lock(&j->lock);
	while (!j->over)
		pthread_cond_wait(&j->told, &j->lock);
	pthread_mutex_unlock(&j->lock);
	return j;
}

/* ---- the engine ---- */

static bool answered(struct job *j, struct ch_migrate_error *error)
{
	if (!j)
		return ch_migrate_fail(error, "No memory is left for a statement.");
	if (j->ok)
		return true;
	ch_migrate_fail(error, "%s", j->text ? j->text : "ClickHouse did not run it.");
	put(j);
	return false;
}

static bool exec(void *arg, const char *sql, struct ch_migrate_error *error)
{
	struct job *j = ask(arg, sql, false);

	if (!answered(j, error))
		return false;
	put(j);
	return true;
}

/* A value of TabSeparated, unescaped in place and ended: the text, or NULL for null. */
static const char *unescape(char *p)
{
	char *from = p, *to = p;

	if (!strcmp(p, "\\N"))
		return NULL;
	for (; *from; from++) {
		static const char names[] = "bfnrt0", bytes[] = "\b\f\n\r\t";
		const char *name;

		if (*from != '\\' || !from[1]) {
			*to++ = *from;
			continue;
		}
		from++;
		name = strchr(names, *from);
		if (name && *from != '0')
			*to++ = bytes[name - names];
		else if (!name)
			*to++ = *from;
	}
	*to = 0;
	return p;
}

static bool rows(void *arg, const char *sql, ch_migrate_row row, void *row_arg, struct ch_migrate_error *error)
{
	struct job *j = ask(arg, sql, true);
	bool more = true;

	if (!answered(j, error))
		return false;
	for (char *line = j->text, *end = line ? line + j->n : NULL, *eol; more && line < end; line = eol + 1) {
		const char *columns[64];
		size_t n = 0;

		eol = memchr(line, '\n', (size_t)(end - line));
		if (!eol)
			break;
		*eol = 0;
		for (char *p = line, *tab = p; tab && n < 64; p = tab + 1) {
			tab = strchr(p, '\t');
			if (tab)
				*tab = 0;
			columns[n++] = unescape(p);
		}
		more = row(row_arg, n, columns);
	}
	put(j);
	return true;
}

static void sha256(const void *p, size_t n, unsigned char out[32])
{
	ch_sha256(&(struct ch_str){ p, n }, 1, out);
}

static void engine(struct click *k, struct ch_migrate_engine *e)
{
	*e = (struct ch_migrate_engine){ .name = "clickhouse", .arg = k, .exec = exec, .rows = rows, .sha256 = sha256 };
}

static const char *dir_of(struct ch_self *self)
{
	return ((const struct click_conf *)self->conf)->migrations;
}

/* ---- the thread ---- */

static void changed(struct ch_self *self, const struct ch_migrate_status *s)
{
	struct click *k = self->state;
	char text[512];

	pthread_mutex_lock(&k->lock);
	if (s->known)
		k->schema = *s;
	for (size_t i = 0; i < k->ntables; i++)
		k->tables[i].known = false;
	pthread_mutex_unlock(&k->lock);
	ch_migrate_tell(self, CH_DB_METRICS_N, s);
	ch_migrate_health(s, text, sizeof(text));
	if (s->known)
		ch_degraded(self, "schema", !ch_migrate_good(s), "%s", text);
}

static bool log_line(void *arg, const char *text)
{
	struct click *k = arg;
	bool ends;

	pthread_mutex_lock(&k->lock);
	ends = k->ends;
	pthread_mutex_unlock(&k->lock);
	ch_log(k->self, NULL, CH_INFO, "migrations: %s", text);
	return !ends;
}

/* False: the instance is retired. */
static bool wait(struct click *k, int64_t ms)
{
	struct timespec due;
	bool ends;

	clock_gettime(CLOCK_MONOTONIC, &due);
	due.tv_sec += ms / 1000;
	due.tv_nsec += ms % 1000 * 1000000;
	if (due.tv_nsec >= 1000000000) {
		due.tv_nsec -= 1000000000;
		due.tv_sec++;
	}
	pthread_mutex_lock(&k->lock);
	while (!k->ends && pthread_cond_timedwait(&k->wake, &k->lock, &due) == 0)
		;
	ends = k->ends;
	pthread_mutex_unlock(&k->lock);
	return !ends;
}

static void care(void *data)
{
	struct click *k = data;
	const struct click_conf *conf = click_conf_of(k);
	struct ch_migrate_report report = { .arg = k, .line = log_line };
	struct ch_migrate_status status;
	struct ch_migrate_error error;
	struct ch_migrate_engine e;
	int64_t pause = 0;
	bool told = false;

	engine(k, &e);
	do {
		bool ok = ch_migrate_ensure(&e, conf->migrations, conf->migrate, told ? NULL : &report, &status, &error);

		if (!ok)
			ch_degraded(k->self, "schema", true, "%s", error.text);
		changed(k->self, &status);
		told |= ok;
		if (ok && ch_migrate_good(&status))
			pause = LOOK_MS;
		else
			pause = pause && pause < RETRY_MAX_MS ? pause * 2 : RETRY_MS;
	} while (wait(k, pause));
}

void click_migrations_begin(struct click *k)
{
	if (k->starter || click_conf_of(k)->migrate == CH_MIGRATE_OFF)
		return;
	k->starter = ch_thread(k->self, "ch-schema", care, k);
}

void click_migrations_end(struct click *k)
{
	pthread_mutex_lock(&k->lock);
	k->ends = true;
	pthread_cond_broadcast(&k->wake);
	pthread_mutex_unlock(&k->lock);
}

void click_migrations_join(struct click *k)
{
	if (k->starter)
		ch_thread_join(k->starter);
	k->starter = NULL;
}

/* ---- chimeractl ---- */

static bool open_engine(struct ch_self *self, struct ch_migrate_engine *out, struct ch_migrate_error *error)
{
	(void)error;
	engine(self->state, out);
	return true;
}

static void close_engine(struct ch_self *self, struct ch_migrate_engine *e)
{
	(void)self;
	(void)e;
}

static const struct ch_migrate_adapter adapter = { .engine = "clickhouse", .open = open_engine, .close = close_engine, .dir = dir_of,
	.changed = changed };

int click_on_migrate(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	return ch_migrate_command(self, c, argc, argv, &adapter);
}

int click_on_schema(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	return ch_schema_command(self, c, argc, argv, &adapter);
}
