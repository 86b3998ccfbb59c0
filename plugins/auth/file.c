/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - a thread that looks every LOOK_MS, and a table each time that the file is another one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth.h"
#include "file.h"

#define LOOK_MS 200 /* a change counts when two looks have seen the same: well within a second */

/* By what a file is told from another one, or from itself before a change. */
struct seen { dev_t dev; ino_t ino; off_t size; struct timespec modified, changed; int error; };

struct auth_file {
	struct ch_self *self;
	const char *path;
	struct ch_thread *thread;
	pthread_mutex_t lock;             /* of what the thread and who ends it share */
	pthread_cond_t wake;
	bool over;
	pthread_mutex_t looking;          /* of what a look has: */
	struct seen taken, last;          /* the file as it was read; as the last look saw it */
};

/* ---- a table ---- */

/* Says what is wrong with a file: in check by ch_config_error, else in the log. */
struct teller {
	struct ch_self *self;
	const char *path;
	bool checks;
	unsigned n;
};

#define TOLD_MOST 20 /* of one file */

static void tell(void *arg, unsigned line, const char *why)
{
	struct teller *t = arg;
	char where[16] = "";

	if (line)
		snprintf(where, sizeof(where), ":%u", line);
	if (t->n++ >= TOLD_MOST)
		return;
	if (t->checks)
		ch_config_error(t->self, NULL, "keys_file", "%s%s: %s", t->path, where, why);
	else
		ch_log(t->self, NULL, CH_ERR, "%s%s: %s", t->path, where, why);
}

static struct auth_entry config_key(const struct auth_conf *conf)
{
	struct auth_entry e = { .key = { .size = sizeof(e.key), .id = AUTH_CONFIG_KEY, .role = CH_ROLE_USER, .owner = "", .tier = "", .models = "",
		.routes = "", .backends = "", .networks = "", .limits = "" } };
	struct ch_str s = { conf->api_key, strlen(conf->api_key) };

	ch_sha256(&s, 1, e.sha256);
	return e;
}

/* The config's key, and those rows, whose texts the table has from now on. NULL: no memory; then the rows are gone, too. */
static struct auth_table *table_of(const struct auth_conf *conf, struct auth_rows *rows)
{
	struct auth_entry *v = calloc(rows->n + 1, sizeof(*v));
	struct auth_table *t = NULL;
	size_t n = 0;

	if (v && *conf->api_key)
		v[n++] = config_key(conf);
	for (size_t i = 0; v && i < rows->n; i++)
		v[n++] = rows->v[i].entry;
	if (v)
		t = auth_table_new(v, n, rows->texts);
	if (t)
		rows->texts = NULL;
	free(v);
	auth_rows_free(rows);
	return t;
}

/* ---- reading ---- */

#define FILE_MOST (64 << 20)

char *auth_file_text(const char *path, size_t *n, bool *there, char why[512])
{
	FILE *f = fopen(path, "re");
	struct stat st;
	char *text;

	*n = 0;
	*there = f;
	if (!f && errno == ENOENT)
		return strdup("");
	if (!f || fstat(fileno(f), &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_MOST) {
		snprintf(why, 512, "it cannot be read: %s", !f ? strerror(errno) : S_ISREG(st.st_mode) ? "it has more than 64 MiB" : "it is no file");
		if (f)
			fclose(f);
		return NULL;
	}
	text = malloc((size_t)st.st_size + 1);
	if (text)
		*n = fread(text, 1, (size_t)st.st_size, f);
	if (!text || ferror(f)) {
		snprintf(why, 512, "it cannot be read: %s", text ? strerror(errno) : "there is no memory");
		free(text);
		text = NULL;
	}
	if (text)
		text[*n] = 0;
	fclose(f);
	return text;
}

/* False: told. */
static bool read_rows(const char *path, const struct ch_list *tiers, struct teller *t, struct auth_rows *out, bool *there)
{
	char why[512], *text;
	size_t n;
	bool ok;

	text = auth_file_text(path, &n, there, why);
	if (!text)
		tell(t, 0, why);
	ok = text && auth_rows_read(text, n, tiers, tell, t, out);
	free(text);
	return ok;
}

bool auth_file_check(struct ch_self *self)
{
	const struct auth_conf *conf = self->conf;
	struct teller t = { .self = self, .path = conf->keys_file, .checks = true };
	struct auth_rows rows = { 0 };
	bool there, ok = !*conf->keys_file || read_rows(conf->keys_file, &conf->tiers, &t, &rows, &there);

	auth_rows_free(&rows);
	return ok;
}

/* ---- watching ---- */

static struct seen look_at(const char *path)
{
	struct seen s;
	struct stat st;

	memset(&s, 0, sizeof(s)); /* compared as bytes */
	if (stat(path, &st)) {
		s.error = errno;
		return s;
	}
	s.dev = st.st_dev;
	s.ino = st.st_ino;
	s.size = st.st_size;
	s.modified = st.st_mtim;
	s.changed = st.st_ctim;
	return s;
}

static bool same(const struct seen *a, const struct seen *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* Everything is as it was before this file came: degraded until it is mended. */
static void keep_old(struct auth_file *f)
{
	struct auth *a = f->self->state;

	ch_add(a->file_errors, 1);
	ch_degraded(f->self, "keys_file", true, "%s is not as it should be: the keys of before stay in force", f->path);
}

static void take(struct auth_file *f)
{
	struct auth *a = f->self->state;
	struct teller t = { .self = f->self, .path = f->path };
	struct auth_rows rows = { 0 };
	struct auth_table *table;
	bool there = false, read = read_rows(f->path, &a->conf->tiers, &t, &rows, &there);

	if (read && !there)
		tell(&t, 0, "it is not there any more");
	if (!read || !there) {
		auth_rows_free(&rows);
		keep_old(f);
		return;
	}
	table = table_of(a->conf, &rows);
	if (!table) {
		tell(&t, 0, "there is no memory to read it");
		keep_old(f);
		return;
	}
	ch_log(f->self, NULL, CH_INFO, "%s was read again: %zu keys", f->path, auth_table_count(table) - (*a->conf->api_key != 0));
	auth_publish(f->self, table);
	ch_degraded(f->self, "keys_file", false, "%s is read", f->path);
}

void auth_file_look(struct auth_file *f)
{
	struct seen now;
	bool settled;

	pthread_mutex_lock(&f->looking);
	now = look_at(f->path);
	settled = same(&now, &f->last);
	f->last = now;
	if (settled && !same(&now, &f->taken)) {
		f->taken = now; /* also if it is wrong: it is told once */
		take(f);
	}
	pthread_mutex_unlock(&f->looking);
}

void auth_file_load(struct auth_file *f)
{
	struct seen now;

	if (!f)
		return;
	pthread_mutex_lock(&f->looking);
	now = look_at(f->path);
	if (!same(&now, &f->taken)) {
		f->taken = f->last = now;
		take(f);
	}
	pthread_mutex_unlock(&f->looking);
}

static void wait_a_while(struct auth_file *f)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOOK_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	while (!f->over && pthread_cond_timedwait(&f->wake, &f->lock, &until) != ETIMEDOUT)
		;
}

static void watch(void *data)
{
	struct auth_file *f = data;

	pthread_mutex_lock(&f->lock);
	while (!f->over) {
		wait_a_while(f);
		if (f->over)
			break;
		pthread_mutex_unlock(&f->lock);
		auth_file_look(f);
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
}

/* ---- life ---- */

static struct auth_file *new_file(struct ch_self *self, const char *path)
{
	struct auth_file *f = calloc(1, sizeof(*f));
	pthread_condattr_t attr;

	if (!f)
		return NULL;
	f->self = self;
	f->path = path;
	pthread_mutex_init(&f->lock, NULL);
	pthread_mutex_init(&f->looking, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wake, &attr);
	pthread_condattr_destroy(&attr);
	return f;
}

/* Who may write to it makes keys, an admin's too. */
static void warn(struct ch_self *self, const char *path)
{
	struct stat st;

	if (!stat(path, &st) && st.st_mode & S_IWOTH)
		ch_log(self, NULL, CH_WARN, "%s can be changed by every user of this machine: take the right away (chmod o-w)", path);
}

bool auth_file_start(struct ch_self *self)
{
	struct auth *a = self->state;
	const char *path = a->conf->keys_file;
	struct teller t = { .self = self, .path = path };
	struct auth_rows rows = { 0 };
	struct auth_table *table;
	bool there = true;

	if (*path && !(a->file = new_file(self, path))) {
		ch_log(self, NULL, CH_ERR, "there is no memory for its state");
		return false;
	}
	if (a->file)
		a->file->taken = a->file->last = look_at(path); /* before it is read: a change meanwhile is one that is seen */
	if (a->file && !read_rows(path, &a->conf->tiers, &t, &rows, &there))
		return false;
	if (!there)
		ch_log(self, NULL, CH_WARN, "%s is not there yet, so it has no keys: `chimeractl keys create` makes it", path);
	if (a->file)
		warn(self, path);
	table = table_of(a->conf, &rows);
	if (!table) {
		ch_log(self, NULL, CH_ERR, "there is no memory for its keys");
		return false;
	}
	auth_publish(self, table);
	if (a->file && !(a->file->thread = ch_thread(self, "auth-keys", watch, a->file))) {
		ch_log(self, NULL, CH_ERR, "no thread can be had that watches %s", path);
		return false;
	}
	return true;
}

void auth_file_end(struct auth_file *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->over = true;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
}

void auth_file_free(struct auth_file *f)
{
	if (!f)
		return;
	auth_file_end(f);
	if (f->thread)
		ch_thread_join(f->thread);
	pthread_cond_destroy(&f->wake);
	pthread_mutex_destroy(&f->looking);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
