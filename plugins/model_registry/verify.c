/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c - the SHA-256 of files, larger than memory if need be: a pool thread reads for a tenth of a second, the loop says how far that
 * is and asks for more. One file after the other, so that a disk is read in order and one thread of the pool is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "model_registry.h"
#include "path.h"

#define STRETCH_US 100000 /* that a pool thread works in one go */
#define BUFFER (256u << 10)

struct verify {
	struct ch_self *self;
	struct registry_model *const *models;
	size_t n, at;                          /* which one it is about */
	uint64_t done, total;                  /* bytes of all */
	size_t bad;                            /* how many are not as they should be */
	atomic_bool gone;                      /* nobody wants to know any more */
	int fd;                                /* of models[at]; -1: not open */
	EVP_MD_CTX *hash;                      /* NULL until the first file */
	bool over;                             /* models[at] is read to its end, or cannot be */
	const char *why;                       /* it cannot; NULL: it could */
	char found[REGISTRY_SHA256 + 1];
	char buffer[BUFFER];
};

/* ---- in the pool ---- */

static void give_up(struct verify *v, const char *why)
{
	v->over = true;
	v->why = why;
}

static void open_next(struct verify *v)
{
	const struct registry_conf *conf = v->self->conf;
	const char *why;
	struct stat st;

	v->fd = registry_open(conf->dir, v->models[v->at]->below, &st, &why);
	if (!v->hash) /* here and not on the loop: the first use of OpenSSL reads its config */
		v->hash = EVP_MD_CTX_new();
	if (v->fd < 0)
		give_up(v, why);
	else if (!v->hash)
		give_up(v, "OpenSSL has no memory");
	else if (!EVP_DigestInit_ex(v->hash, EVP_sha256(), NULL))
		give_up(v, "OpenSSL has no SHA-256");
	else
		posix_fadvise(v->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
}

static void finish(struct verify *v)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	v->over = true;
	if (!EVP_DigestFinal_ex(v->hash, sum, &n)) {
		v->why = "OpenSSL gives no sum";
		return;
	}
	for (unsigned i = 0; i < n && 2 * i < REGISTRY_SHA256; i++)
		snprintf(v->found + 2 * i, 3, "%02x", sum[i]);
}

static void *read_on(void *data)
{
	struct verify *v = data;
	int64_t until = ch_now() + STRETCH_US;

	if (v->fd < 0)
		open_next(v);
	while (!v->over && !atomic_load(&v->gone)) {
		ssize_t n = read(v->fd, v->buffer, sizeof(v->buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			give_up(v, strerrordesc_np(errno));
		else if (!n)
			finish(v);
		else if (!EVP_DigestUpdate(v->hash, v->buffer, (size_t)n))
			give_up(v, "OpenSSL cannot go on");
		else
			v->done += (uint64_t)n;
		if (ch_now() >= until)
			break;
	}
	return NULL;
}

/* ---- on the loop ---- */

/* What came of models[at], and on to the next. */
static void tell(struct verify *v, struct ch_ctx *c)
{
	const struct registry_model *m = v->models[v->at];
	bool same = !v->why && !strcmp(m->sha256, v->found);

	if (v->why)
		ch_out(c, "%s  missing: %s\n", m->name, v->why);
	else if (same)
		ch_out(c, "%s  ok\n", m->name);
	else if (*m->sha256)
		ch_out(c, "%s  differs: expected %s, found %s\n", m->name, m->sha256, v->found);
	else
		ch_out(c, "%s  not compared: its section has no sha256; found %s\n", m->name, v->found);
	v->bad += v->why || (!same && *m->sha256);
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
	v->over = false;
	v->why = NULL;
	v->at++;
}

static int more(struct verify *v, struct ch_ctx *c);

static int on_read(struct ch_ctx *c, void *data, int why, void *result)
{
	struct verify *v = data;

	(void)result;
	if (why != CH_READY) { /* the pool may be reading yet: `forget` comes when it has stopped */
		atomic_store(&v->gone, true);
		return CH_DONE;
	}
	ch_progress(c, v->done, v->total, v->models[v->at]->name);
	if (v->over)
		tell(v, c);
	if (v->at < v->n)
		return more(v, c);
	if (!v->bad)
		return CH_DONE;
	return ch_refuse(c, CH_E_CONFLICT, 0, "%zu of %zu models are not as the config says", v->bad, v->n);
}

static int more(struct verify *v, struct ch_ctx *c)
{
	ch_ticket ticket = ch_suspend(c, 0, on_read, v);

	if (ticket && ch_offload(v->self, read_on, v, ticket, NULL))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "the pool of threads takes no more work now: try again");
}

static void forget(void *data)
{
	struct verify *v = data;

	if (v->fd >= 0)
		close(v->fd);
	EVP_MD_CTX_free(v->hash);
}

int registry_verify(struct ch_self *self, struct ch_ctx *c, struct registry_model *const *models, size_t n)
{
	struct verify *v = ch_alloc(c, sizeof(*v));

	if (v) {
		v->self = self;
		v->models = models;
		v->n = n;
		v->fd = -1;
		for (size_t i = 0; i < n; i++)
			v->total += atomic_load(&models[i]->bytes) > 0 ? (uint64_t)atomic_load(&models[i]->bytes) : 0;
	}
	if (v && ch_keep(c, forget, v))
		return more(v, c);
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory to compare files now");
}
