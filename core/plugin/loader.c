/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/loader.h"

#include "core/log/log.h"
#include "core/plugin/host.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <ltdl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct loaded {
	struct loaded *next;
	const struct ch_plugin *plugin;
	struct stat file; /* as it was when it was loaded, or when its change was told */
	char name[];
};

static struct loaded *all;
static char *folder;
static bool strict;

void chi_loader_folder(const char *path, bool strict_)
{
	free(folder);
	folder = strdup(path);
	strict = strict_;
}

static bool judged_elsewhere;

void chi_loader_leave_tables(void)
{
	judged_elsewhere = true;
}

static bool writable_by_others(const char *path, char *why, size_t cap)
{
	struct stat st;
	if (stat(path, &st)) {
		snprintf(why, cap, "%s cannot be read: %s", path, strerror(errno));
		return true;
	}
	if (st.st_mode & (strict ? 022 : 002)) {
		snprintf(why, cap, "%s may be written by %s, who could run code in the server: chmod go-w %s", path,
		         st.st_mode & 002 ? "everybody" : "its group", path);
		return true;
	}
	return false;
}

/* What would be read past its end, or never. A plugin whose tables are right in themselves is judged by the config and chi_gen_build. */
static bool tables_fit(const struct ch_plugin *p, const char *path, char *why, size_t cap)
{
	const struct {
		const char *name;
		const struct ch_table *t;
		size_t row;
	} tables[] = {
		{ "options", &p->options, sizeof(struct ch_option) },     { "row_options", &p->row_options, sizeof(struct ch_option) },
		{ "metrics", &p->metrics, sizeof(struct ch_metric) },     { "hooks", &p->hooks, sizeof(struct ch_hook) },
		{ "taps", &p->taps, sizeof(struct ch_tap) },              { "routes", &p->routes, sizeof(struct ch_route) },
		{ "provides", &p->provides, sizeof(struct ch_provide) },  { "checks", &p->checks, sizeof(struct ch_check) },
		{ "crons", &p->crons, sizeof(struct ch_cron) },           { "commands", &p->commands, sizeof(struct ch_command) },
		{ "seams", &p->seams, sizeof(struct ch_seam) },
	};
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		const struct ch_table *t = tables[i].t;
		if (t->n && (!t->rows || t->row_size != tables[i].row)) {
			snprintf(why, cap,
				"the table of %s in %s has rows of %zu bytes%s and interface %u.%u has %zu: rebuild it with this chimera's headers",
				tables[i].name, path, t->row_size, t->rows ? "" : " and no address", CH_ABI_MAJOR, CH_ABI_MINOR, tables[i].row);
			return false;
		}
	}
	for (size_t i = 0; i < p->provides.n; i++) {
		const struct ch_provide *v = (const struct ch_provide *)p->provides.rows + i;
		if (!v->iface || !v->vt || *(const size_t *)v->vt < sizeof(size_t)) {
			snprintf(why, cap, "what %s provides as '%s' has no functions, or not its size in front: a bug in the plugin", path,
			         v->iface ? v->iface : "");
			return false;
		}
	}
	return true;
}

static const struct ch_plugin *checked(const struct ch_plugin *p, const char *name, const char *path, char *why, size_t cap)
{
	if (!p)
		snprintf(why, cap, "%s returned no descriptor", path);
	else if (p->size < offsetof(struct ch_plugin, name))
		snprintf(why, cap, "the descriptor of %s is too short (%zu bytes): rebuild it with this chimera's headers", path, p->size);
	else if (p->abi_major != CH_ABI_MAJOR || p->abi_minor != CH_ABI_MINOR)
		snprintf(why, cap,
			"%s is built for plugin interface %u.%u and this server has %u.%u: rebuild it with this chimera's headers", path,
			p->abi_major, p->abi_minor, CH_ABI_MAJOR, CH_ABI_MINOR);
	else if (p->size < sizeof *p)
		snprintf(why, cap, "the descriptor of %s has %zu bytes and interface %u.%u has %zu: rebuild it with this chimera's headers",
			path, p->size, CH_ABI_MAJOR, CH_ABI_MINOR, sizeof *p);
	else if (!p->name || strcmp(p->name, name))
		snprintf(why, cap, "%s calls itself '%s': file and plugin must have one name", path, p->name ? p->name : "");
	else if (judged_elsewhere || tables_fit(p, path, why, cap))
		return p;
	return NULL;
}

static void path_of(const char *name, char *path, size_t cap)
{
	snprintf(path, cap, "%s/%s.so", folder ? folder : "", name);
}

static const struct ch_plugin *load(const char *name, char *why, size_t cap)
{
	char path[PATH_MAX];
	struct stat st;
	path_of(name, path, sizeof path);
	if (stat(path, &st) && errno == ENOENT) {
		snprintf(why, cap, "there is no plugin %s in %s", name, folder ? folder : "(no plugin_dir)");
		return NULL;
	}
	if (writable_by_others(folder, why, cap) || writable_by_others(path, why, cap))
		return NULL;
	/* libltdl binds lazily: a symbol that nobody has would show at its first call, as a crash. So all of it is bound here, before. */
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object) {
		snprintf(why, cap, "%s cannot be loaded: %s", path, dlerror());
		return NULL;
	}
	ch_plugin_entry entry;
	*(void **)&entry = dlsym(object, "ch_plugin_v1");
	const struct ch_plugin *p = entry ? checked(entry(&chi_host), name, path, why, cap) : NULL;
	if (!entry)
		snprintf(why, cap, "%s is no chimera plugin: it has no symbol ch_plugin_v1 (see CH_PLUGIN in chimera/plugin.h)", path);
	if (!p) {
		dlclose(object); /* nothing of it runs, and a better one of this name may come */
		return NULL;
	}
	static bool ready;
	if (!ready && lt_dlinit()) {
		snprintf(why, cap, "libltdl does not start: %s", lt_dlerror());
		return NULL;
	}
	ready = true;
	lt_dladvise advise;
	if (lt_dladvise_init(&advise) || lt_dladvise_local(&advise) || lt_dladvise_resident(&advise)) {
		snprintf(why, cap, "libltdl takes no advice: %s", lt_dlerror());
		return NULL;
	}
	lt_dlhandle h = lt_dlopenadvise(path, advise);
	lt_dladvise_destroy(&advise);
	if (!h) {
		snprintf(why, cap, "%s cannot be loaded: %s", path, lt_dlerror());
		return NULL;
	}
	return p;
}

/* Code that was loaded is never loaded again: a file that was replaced under the running server waits for a restart, and that is said. */
static void look_if_replaced(struct loaded *l)
{
	char path[PATH_MAX];
	struct stat now;
	path_of(l->name, path, sizeof path);
	if (stat(path, &now) || (now.st_ino == l->file.st_ino && now.st_dev == l->file.st_dev && now.st_size == l->file.st_size &&
	                         now.st_mtim.tv_sec == l->file.st_mtim.tv_sec && now.st_mtim.tv_nsec == l->file.st_mtim.tv_nsec))
		return;
	l->file = now;
	chi_log(CH_WARN, &(struct chi_log_fields){ .plugin = l->name },
		"%s was replaced since it was loaded: the code that was loaded goes on, a restart takes the new one", path);
}

const struct ch_plugin *chi_loader_find(const char *name, char *why, size_t cap)
{
	for (struct loaded *l = all; l; l = l->next)
		if (!strcmp(l->name, name)) {
			look_if_replaced(l);
			return l->plugin;
		}
	const struct ch_plugin *p = load(name, why, cap);
	struct loaded *l = p ? malloc(sizeof *l + strlen(name) + 1) : NULL;
	if (l) {
		char path[PATH_MAX];
		strcpy(l->name, name);
		path_of(name, path, sizeof path);
		if (stat(path, &l->file))
			memset(&l->file, 0, sizeof l->file);
		l->plugin = p;
		l->next = all;
		all = l;
	}
	return p;
}

static int is_module(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return n > 3 && !strcmp(d->d_name + n - 3, ".so");
}

void chi_loader_list(void (*fn)(void *arg, const char *name), void *arg)
{
	struct dirent **v;
	int n = folder ? scandir(folder, &v, is_module, alphasort) : -1;
	for (int i = 0; i < n; i++) {
		v[i]->d_name[strlen(v[i]->d_name) - 3] = 0;
		fn(arg, v[i]->d_name);
		free(v[i]);
	}
	if (n >= 0)
		free(v);
}
