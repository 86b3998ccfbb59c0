/* SPDX-License-Identifier: Apache-2.0 */
/* checks.c - what this process looks after itself: the disk below state_dir, memory, GPUs. Files and drivers are asked on pool threads. */
#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "memory.h"
#include "probes.h"
#include "report.h"

/* One look at disk or memory, in the check's arena. */
struct look {
	struct ch_self *self;
	struct ch_check_result *out;
	const char *dir;            /* disk */
	struct statvfs disk;
	struct memory_use memory;
	int error;                  /* 0: it could be read */
};

static void tell(struct ch_check_result *out, int health, const char *fmt, ...) CH_PRINTF_(3, 4);
static void tell(struct ch_check_result *out, int health, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	out->health = health;
	vsnprintf(out->message, sizeof(out->message), fmt, ap);
	va_end(ap);
}

/* Starts a look; `seen` says what came of it. */
static int begin(
	struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out, const char *dir, void *(*work)(void *), ch_resumed seen)
{
	struct look *look = ch_alloc(c, sizeof(*look));
	ch_ticket ticket = look ? ch_suspend(c, 0, seen, look) : 0;

	if (ticket) {
		look->self = self;
		look->out = out;
		look->dir = dir;
		if (ch_offload(self, work, look, ticket, NULL))
			return CH_AGAIN;
		ch_unsuspend(ticket);
	}
	tell(out, CH_DEGRADED, "could not be checked: the pool of threads or memory is exhausted");
	return CH_OK;
}

/* Anything but a finished look: the file system hangs, or we stop. */
static bool unfinished(const struct look *look, int why, const char *what)
{
	if (why == CH_READY && !look->error)
		return false;
	if (why == CH_READY) {
		errno = look->error; /* for %m */
		tell(look->out, CH_DEGRADED, "%s cannot be read: %m", what);
	} else {
		tell(look->out, CH_DEGRADED, "%s gave no answer in time", what);
	}
	return true;
}

/* ---- disk ---- */

static void *look_at_disk(void *data)
{
	struct look *look = data;

	look->error = statvfs(look->dir, &look->disk) ? errno : 0;
	return NULL;
}

static int disk_seen(struct ch_ctx *c, void *data, int why, void *result)
{
	const struct look *look = data;
	const struct health_conf *conf = look->self->conf;
	const struct statvfs *d = &look->disk;
	double total, share;

	(void)c;
	(void)result;
	if (unfinished(look, why, "state_dir"))
		return CH_OK;
	/* As df counts: what is kept for root is neither used nor free. */
	total = (double)(d->f_blocks - d->f_bfree) + (double)d->f_bavail;
	share = total > 0 ? (double)d->f_bavail / total : 1;
	tell(look->out, health_if_low(share, conf->disk_free_warn, conf->disk_free_critical), "%.1f%% of state_dir's disk is free",
		share * 100);
	return CH_OK;
}

int health_check_disk(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	struct ch_server server = { .size = sizeof(server) };
	const char *dir;

	ch_server(&server);
	dir = ch_dup(c, server.state_dir, strlen(server.state_dir));
	return begin(self, c, out, dir ? dir : "/", look_at_disk, disk_seen);
}

/* ---- GPUs: no check of their own, since most machines have none; they are read along with memory ---- */

struct refresh {
	struct ch_self *self;
	struct gpu_list gpus;
	bool ok;
};

static void *read_gpus(void *data)
{
	struct refresh *r = data;
	struct health_state *state = r->self->state;

	if (state->nvml_state == NVML_UNTRIED)
		state->nvml_state = nvml_open(&state->nvml, "libnvidia-ml.so.1") ? NVML_OPEN : NVML_ABSENT;
	r->ok = state->nvml_state == NVML_OPEN && nvml_read(&state->nvml, &r->gpus);
	return NULL;
}

static int gpus_read(struct ch_ctx *c, void *data, int why, void *result)
{
	struct refresh *r = data;
	struct health_state *state = r->self->state;

	(void)c;
	(void)result;
	if (why != CH_READY)
		return CH_DONE; /* we stop; the driver may still be asked, so `refreshing` stays */
	pthread_mutex_lock(&state->lock);
	state->have_gpus = r->ok;
	if (r->ok)
		state->gpus = r->gpus;
	pthread_mutex_unlock(&state->lock);
	/* Without a driver there is nothing to come back for. */
	state->refreshing = state->nvml_state == NVML_ABSENT;
	return CH_DONE;
}

static int refresh_task(struct ch_ctx *c, void *data)
{
	struct ch_self *self = data;
	struct health_state *state = self->state;
	struct refresh *r = ch_alloc(c, sizeof(*r));
	ch_ticket ticket = r ? ch_suspend(c, 0, gpus_read, r) : 0;

	if (ticket) {
		r->self = self;
		if (ch_offload(self, read_gpus, r, ticket, NULL))
			return CH_AGAIN;
		ch_unsuspend(ticket);
	}
	state->refreshing = false;
	return CH_DONE;
}

bool health_gpus(struct ch_self *self, struct gpu_list *out)
{
	struct health_state *state = self->state;
	bool have;

	pthread_mutex_lock(&state->lock);
	have = state->have_gpus;
	if (have)
		*out = state->gpus;
	pthread_mutex_unlock(&state->lock);
	return have;
}

/* ---- memory ---- */

static void *look_at_memory(void *data)
{
	struct look *look = data;

	look->error = memory_read("", &look->memory) ? 0 : ENOENT;
	return NULL;
}

static int memory_seen(struct ch_ctx *c, void *data, int why, void *result)
{
	const struct look *look = data;
	const struct health_conf *conf = look->self->conf;
	const struct memory_use *m = &look->memory;
	double share;

	(void)c;
	(void)result;
	if (unfinished(look, why, "memory use"))
		return CH_OK;
	share = (double)m->used / (double)m->limit;
	tell(look->out, health_if_high(share, conf->memory_used_warn, conf->memory_used_critical), "%.1f%% of the %s's %.0f MiB are used",
		share * 100, m->of, (double)m->limit / (1 << 20));
	return CH_OK;
}

int health_check_memory(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	struct health_state *state = self->state;

	if (!state->refreshing)
		state->refreshing = ch_task(self, NULL, 0, refresh_task, self, NULL);
	return begin(self, c, out, NULL, look_at_memory, memory_seen);
}
