/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/fuzz/fuzz_ini.c - the config engine over any bytes: the line parser with its text functions, then a whole load from a
 * memory file, whose
 * result is dumped and must load again to equal instances. Inputs that would name other files (include, @) get the first part only.
 */
#include <setjmp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/conf/conf.h"
#include "core/conf/ini.h"
#include "core/conf/text.h"
#include "core/conf/value.h"
#include "tests/fuzz/fuzz.h"

struct demo_conf {
	const char *text, *secret, *path, *data;
	int64_t number, duration, bytes;
	double rate, share, real;
	bool flag;
	int word;
	struct ch_list list;
	const struct ch_svc *service;
	struct ch_svcs services;
};

static const char *const words[] = { "off", "on", "auto", NULL };
#define OPT(field, T, ...) CH_OPT(struct demo_conf, field, T, __VA_ARGS__)
static const struct ch_option options[] = {
	OPT(text, STR),
	OPT(secret, STR, .flags = CH_O_SECRET),
	OPT(path, PATH),
	OPT(data, DATA),
	OPT(number, INT, .min = "-5", .max = "500", .def = "1"),
	OPT(duration, DURATION, .flags = CH_O_OFF, .max = "1d"),
	OPT(bytes, SIZE),
	OPT(rate, RATE, .flags = CH_O_OFF),
	OPT(share, SHARE),
	OPT(real, DOUBLE),
	OPT(flag, BOOL),
	OPT(word, ENUM, .values = words),
	OPT(list, LIST),
	OPT(service, SERVICE),
	OPT(services, SERVICES),
};
static const struct ch_plugin demo = { .size = sizeof(demo),
	.name = "demo",
	.conf_size = sizeof(struct demo_conf),
	.row_conf_size = sizeof(struct demo_conf),
	.options = CH_TABLE(options),
	.row_options = CH_TABLE(options) };
static char *const env[] = { "A=1", "B=x, \"y\" ; ${A}", "E=", NULL };

static const struct ch_plugin *find_plugin(void *arg, const char *name, char *why, size_t cap)
{
	(void)arg;
	(void)why;
	(void)cap;
	return strcmp(name, "demo") ? NULL : &demo;
}

/* ---- lines and texts ---- */

struct walk {
	jmp_buf oom;
	struct chi_mem m;
};

static void on_section(void *arg, int line, const struct chi_ini_name *name)
{
	(void)arg;
	FUZZ_CHECK(line >= 1 && name->plugin.n > 0);
	FUZZ_CHECK(!name->id.p || chi_ini_is_id(name->id.p, name->id.n));
	FUZZ_CHECK(!name->row.p || name->row.n > 0);
}

static void on_problem(void *arg, int line, const char *sentence)
{
	(void)arg;
	FUZZ_CHECK(line >= 1 && *sentence);
}

/* Every value is read as every type. */
static void on_key(void *arg, int line, struct ch_str key, struct ch_str raw)
{
	struct walk *w = arg;
	const char *text = chi_mem_dup(&w->m, raw.p, raw.n), *why = "", *joined;
	struct ch_list members, again;
	struct chi_value v;
	char said[768];
	size_t i;

	FUZZ_CHECK(line >= 1 && key.n > 0 && !memchr(raw.p, '\n', raw.n) && chi_ini_is_utf8(raw.p, raw.n));
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (options[i].type != CH_T_LIST && options[i].type < CH_T_LIST && options[i].type != CH_T_STR)
			chi_value_read(&options[i], text, &v, said, sizeof(said));
	if (*text == '"')
		chi_text_unquote(&w->m, text, raw.n, &why);
	chi_text_expand(&w->m, text, env, &why);
	if (!chi_text_members(&w->m, text, true, env, &members, &why))
		return;
	joined = chi_text_join(&w->m, &members);
	FUZZ_CHECK(chi_text_members(&w->m, joined, false, NULL, &again, &why) && again.n == members.n);
	for (i = 0; i < again.n; i++)
		FUZZ_CHECK(!strcmp(again.v[i].p, members.v[i].p));
}

static void walk(struct walk *w, const char *text, size_t size)
{
	static const struct chi_ini_ops ops = { on_section, on_key, on_problem };

	if (!setjmp(w->oom))
		chi_ini_parse(text, size, &ops, w);
}

/* ---- a whole load ---- */

static struct chi_conf *load(const void *p, size_t n)
{
	struct chi_conf_args args = { .env = env, .find_plugin = find_plugin };
	struct chi_report *r = chi_report_new();
	struct chi_conf *conf = NULL;
	char path[64], line[8192];
	const struct chi_problem *q;
	int fd = memfd_create("ini", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	args.file = path;
	conf = chi_conf_load(&args, r);
	FUZZ_CHECK(!conf == (chi_report_errors(r) > 0));
	for (q = chi_report_first(r); q; q = q->next) {
		chi_report_format(q, line, sizeof(line));
		for (char *c = line; *c; c++)
			FUZZ_CHECK((unsigned char)*c >= 0x20 && *c != 0x7F);
	}
	chi_report_free(r);
	close(fd);
	return conf;
}

static void load_dump_load(const uint8_t *data, size_t size)
{
	struct chi_conf *conf = load(data, size), *again;
	char *dump = NULL, *json = NULL;
	size_t n = 0, m = 0, i;
	FILE *f;

	if (!conf)
		return;
	f = open_memstream(&json, &m);
	chi_conf_dump(conf, f, true);
	fclose(f);
	f = open_memstream(&dump, &n);
	chi_conf_dump(conf, f, false);
	fclose(f);
	/* a dump has no secrets, and may be longer than a file can be */
	again = !strstr(dump, "secret = ***") && n < 1024 * 1024 ? load(dump, n) : NULL;
	if (again) {
		FUZZ_CHECK(again->ninsts == conf->ninsts);
		for (i = 0; i < conf->ninsts; i++)
			FUZZ_CHECK(chi_conf_equal(conf->insts[i], again->insts[i]));
	} else {
		FUZZ_CHECK(strstr(dump, "secret = ***") || n >= 60000);
	}
	chi_conf_free(again);
	chi_conf_free(conf);
	free(dump);
	free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk w = { .m = { .head = NULL } };
	char *copy;

	if (!size || size > 1 << 20)
		return 0;
	w.m.oom = &w.oom;
	copy = fuzz_copy(data, size);
	walk(&w, copy, size);
	chi_mem_free(&w.m);
	free(copy);
	if (!memmem(data, size, "include", 7) && !memchr(data, '@', size))
		load_dump_load(data, size);
	return 0;
}
