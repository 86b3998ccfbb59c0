/* SPDX-License-Identifier: Apache-2.0 */
/* model_registry.c - manifests of model files: what the config says of each, and whether the file is there. See model_registry.h. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <chimera/inspect.h>

#include "model_registry.h"
#include "path.h"

/* ---- looking ---- */

const char *registry_look(struct ch_self *self, struct registry_model *m)
{
	const struct registry_conf *conf = self->conf;
	const char *why;
	struct stat st;
	int fd = registry_open(conf->dir, m->below, &st, &why);
	bool there = fd >= 0;

	if (there)
		close(fd);
	atomic_store(&m->created, there ? (int64_t)st.st_mtime : 0);
	bool was = atomic_exchange(&m->bytes, there ? (int64_t)st.st_size : -1) >= 0, first = !atomic_exchange(&m->looked, true);
	ch_capability(self, m->name, there);
	if (!there && (was || first))
		ch_log(self, NULL, CH_WARN, "the file of model %s is not there: %s: %s", m->name, m->path, why);
	else if (there && !was && !first)
		ch_log(self, NULL, CH_INFO, "the file of model %s is there now: %s", m->name, m->path);
	return there ? NULL : why;
}

/* ---- models/1 ---- */

static bool at(const struct ch_svc *svc, size_t i, struct ch_manifest *out)
{
	const struct registry_state *state = svc->self->state;

	if (i >= state->n)
		return false;
	const struct registry_model *m = &state->models[i];
	struct ch_manifest full = { .size = out->size,
		.name = m->name,
		.path = m->path,
		.revision = m->row->revision,
		.sha256 = m->sha256,
		.backend = m->row->backend,
		.context = m->row->context,
		.bytes = atomic_load(&m->bytes),
		.created = atomic_load(&m->created) };
	memcpy(out, &full, out->size < sizeof(full) ? out->size : sizeof(full));
	return true;
}

/* ---- health check ---- */

struct look {
	struct ch_self *self;
	struct ch_check_result *out;
};

/* From what was seen last. */
static void judge(const struct look *look)
{
	const struct registry_state *state = look->self->state;
	const char *name = NULL;
	size_t missing = 0;

	for (size_t i = 0; i < state->n; i++)
		if (atomic_load(&state->models[i].bytes) < 0 && !missing++)
			name = state->models[i].name;
	look->out->health = missing ? CH_DEGRADED : CH_HEALTHY;
	if (!missing)
		snprintf(look->out->message, sizeof(look->out->message), "all files are there");
	else
		snprintf(look->out->message, sizeof(look->out->message), "%zu of %zu files not there: %.80s%s", missing, state->n, name,
			missing > 1 ? ", …" : "");
}

static void *look_at_all(void *data)
{
	const struct look *look = data;
	const struct registry_state *state = look->self->state;

	for (size_t i = 0; i < state->n; i++)
		registry_look(look->self, &state->models[i]);
	return NULL;
}

static int looked(struct ch_ctx *c, void *data, int why, void *result)
{
	const struct look *look = data;

	(void)c;
	(void)result;
	judge(look);
	if (why != CH_READY) {
		look->out->health = CH_DEGRADED;
		snprintf(look->out->message, sizeof(look->out->message), "the folder of models gave no answer in time");
	}
	return CH_OK;
}

static int check_files(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	struct look *look = ch_alloc(c, sizeof(*look));
	ch_ticket ticket = look ? ch_suspend(c, 0, looked, look) : 0;

	if (ticket) {
		*look = (struct look){ self, out };
		if (ch_offload(self, look_at_all, look, ticket, NULL))
			return CH_AGAIN;
		ch_unsuspend(ticket);
	}
	judge(&(struct look){ self, out });
	return CH_OK;
}

/* ---- what the config must be ---- */

static bool is_sha256(const char *s)
{
	return strlen(s) == REGISTRY_SHA256 && strspn(s, "0123456789abcdefABCDEF") == REGISTRY_SHA256;
}

struct wanted {
	const char *id;
	bool found;
};

static void on_instance(void *data, const struct ch_instance *i)
{
	struct wanted *w = data;

	w->found = w->found || !strcmp(i->id, w->id);
}

static bool there_is(struct ch_self *self, const char *id)
{
	struct wanted w = { id, false };

	ch_instances_walk(self, on_instance, &w);
	return w.found;
}

/* The path below the folder: the row's, or the one that its name gives, put into `made`. */
static const char *below(const struct ch_row *row, char made[REGISTRY_NAME_MAX + 1])
{
	const struct registry_row *conf = row->conf;

	if (*conf->path)
		return conf->path;
	registry_sanitise(made, row->name);
	return made;
}

/* Another row before this one whose name gives the same path, where neither says which it means; NULL: none. */
static const char *twin(const struct ch_self *self, const struct ch_row *row)
{
	char mine[REGISTRY_NAME_MAX + 1], other[REGISTRY_NAME_MAX + 1];

	registry_sanitise(mine, row->name);
	for (const struct ch_row *r = self->rows; r < row; r++) {
		if (*((const struct registry_row *)r->conf)->path || !registry_is_name(r->name))
			continue;
		registry_sanitise(other, r->name);
		if (!strcmp(mine, other))
			return r->name;
	}
	return NULL;
}

static bool check_row(struct ch_self *self, const struct ch_row *row)
{
	const struct registry_row *conf = row->conf;
	char made[REGISTRY_NAME_MAX + 1];
	const char *wrong, *same;
	bool ok = true;

	if (!registry_is_name(row->name)) {
		ch_config_error(self, row->name, NULL, "\"%.200s\" is no name of a model: it has 1 to 128 of A-Z a-z 0-9 . _ : / -",
			row->name);
		return false;
	}
	wrong = registry_path_wrong(below(row, made));
	if (wrong) {
		ch_config_error(self, row->name, "path", "\"%.200s\" %s: it stands below `dir` and may not leave it", below(row, made),
			wrong);
		ok = false;
	}
	same = *conf->path ? NULL : twin(self, row);
	if (same) {
		ch_config_error(self, row->name, "path", "the name gives the same file %s as that of [%s.%s]: set `path` in both", made,
			self->id, same);
		ok = false;
	}
	if (*conf->sha256 && !is_sha256(conf->sha256)) {
		ch_config_error(self, row->name, "sha256", "\"%.100s\" is no SHA-256: 64 hexadecimal digits, as sha256sum prints them",
			conf->sha256);
		ok = false;
	}
	if (*conf->backend && !there_is(self, conf->backend)) {
		ch_config_error(self, row->name, "backend", "\"%.80s\" is no instance: name the id of an enabled one, or leave it out",
			conf->backend);
		ok = false;
	}
	return ok;
}

static int check(struct ch_self *self)
{
	bool ok = true;

	for (size_t i = 0; i < self->nrows; i++)
		ok = check_row(self, &self->rows[i]) && ok;
	return ok ? CH_OK : CH_ERROR;
}

/* ---- life ---- */

static void stop(struct ch_self *self)
{
	struct registry_state *state = self->state;

	for (size_t i = 0; i < state->n; i++)
		free(state->models[i].path);
	free(state->models);
}

/* False: no memory. */
static bool make(struct registry_model *m, const char *dir, const struct ch_row *row)
{
	char made[REGISTRY_NAME_MAX + 1];
	const char *path = below(row, made);
	size_t n = strlen(dir);

	m->name = row->name;
	m->row = row->conf;
	m->path = malloc(n + strlen(path) + 2);
	if (!m->path)
		return false;
	m->below = m->path + n + 1;
	stpcpy(stpcpy(stpcpy(m->path, dir), "/"), path);
	for (size_t i = 0; m->row->sha256[i]; i++)
		m->sha256[i] = (char)tolower((unsigned char)m->row->sha256[i]);
	atomic_init(&m->bytes, -1);
	return true;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct registry_conf *conf = self->conf;
	struct registry_state *state = self->state;

	(void)prev;
	state->models = calloc(self->nrows + 1, sizeof(*state->models));
	for (; state->models && state->n < self->nrows; state->n++)
		if (!make(&state->models[state->n], conf->dir, &self->rows[state->n]))
			break;
	if (state->n < self->nrows) {
		stop(self);
		ch_log(self, NULL, CH_ERR, "there is no memory for %zu models", self->nrows);
		return CH_ERROR;
	}
	for (size_t i = 0; i < state->n; i++)
		registry_look(self, &state->models[i]);
	return CH_OK;
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct registry_conf, dir, DATA, .flags = CH_O_REQUIRED, .def = "models", .help = "The folder that all model files lie in"),
};

static const struct ch_option row_options[] = {
	CH_OPT(struct registry_row, path, STR,
		.help = "The file, below `dir`; by default the model's name with _ for what is no letter, digit, . _ or -"),
	CH_OPT(struct registry_row, revision, STR, .help = "Which version of the model this is, for people"),
	CH_OPT(struct registry_row, sha256, STR,
		.help = "The file's SHA-256, 64 hexadecimal digits; `chimeractl models verify` compares it"),
	CH_OPT(struct registry_row, backend, STR, .help = "The instance that serves it; by default whichever lists it"),
	CH_OPT(struct registry_row, context, INT, .def = "0", .min = "0", .max = "1000000000",
		.help = "How many tokens its context has; 0: not known"),
};

static const struct ch_models_v1 models = { .size = sizeof(models), .at = at };
static const struct ch_provide provides[] = { { .iface = "models/1", .vt = &models } };
static const struct ch_check checks[] = { { .name = "files", .fn = check_files } };
static const struct ch_command commands[] = {
	{ .name = "models",
		.modes = CH_LIVE | CH_OFFLINE,
		.args = "list|verify [NAME]",
		.min_args = 1,
		.max_args = 2,
		.summary = "Show the models, or compare their files with their SHA-256",
		.fn = registry_command },
};

static const struct ch_plugin model_registry = {
	.size = sizeof(model_registry),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "model_registry",
	.version = "0.1",
	.summary = "Which model files there are on this machine, and whose they are",
	.conf_size = sizeof(struct registry_conf),
	.row_conf_size = sizeof(struct registry_row),
	.state_size = sizeof(struct registry_state),
	.options = CH_TABLE(options),
	.row_options = CH_TABLE(row_options),
	.provides = CH_TABLE(provides),
	.checks = CH_TABLE(checks),
	.commands = CH_TABLE(commands),
	.check = check,
	.start = start,
	.stop = stop,
};

CH_PLUGIN(model_registry, model_registry)
