/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bad.c - a plugin with one mistake, chosen by -DBAD_…, for test_tools.py. Without one it is well: GET /v1/bad says what -DANSWER="…"
 * holds.
 */
#include <chimera/inference.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef ANSWER
#define ANSWER "one"
#endif

struct bad_conf {
	int64_t number, other;
	double share;
	int word;
	const char *text;
	const struct ch_svc *service;
};

static const char *const words[] = { "a", "b", NULL };
static const char *const words_twice[] = { "a", "b", "a", NULL };

#define NUMBER(...) CH_OPT(struct bad_conf, number, INT, .help = "A number", __VA_ARGS__)
#define TEXT(...) CH_OPT(struct bad_conf, text, STR, .help = "A text", __VA_ARGS__)

#define OPTIONS NUMBER(.def = "1")
#define ROUTE_PATTERN .pattern = "/v1/bad"
#define ROUTE_REST .summary = "Answer"

#ifdef BAD_RANGE
#undef OPTIONS
#define OPTIONS NUMBER(.def = "5", .min = "10", .max = "1")
#elif defined(BAD_BOUND)
#undef OPTIONS
#define OPTIONS NUMBER(.def = "5", .min = "some")
#elif defined(BAD_DEFAULT)
#undef OPTIONS
#define OPTIONS NUMBER(.def = "11", .max = "10")
#elif defined(BAD_DEV_DEFAULT)
#undef OPTIONS
#define OPTIONS NUMBER(.def = "1", .dev_def = "many")
#elif defined(BAD_NO_DEFAULT)
#undef OPTIONS
#define OPTIONS NUMBER(.min = "1")
#elif defined(BAD_TWO_EQUAL)
#undef OPTIONS
#define OPTIONS NUMBER(.def = "1"), CH_OPT_AS(struct bad_conf, other, "number", INT, .def = "1", .help = "Another")
#elif defined(BAD_OVERLAP)
#undef OPTIONS
#define OPTIONS NUMBER(.def = "1"), CH_OPT_AS(struct bad_conf, number, "other", INT, .def = "1", .help = "Another")
#elif defined(BAD_OFFSET)
#undef OPTIONS
#define OPTIONS { .name = "far", .type = CH_T_INT, .offset = 4096, .help = "Far away" }
#elif defined(BAD_TYPE)
#undef OPTIONS
#define OPTIONS { .name = "odd", .type = 99, .offset = 0, .help = "Odd" }
#elif defined(BAD_OPTION_NAME)
#undef OPTIONS
#define OPTIONS CH_OPT_AS(struct bad_conf, number, "Number One", INT, .help = "A number")
#elif defined(BAD_OPTION_TAKEN)
#undef OPTIONS
#define OPTIONS CH_OPT_AS(struct bad_conf, number, "enabled", INT, .help = "A number")
#elif defined(BAD_ENUM)
#undef OPTIONS
#define OPTIONS CH_OPT(struct bad_conf, word, ENUM, .def = "c", .values = words, .help = "A word")
#elif defined(BAD_ENUM_EMPTY)
#undef OPTIONS
#define OPTIONS CH_OPT(struct bad_conf, word, ENUM, .help = "A word")
#elif defined(BAD_ENUM_TWICE)
#undef OPTIONS
#define OPTIONS CH_OPT(struct bad_conf, word, ENUM, .def = "a", .values = words_twice, .help = "A word")
#elif defined(BAD_SERVICE_OPTION)
#undef OPTIONS
#define OPTIONS CH_OPT(struct bad_conf, service, SERVICE, .help = "A backend")
#elif defined(BAD_WATCH)
#undef OPTIONS
#define OPTIONS NUMBER(.def = "1", .flags = CH_O_WATCH)
#elif defined(BAD_RELOAD)
#undef OPTIONS
#define OPTIONS NUMBER(.def = "1", .flags = CH_O_RELOAD | CH_O_RESTART)
#elif defined(BAD_FLAG)
#undef OPTIONS
#define OPTIONS NUMBER(.def = "1", .flags = 1u << 30)
#elif defined(BAD_UNIT)
#undef OPTIONS
#define OPTIONS NUMBER(.def = "1", .env = "BAD_NUMBER:ms")
#elif defined(BAD_VARIABLE)
#undef OPTIONS
#define OPTIONS NUMBER(.def = "1", .env = "bad-number")
#elif defined(BAD_NO_HELP)
#undef OPTIONS
#define OPTIONS CH_OPT(struct bad_conf, number, INT, .def = "1")
#elif defined(BAD_SECRET)
#undef OPTIONS
#define OPTIONS TEXT(.def = "hunter2", .flags = CH_O_SECRET)
#elif defined(BAD_PATTERN)
#undef ROUTE_PATTERN
#define ROUTE_PATTERN .pattern = "/v1/{bad"
#elif defined(BAD_PATTERN_OPTION)
#undef ROUTE_PATTERN
#define ROUTE_PATTERN .pattern_option = "number"
#elif defined(BAD_METHOD)
#define ROUTE_METHOD "FETCH"
#elif defined(BAD_NO_SUMMARY)
#undef ROUTE_REST
#define ROUTE_REST .summary = NULL
#elif defined(BAD_SCHEMA)
#undef ROUTE_REST
#define ROUTE_REST .summary = "Answer", .response_schema = "{\"type\":\"object\",}"
#elif defined(BAD_CLASS)
#undef ROUTE_REST
#define ROUTE_REST .summary = "Answer", .cls = 7
#elif defined(BAD_BODY)
#undef ROUTE_REST
#define ROUTE_REST .summary = "Answer", .body = 7
#endif
#ifndef ROUTE_METHOD
#define ROUTE_METHOD "GET"
#endif

static int on_bad(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
#ifdef BAD_ABORT
	abort();
#endif
	return ch_respond(c, 200, "text/plain", ANSWER, sizeof(ANSWER) - 1);
}

static int on_end(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	(void)c;
	return CH_OK;
}

static const struct ch_option options[] = { OPTIONS };
static const struct ch_route routes[] = {
	{ .method = ROUTE_METHOD, ROUTE_PATTERN, .fn = on_bad, ROUTE_REST },
#ifdef BAD_TWO_ROUTES
	{ .method = ROUTE_METHOD, ROUTE_PATTERN, .fn = on_bad, ROUTE_REST },
#endif
};

/* ---- other tables ---- */

#if defined(BAD_PHASE)
static const struct ch_hook hooks[] = { { .phase = 12, .fn = on_end } };
#elif defined(BAD_BAND)
static const struct ch_hook hooks[] = { { .phase = CH_P_END, .band = 5, .fn = on_end } };
#elif defined(BAD_NO_HOOK)
static const struct ch_hook hooks[] = { { .phase = CH_P_END } };
#elif defined(BAD_AFTER)
static const struct ch_hook hooks[] = { { .phase = CH_P_END, .after = "Some Thing", .fn = on_end } };
#elif defined(BAD_BOTH_WAYS)
static const struct ch_hook hooks[] = { { .phase = CH_P_END, .after = "trace, auth", .before = "auth", .fn = on_end } };
#else
static const struct ch_hook hooks[] = { { .phase = CH_P_END, .fn = on_end } };
#endif

#if defined(BAD_METRIC)
static const struct ch_metric metrics[] = { { .name = "bad_things", .kind = CH_COUNTER, .help = "Things." } };
#elif defined(BAD_TWO_METRICS)
static const struct ch_metric metrics[] = { { .name = "bad_total", .kind = CH_COUNTER, .help = "Things." },
	{ .name = "bad_total", .kind = CH_COUNTER, .help = "Things." } };
#elif defined(BAD_FOREIGN_METRIC)
static const struct ch_metric metrics[] = { { .name = "http_requests_total", .kind = CH_COUNTER, .help = "Things." } };
#elif defined(BAD_METRIC_NAME)
static const struct ch_metric metrics[] = { { .name = "things_total", .kind = CH_COUNTER, .help = "Things." } };
#else
static const struct ch_metric metrics[] = { { .name = "bad_total", .kind = CH_COUNTER, .help = "Things." } };
#endif

static int submit(const struct ch_svc *s, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
	struct ch_inference_result *out, ch_ticket t)
{
	(void)s;
	(void)c;
	(void)args;
	(void)sink;
	(void)out;
	(void)t;
	return CH_ERROR;
}
static const struct ch_inference_v1 lame = { .size = sizeof(lame), .submit = submit };
static const struct ch_inference_v1 sizeless = { .submit = submit };
#if defined(BAD_IFACE)
static const struct ch_provide provides[] = { { .iface = "inference", .vt = &lame } };
#elif defined(BAD_NO_VTABLE)
static const struct ch_provide provides[] = { { .iface = "thing/1" } };
#elif defined(BAD_VTABLE_SIZE)
static const struct ch_provide provides[] = { { .iface = "inference/1", .vt = &sizeless } };
#elif defined(BAD_VTABLE)
static const struct ch_provide provides[] = { { .iface = "inference/1", .vt = &lame } };
#else
#define NO_SERVICE
#endif

static int on_check(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	(void)self;
	(void)c;
	out->health = CH_HEALTHY;
	return CH_OK;
}
static const struct ch_check checks[] = {
#ifdef BAD_CHECK
	{ .name = "Disk Space", .critical = 5, .fn = on_check },
#else
	{ .name = "disk", .fn = on_check },
#endif
};

static const struct ch_cron crons[] = {
#if defined(BAD_WHEN)
	{ .name = "tick", .when = "every day", .fn = on_end },
#elif defined(BAD_NEVER)
	{ .name = "tick", .when = "0 0 30 2 *", .fn = on_end },
#elif defined(BAD_WHEN_OPTION)
	{ .name = "tick", .when_option = "number", .fn = on_end },
#else
	{ .name = "tick", .when = "5m", .fn = on_end },
#endif
};

static int on_command(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)c;
	(void)argc;
	(void)argv;
	return CH_OK;
}
static const struct ch_command commands[] = {
#if defined(BAD_MODES)
	{ .name = "say", .summary = "Say", .fn = on_command },
#elif defined(BAD_ARGUMENTS)
	{ .name = "say", .modes = CH_LIVE, .args = "A", .min_args = 2, .max_args = 1, .summary = "Say", .fn = on_command },
#else
	{ .name = "say", .modes = CH_LIVE, .summary = "Say", .fn = on_command },
#endif
};

static bool on_fault(struct ch_self *self, struct ch_ctx *c, struct ch_fault *out)
{
	(void)self;
	(void)c;
	(void)out;
	return false;
}
static const struct ch_seam seams[] = {
#ifdef BAD_SEAM
	{ .seam = CH_SEAMS, .fn = on_fault },
#else
	{ .seam = CH_S_KV, .fn = on_fault },
#endif
};

/* ---- tables that are shorter or longer than ours ---- */

#if defined(BAD_SHORT_ROWS)
#define HOOKS { hooks, 1, sizeof(hooks[0]) - 8 }
#elif defined(BAD_LONG_ROWS)
static const struct { struct ch_hook hook; void *more; } long_hooks[] = { { .hook = { .phase = CH_P_END, .fn = on_end } } };
#define HOOKS CH_TABLE(long_hooks)
#elif defined(BAD_NO_ROWS)
#define HOOKS { NULL, 3, sizeof(hooks[0]) }
#elif defined(BAD_WILD_ROWS)
#define HOOKS { (const void *)(uintptr_t)16, 3, sizeof(hooks[0]) }
#elif defined(BAD_POINTER)
static const struct ch_hook *pointer = hooks;
#define HOOKS { hooks, sizeof(pointer) / sizeof(pointer[0]), sizeof(pointer[0]) }
#else
#define HOOKS CH_TABLE(hooks)
#endif

static const struct ch_plugin bad = {
#if defined(BAD_SHORT)
	.size = sizeof(bad) - 16,
#elif defined(BAD_TINY)
	.size = 8,
#elif defined(BAD_LONG)
	.size = sizeof(bad) + 64,
#else
	.size = sizeof(bad),
#endif
	.abi_major = CH_ABI_MAJOR,
#ifdef BAD_ABI
	.abi_minor = CH_ABI_MINOR + 1,
#else
	.abi_minor = CH_ABI_MINOR,
#endif
#ifdef BAD_NAME
	.name = "worse",
#else
	.name = "bad",
#endif
	.version = "1",
	.summary = "Has a mistake",
	.conf_size = sizeof(struct bad_conf),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.hooks = HOOKS,
	.routes = CH_TABLE(routes),
#ifndef NO_SERVICE
	.provides = CH_TABLE(provides),
#endif
	.checks = CH_TABLE(checks),
	.crons = CH_TABLE(crons),
	.commands = CH_TABLE(commands),
	.seams = CH_TABLE(seams),
};

#if defined(BAD_CONSTRUCTOR)
__attribute__((constructor)) static void before(void)
{
	*(volatile int *)16 = 1;
}
#endif
#if defined(BAD_EXPORT)
__attribute__((visibility("default"))) int bad_helper;
#elif defined(BAD_MISSING)
extern int nowhere_at_all(void);
__attribute__((used)) static int (*missing)(void) = nowhere_at_all;
#elif defined(BAD_BY_ACCIDENT)
extern const char *lt_dlerror(void);
__attribute__((used)) static const char *(*accident)(void) = lt_dlerror;
#endif

#if defined(BAD_CRASH) || defined(BAD_HANG) || defined(BAD_EXIT) || defined(BAD_NULL)
CH_HOST_DEF_ CH_HIDDEN_ const struct ch_host *ch_host_;
__attribute__((visibility("default"))) const struct ch_plugin *ch_plugin_v1(const struct ch_host *host);
const struct ch_plugin *ch_plugin_v1(const struct ch_host *host)
{
	ch_host_ = host;
#if defined(BAD_CRASH)
	*(volatile int *)16 = 1;
#elif defined(BAD_HANG)
	for (;;)
		pause();
#elif defined(BAD_EXIT)
	exit(3);
#endif
	return sizeof(bad) ? NULL : &bad;
}
#elif !defined(BAD_NO_ENTRY)
CH_PLUGIN(bad, bad)
#endif
