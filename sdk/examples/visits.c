/* SPDX-License-Identifier: MIT */
/*
 * visits.c - what this one teaches: state that outlives reloads and restarts, work in the background, work that blocks, a full disk.
 *
 * Counts visits of the pages that the configuration names, and keeps the counts in a file below state_dir:
 *
 *     [visits]
 *     pages = home, docs
 *     save = 30s
 *
 *     POST /v1/visits/home   ->   {"page":"home","visits":17}
 *
 * Threads and ownership: handlers run on several loops, so counts are atomic. Instances that succeed one another share one book: each is a
 * user of it, and the last one frees it. Writing the file is a task on the house loop; the part of it that blocks runs on a pool thread.
 */
#include <errno.h>
#include <stdlib.h>

#include <chimera/json.h>

#include "visits_book.h"

struct visits_conf {
	struct ch_list pages;
	const char *file, *save;
	int64_t save_every;
};

/* What an instance hands on to its successor. */
struct shared {
	struct book *book;
	atomic_bool dirty, saving;
};

struct visits_state {
	struct shared *shared;
	struct page **pages; /* of conf->pages, in their order: the book's, or, while there is none, ours */
};

/* One writing of the file, in memory of the task. */
struct saving {
	struct ch_self *self;
	struct shared *shared;
	char *text;
	size_t n;
	int error; /* errno */
};

/* ---- writing the file: a task ---- */

/* On a pool thread: may block, and calls nothing of the host that is not marked [any]. What it returns is the ticket's result. */
static void *write_now(void *data)
{
	struct saving *s = data;
	const struct visits_conf *conf = s->self->conf;

	s->error = book_write(conf->file, s->text, s->n);
	return s;
}

static void written(void *data)
{
	struct saving *s = data;

	/* Say it each time. The host logs changes only, waits before it believes a recovery, and keeps a metric and /ready?verbose. */
	if (s->error) {
		ch_degraded(s->self, "file", true, "the counts cannot be written: %s", strerror(s->error));
		atomic_store(&s->shared->dirty, true); /* the next time will do */
	} else {
		ch_degraded(s->self, "file", false, "the counts are written");
	}
	atomic_store(&s->shared->saving, false);
}

static int on_written(struct ch_ctx *c, void *data, int why, void *result)
{
	struct saving *s = data;

	(void)c, (void)result;
	if (why == CH_READY)
		written(s);
	else if (why == CH_TIMEOUT)
		ch_degraded(s->self, "file", true, "the disk does not answer");
	return CH_DONE; /* after TIMEOUT or GONE the work still runs: its memory waits for it, and `written` is called as its drop */
}

/* On the house loop. An instance and its successor may both come here at one time: the flag lets one of them write. */
static int save(struct ch_self *self, struct ch_ctx *c)
{
	struct visits_state *state = self->state;
	struct shared *sh = state->shared;
	struct saving *s = ch_alloc(c, sizeof(*s));
	size_t cap = book_size(sh->book);
	ch_ticket t;

	if (!s || !atomic_load(&sh->dirty) || atomic_exchange(&sh->saving, true))
		return CH_DONE;
	atomic_store(&sh->dirty, false); /* before the text is made: what is counted meanwhile makes it dirty again */
	*s = (struct saving){ .self = self, .shared = sh, .text = ch_alloc(c, cap) };
	if (s->text)
		s->n = book_text(sh->book, s->text, cap);
	t = s->text ? ch_suspend(c, 10000, on_written, s) : 0;
	if (t && ch_offload(self, write_now, s, t, written))
		return CH_AGAIN;
	ch_unsuspend(t); /* no memory, or the pool is full: nobody will resume it, and the next time will do */
	atomic_store(&sh->dirty, true);
	atomic_store(&sh->saving, false);
	return CH_DONE;
}

static int save_task(struct ch_ctx *c, void *data)
{
	return save(data, c);
}

/* ---- the route ---- */

static int on_visit(struct ch_self *self, struct ch_ctx *c)
{
	const struct visits_conf *conf = self->conf;
	struct visits_state *state = self->state;
	struct ch_str name = ch_param(c, "page");
	struct page *page = NULL;
	long long visits;
	struct ch_jw w;

	for (size_t i = 0; i < conf->pages.n && !page; i++)
		if (conf->pages.v[i].n == name.n && !memcmp(conf->pages.v[i].p, name.p, name.n))
			page = state->pages[i];
	if (!page)
		return ch_refuse(c, CH_E_NOT_FOUND, 0, "No page of that name is counted: `pages` of [%s] names those that are.", self->id);
	visits = atomic_fetch_add(&page->visits, 1) + 1;
	atomic_store(&state->shared->dirty, true);
	/* A ctx of its own: it goes on when this client has left. That it may be refused is no harm, the clock's comes anyway. */
	if (visits % conf->save_every == 0)
		ch_task(self, NULL, 0, save_task, self, NULL);
	ch_jw_ctx(&w, c, 256);
	ch_jw_object(&w);
	ch_jw_key(&w, "page");
	ch_jw_string(&w, name.p, name.n);
	ch_jw_key(&w, "visits");
	ch_jw_int(&w, visits);
	ch_jw_object_end(&w);
	if (w.failed)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "No memory is left for this answer; try again.");
	return ch_respond(c, 200, "application/json", w.buf, w.len);
}

/* ---- life ---- */

/* Run by chimerad --check too: pure. What the table of options can say is checked before. */
static int check(struct ch_self *self)
{
	const struct visits_conf *conf = self->conf;

	for (size_t i = 0; i < conf->pages.n; i++) {
		const struct ch_str *page = &conf->pages.v[i];

		if (page->n != strspn(page->p, "abcdefghijklmnopqrstuvwxyz0123456789_-")) {
			ch_config_error(self, NULL, "pages", "holds \"%s\": a page has lower-case letters, digits, _ and -", page->p);
			return CH_ERROR;
		}
	}
	return CH_OK;
}

static void free_pages(struct ch_self *self)
{
	const struct visits_conf *conf = self->conf;
	struct visits_state *state = self->state;

	for (size_t i = 0; state->pages && !state->shared && i < conf->pages.n; i++)
		free(state->pages[i]);
	free(state->pages);
}

/* From now on our pages are the book's. Cannot fail: start has made all that it needs. */
static void use(struct ch_self *self, struct shared *sh)
{
	const struct visits_conf *conf = self->conf;
	struct visits_state *state = self->state;

	state->shared = sh;
	for (size_t i = 0; i < conf->pages.n; i++)
		state->pages[i] = book_put(sh->book, state->pages[i]);
}

/* The first of its line. start may block, so reading a file is fine. */
static bool open_book(struct ch_self *self)
{
	const struct visits_conf *conf = self->conf;
	struct shared *sh = calloc(1, sizeof(*sh));
	char why[200] = "no memory";

	if (sh && (sh->book = book_open(conf->file, why, sizeof(why)))) {
		use(self, sh);
		return true;
	}
	/* To begin at 0 would overwrite what is there as soon as it is saved: better no start than that. */
	ch_log(self, NULL, CH_ERR, "%s: %s: repair it, or move it away to begin at 0", conf->file, why);
	free(sh);
	return false;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct visits_conf *conf = self->conf;
	struct visits_state *state = self->state;
	bool ok = (state->pages = calloc(conf->pages.n + 1, sizeof(*state->pages)));

	for (size_t i = 0; ok && i < conf->pages.n; i++)
		ok = (state->pages[i] = page_new(conf->pages.v[i].p, conf->pages.v[i].n));
	/* Of a predecessor nothing is taken yet: it goes on alone if the reload is refused after this. */
	if (ok && (prev || open_book(self)))
		return CH_OK;
	free_pages(self); /* stop is not called for a start that failed */
	return CH_ERROR;
}

/* The reload is decided. The predecessor goes on counting what it has begun, in the same pages. */
static void adopt(struct ch_self *self, struct ch_self *prev)
{
	struct visits_state *old = prev->state;

	book_use(old->shared->book);
	use(self, old->shared);
}

static void stop(struct ch_self *self)
{
	const struct visits_conf *conf = self->conf;
	struct visits_state *state = self->state;
	struct shared *sh = state->shared;

	free_pages(self);
	if (!sh || !book_leave(sh->book))
		return; /* never adopted, the reload was refused; or a successor has it */
	if (atomic_load(&sh->dirty)) { /* the end of the server, and no loop: this may block */
		size_t cap = book_size(sh->book);
		char *text = malloc(cap);
		int error = text ? book_write(conf->file, text, book_text(sh->book, text, cap)) : ENOMEM;

		if (error)
			ch_log(self, NULL, CH_ERR, "the last counts are lost: %s: %s", conf->file, strerror(error));
		free(text);
	}
	book_free(sh->book);
	free(sh);
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct visits_conf, pages, LIST, .flags = CH_O_REQUIRED, .help = "The pages that are counted"),
	CH_OPT(struct visits_conf, file, DATA, .flags = CH_O_REQUIRED, .def = "visits.txt", .help = "File of the counts, below state_dir"),
	CH_OPT(struct visits_conf, save, STR, .def = "30s", .help = "When it is written: a duration, or five crontab fields in UTC"),
	CH_OPT(struct visits_conf, save_every, INT, .def = "1000", .min = "1", .help = "It is written early at multiples of this count"),
};

static const struct ch_route routes[] = {
	{
		.method = "POST",
		.pattern = "/v1/visits/{page}",
		.fn = on_visit,
		.response_schema = "{\"type\":\"object\",\"required\":[\"page\",\"visits\"],\"properties\":"
		                   "{\"page\":{\"type\":\"string\"},\"visits\":{\"type\":\"integer\"}}}",
		.summary = "Count a visit",
	},
};

static const struct ch_cron crons[] = {
	{ .name = "save", .when_option = "save", .fn = save },
};

static const struct ch_plugin visits = {
	.size = sizeof(visits),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "visits",
	.version = "0.1",
	.summary = "Counts visits of pages",
	.conf_size = sizeof(struct visits_conf),
	.state_size = sizeof(struct visits_state),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
	.crons = CH_TABLE(crons),
	.check = check,
	.start = start,
	.adopt = adopt,
	.stop = stop,
};

CH_PLUGIN(visits, visits)
