/* SPDX-License-Identifier: MIT */
/*
 * migrate_command.c - `chimeractl migrate` and `chimeractl schema`: the verb waits on the house loop while the engine blocks a thread of
 * the pool. What that thread has to say is gathered in the job and put out on the loop, as it comes. chimera/kit/migrate.h says how it
 * is used.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chimera/inspect.h>

#include "migrate_parts.h"

enum verb { STATUS, UP, DOWN, NEW, SCHEMA_STATUS, SCHEMA_SHOW };

/*
 * Counted: the work and its result are one reference, a post that is on its way is another. The ctx is the loop's; NULL once it does not
 * listen any more.
 */
struct job {
	struct ch_self *self;
	struct ch_ctx *ctx;
	struct ch_loop *loop;
	const struct ch_migrate_adapter *adapter;
	enum verb verb;
	int to;
	unsigned flags;
	char owner[64], name[128];
	atomic_uint refs;
	atomic_bool stop;
	pthread_mutex_t lock;             /* of what follows, until `ok` */
	char *text;
	size_t n;
	bool posted, told;
	unsigned done, total;
	char what[128];
	bool ok;                          /* the result: written by the work, read when it is over */
	struct ch_migrate_status status;
	struct ch_migrate_error error;
};

static void unref(void *data)
{
	struct job *j = data;

	if (atomic_fetch_sub(&j->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&j->lock);
	free(j->text);
	free(j);
}

/* ---- from the work's thread to the loop ---- */

static void put_out(struct job *j)
{
	unsigned done, total;
	char *text, what[128];
	bool told;

	pthread_mutex_lock(&j->lock);
	text = j->text;
	told = j->told;
	done = j->done;
	total = j->total;
	memcpy(what, j->what, sizeof(what));
	j->text = NULL;
	j->n = 0;
	j->posted = j->told = false;
	pthread_mutex_unlock(&j->lock);
	if (j->ctx && text && ch_out(j->ctx, "%s", text) == CH_DONE)
		atomic_store(&j->stop, true); /* nobody reads it any more */
	if (j->ctx && told)
		ch_progress(j->ctx, done, total, what);
	free(text);
}

static void on_post(void *data)
{
	put_out(data);
	unref(data);
}

/* The job's lock is held. What cannot be posted goes with the next one, or at the end. */
static void post(struct job *j)
{
	if (j->posted)
		return;
	atomic_fetch_add(&j->refs, 1);
	j->posted = ch_post(j->loop, on_post, j);
	if (!j->posted)
		atomic_fetch_sub(&j->refs, 1);
}

static bool on_line(void *arg, const char *line)
{
	struct job *j = arg;
	size_t n = strlen(line);
	char *more;

	pthread_mutex_lock(&j->lock);
	more = realloc(j->text, j->n + n + 2);
	if (more) {
		memcpy(more + j->n, line, n);
		memcpy(more + j->n + n, "\n", 2);
		j->text = more;
		j->n += n + 1;
	}
	post(j);
	pthread_mutex_unlock(&j->lock);
	return !atomic_load(&j->stop);
}

static void on_progress(void *arg, unsigned done, unsigned total, const char *what)
{
	struct job *j = arg;

	pthread_mutex_lock(&j->lock);
	j->done = done;
	j->total = total;
	snprintf(j->what, sizeof(j->what), "%s", what);
	j->told = true;
	post(j);
	pthread_mutex_unlock(&j->lock);
}

/* ---- the work ---- */

static bool run(struct job *j, const struct ch_migrate_engine *e, const struct ch_migrate_report *report)
{
	const char *dir = j->adapter->dir(j->self), *owner = *j->owner ? j->owner : NULL;
	struct ch_migrate_error later;
	bool ok;

	switch (j->verb) {
	case UP:
		ok = ch_migrate_up(e, dir, owner, j->to, j->flags, report, &j->error);
		break;
	case DOWN:
		ok = ch_migrate_down(e, dir, owner, j->to, j->flags, report, &j->error);
		break;
	case SCHEMA_SHOW:
		return ch_migrate_show(e, report, &j->error);
	default:
		return ch_migrate_status(e, dir, report, &j->status, &j->error);
	}
	if (!(j->flags & CH_MIGRATE_DRY_RUN))
		ch_migrate_status(e, dir, NULL, &j->status, &later);
	return ok;
}

static void *work(void *data)
{
	struct job *j = data;
	const struct ch_migrate_report report = { .arg = j, .line = on_line, .progress = on_progress };
	struct ch_migrate_engine e = { 0 };

	if (j->verb == NEW) {
		e.name = j->adapter->engine;
		j->ok = ch_migrate_new(&e, j->adapter->dir(j->self), *j->owner ? j->owner : NULL, j->name, &report, &j->error);
		return j;
	}
	if (!j->adapter->open(j->self, &e, &j->error))
		return j;
	e.name = j->adapter->engine;
	j->ok = run(j, &e, &report);
	j->adapter->close(j->self, &e);
	if (j->status.known && j->adapter->changed)
		j->adapter->changed(j->self, &j->status);
	return j;
}

static int finish(struct ch_ctx *c, const struct job *j)
{
	const struct ch_migrate_status *s = &j->status;

	if (!j->ok)
		return ch_refuse(c, CH_E_CONFLICT, 0, "[%s] %s", j->self->id, j->error.text);
	if (j->verb == SCHEMA_STATUS && !ch_migrate_good(s))
		return ch_refuse(c, CH_E_CONFLICT, 0,
			"[%s] the schema is not as this version expects it: %u pending, %u unknown, %u changed, %u drifted",
			j->self->id, s->pending, s->unknown, s->changed, s->drift);
	return CH_DONE;
}

static int on_end(struct ch_ctx *c, void *data, int why, void *result)
{
	struct job *j = data;
	int rc = CH_DONE;

	(void)result;
	if (why == CH_READY) {
		put_out(j);
		rc = finish(c, j);
		j->ctx = NULL;
		unref(j);
		return rc;
	}
	/* The statement that runs cannot be called back: no further migration is begun, and the work's end drops the job. */
	atomic_store(&j->stop, true);
	j->ctx = NULL;
	if (why == CH_TIMEOUT)
		rc = ch_refuse(c, CH_E_REQUEST_TIMEOUT, 0,
			"[%s] it takes too long; it stops behind the migration that runs: see `migrate status`", j->self->id);
	return rc;
}

static int start(struct ch_self *self, struct ch_ctx *c, struct job *j)
{
	ch_ticket t;

	j->self = self;
	j->ctx = c;
	j->loop = ch_loop(c);
	atomic_init(&j->refs, 1);
	pthread_mutex_init(&j->lock, NULL);
	t = ch_suspend(c, 0, on_end, j);
	if (t && ch_offload(self, work, j, t, unref))
		return CH_AGAIN;
	ch_unsuspend(t);
	unref(j);
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "[%s] too much work waits for a thread: try it again", self->id);
}

/* ---- what is asked for ---- */

static bool number(const char *s, int *out)
{
	size_t n = strlen(s);

	if (!n || n > 4 || strspn(s, "0123456789") != n)
		return false;
	*out = atoi(s);
	return true;
}

/* NULL: *j is what argv says. Otherwise a sentence. */
static char *read_args(struct ch_ctx *c, size_t argc, const char *const *argv, struct job *j, bool *yes)
{
	const char *word = NULL;

	j->to = CH_MIGRATE_ALL;
	if (!strcmp(argv[0], "status"))
		j->verb = STATUS;
	else if (!strcmp(argv[0], "up"))
		j->verb = UP;
	else if (!strcmp(argv[0], "down"))
		j->verb = DOWN;
	else if (!strcmp(argv[0], "new"))
		j->verb = NEW;
	else
		return ch_print(c, "'%.80s' is none of status, up, down and new", argv[0]);
	for (size_t i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--dry-run") && (j->verb == UP || j->verb == DOWN)) {
			j->flags |= CH_MIGRATE_DRY_RUN;
		} else if (!strcmp(argv[i], "--yes") && j->verb == DOWN) {
			*yes = true;
		} else if (!strcmp(argv[i], "--owner") && i + 1 < argc && j->verb != STATUS) {
			i++;
			if (!migrate_is_name(argv[i], strlen(argv[i]), true) || strlen(argv[i]) >= sizeof(j->owner))
				return ch_print(c, "'%.80s' is no plugin's name", argv[i]);
			if (strcmp(argv[i], MIGRATE_OWN) != 0 || j->verb == UP)
				snprintf(j->owner, sizeof(j->owner), "%s", argv[i]);
		} else if (*argv[i] != '-' && !word && j->verb != STATUS) {
			word = argv[i];
		} else {
			return ch_print(c, "'%.80s' cannot stand behind `migrate %s`", argv[i], argv[0]);
		}
	}
	if (j->verb == NEW && (!word || strlen(word) >= sizeof(j->name)))
		return ch_print(c, "%s", "`migrate new` takes the name of what it does: up to 90 of a-z, 0-9 and _");
	if (j->verb == NEW)
		snprintf(j->name, sizeof(j->name), "%s", word);
	else if (word && !number(word, &j->to))
		return ch_print(c, "'%.80s' is no revision: a number from 0 to 9999 is allowed", word);
	return NULL;
}

static bool is_prod(void)
{
	struct ch_server s = { .size = sizeof(s) };

	ch_server(&s);
	return !s.profile || !strcmp(s.profile, "prod");
}

int ch_migrate_command(struct ch_self *self, struct ch_ctx *ctx, size_t argc, const char *const *argv, const struct ch_migrate_adapter *a)
{
	struct job *j = calloc(1, sizeof(*j));
	bool yes = false;
	char *wrong;

	if (!j)
		return ch_refuse(ctx, CH_E_OVERLOADED, 1000, "there is not enough memory");
	j->adapter = a;
	wrong = read_args(ctx, argc, argv, j, &yes);
	if (wrong) {
		free(j);
		return ch_refuse(ctx, CH_E_BAD_REQUEST, 0, "%s", wrong);
	}
	if (j->verb == DOWN && !yes && !(j->flags & CH_MIGRATE_DRY_RUN) && is_prod()) {
		free(j);
		return ch_refuse(ctx, CH_E_CONFLICT, 0,
			"[%s] `migrate down` takes tables away with all that is in them, and nothing was done yet: say --yes behind it, "
			"or --dry-run to see the statements",
			self->id);
	}
	return start(self, ctx, j);
}

int ch_schema_command(struct ch_self *self, struct ch_ctx *ctx, size_t argc, const char *const *argv, const struct ch_migrate_adapter *a)
{
	bool show = argc == 1 && !strcmp(argv[0], "show");
	struct job *j;

	if (!show && (argc != 1 || strcmp(argv[0], "status") != 0))
		return ch_refuse(ctx, CH_E_BAD_REQUEST, 0, "'%.80s' is neither status nor show", argc ? argv[0] : "");
	j = calloc(1, sizeof(*j));
	if (!j)
		return ch_refuse(ctx, CH_E_OVERLOADED, 1000, "there is not enough memory");
	j->adapter = a;
	j->verb = show ? SCHEMA_SHOW : SCHEMA_STATUS;
	return start(self, ctx, j);
}
