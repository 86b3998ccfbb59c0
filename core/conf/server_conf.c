/* SPDX-License-Identifier: Apache-2.0 */
/* server_conf.c - [server] and [log]. */
#include <chimera/kit/net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/address.h"
#include "core/conf/server_conf.h"

#ifndef CHIMERA_VERSION
#define CHIMERA_VERSION "0"
#endif

static const char *const profiles[] = { "prod", "dev", "ci", NULL };
static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const formats[] = { "json", "text", NULL };
static const char *const accesses[] = { "all", "errors", "off", NULL };

const char *chi_profile_name(int profile)
{
	return profiles[profile];
}

#define OPT(field, T, ...) CH_OPT(struct chi_server_conf, field, T, __VA_ARGS__)

/*
 * state_dir stands before what is relative to it. CH_O_RESTART: what a running server keeps; of all else a reload takes the new value, also
 * of what has its effect at the start only.
 */
static const struct ch_option server_options[] = {
	OPT(listen, LIST, .def = "127.0.0.1:8080", .flags = CH_O_RESTART | CH_O_OFF,
		.help = "Addresses that serve clients: IP:port, [IPv6]:port, *:port or unix:/path; port 0 picks a free one"),
	OPT(status_listen, LIST, .flags = CH_O_RESTART | CH_O_OFF,
		.help = "Addresses of the status listener: probes and metrics; read-only, on a thread of its own"),
	OPT(admin_listen, LIST, .flags = CH_O_RESTART | CH_O_OFF,
		.help = "Addresses of the admin listener: an admin key always, which no plugin of this version gives"),
	OPT(state_dir, PATH, .def = "${STATE_DIRECTORY:-" CHIMERA_STATE_DIR "}", .flags = CH_O_RESTART | CH_O_REQUIRED,
		.help = "Folder of the daemon's data"),
	OPT(control, DATA, .def = CHIMERA_RUN_DIR "/control.sock", .dev_def = "control.sock", .flags = CH_O_RESTART | CH_O_OFF,
		.help = "Path of the control socket that chimeractl speaks to; relative to state_dir"),
	CH_OPT_AS(struct chi_server_conf, workers_text, "workers", STR, .def = "auto", .flags = CH_O_RESTART,
		.help = "Worker threads, 1 to 64; auto: the least of affinity and cgroup quota"),
	OPT(profile, ENUM, .def = "prod", .values = profiles, .flags = CH_O_RESTART,
		.help = "Kind of deployment; CI=1 in the environment gives ci where none is set"),
	OPT(open_access, BOOL, .flags = CH_O_RELOAD,
		.help = "Allow a public listener without [auth], or with anonymous requests, in the profile prod"),
	OPT(include, LIST, .flags = CH_O_RELOAD,
		.help = "Files read where this key stands, patterns in name order; relative to the file that names them"),
	OPT(plugin_dir, PATH, .def = CHIMERA_PLUGIN_DIR, .flags = CH_O_RESTART | CH_O_REQUIRED, .help = "Folder of the plugins"),
	OPT(user, STR, .flags = CH_O_RESTART, .help = "User to become if started as root; empty: stay"),
	OPT(trusted_proxies, LIST, .flags = CH_O_RELOAD, .help = "Addresses or networks whose X-Forwarded-For and traceparent count"),
	OPT(max_connections, INT, .def = "65536", .min = "1", .max = "1000000", .flags = CH_O_RELOAD, .help = "Open client connections"),
	OPT(max_connections_per_ip, INT, .def = "0", .min = "0", .flags = CH_O_RELOAD,
		.help = "Open client connections of one address; 0: no limit"),
	OPT(max_request_line, SIZE, .def = "8k", .min = "256", .max = "1m", .flags = CH_O_RELOAD, .help = "Longest request line"),
	OPT(max_header_field, SIZE, .def = "16k", .min = "256", .max = "1m", .flags = CH_O_RELOAD, .help = "Longest header field"),
	OPT(max_header_bytes, SIZE, .def = "64k", .min = "1k", .max = "16m", .flags = CH_O_RELOAD, .help = "Largest request head"),
	OPT(max_header_fields, INT, .def = "100", .min = "1", .max = "10000", .flags = CH_O_RELOAD,
		.help = "Most header fields of a request"),
	OPT(max_body_bytes, SIZE, .def = "32m", .min = "0", .flags = CH_O_RELOAD,
		.help = "Largest request body of a route that sets no limit of its own"),
	OPT(max_buffered_bytes, SIZE, .def = "512m", .min = "1m", .flags = CH_O_RELOAD,
		.help = "Request bodies held by the process at once"),
	OPT(stream_high, SIZE, .def = "256k", .min = "1k", .flags = CH_O_RELOAD,
		.help = "Waiting bytes of an answer above which its producer waits"),
	OPT(stream_low, SIZE, .def = "64k", .min = "0", .flags = CH_O_RELOAD,
		.help = "Waiting bytes of an answer at which its producer goes on"),
	OPT(half_close_grace, DURATION, .def = "1s", .flags = CH_O_RELOAD | CH_O_OFF,
		.help = "Time between a client's FIN before the first byte of the answer and giving up; 0s: at once, off: wait"),
	OPT(header_timeout, DURATION, .def = "10s", .min = "1ms", .flags = CH_O_RELOAD, .help = "Time for a request's head"),
	OPT(body_timeout, DURATION, .def = "30s", .min = "1ms", .flags = CH_O_RELOAD, .help = "Time without progress of a request's body"),
	OPT(write_timeout, DURATION, .def = "30s", .min = "1ms", .flags = CH_O_RELOAD,
		.help = "Time without progress of an answer that the client does not read"),
	OPT(keepalive_timeout, DURATION, .def = "75s", .min = "0", .flags = CH_O_RELOAD, .help = "Time that an idle connection is kept"),
	OPT(startup_step_timeout, DURATION, .def = "10s", .min = "1ms", .env = "STARTUP_STEP_TIMEOUT:s", .flags = CH_O_RELOAD,
		.help = "Time for one step of the start"),
	OPT(startup_check_timeout, DURATION, .def = "5s", .min = "1ms", .env = "STARTUP_CHECK_TIMEOUT:s", .flags = CH_O_RELOAD,
		.help = "Time for one health check"),
	OPT(startup_vendor_pings, BOOL, .env = "STARTUP_VENDOR_PINGS", .flags = CH_O_RELOAD,
		.help = "Ask the backends at start, where a backend can be asked; never fails the start"),
	OPT(drain_delay, DURATION, .def = "5s", .dev_def = "0s", .flags = CH_O_RELOAD,
		.help = "Time after SIGTERM of being not ready and still serving"),
	OPT(drain_timeout, DURATION, .def = "25s", .flags = CH_O_RELOAD, .help = "Time from SIGTERM to the end, the delay included"),
	OPT(max_metric_series, INT, .def = "10000", .min = "1000", .max = "1000000", .flags = CH_O_RESTART,
		.help = "Series of labelled metrics in all; past it a label is \"other\""),
	OPT(hook_budget, DURATION, .def = "5ms", .min = "0s", .flags = CH_O_RELOAD,
		.help = "Time for a call into a plugin; one that takes longer is named in the log; 0s: no budget"),
	OPT(watch_interval, DURATION, .def = "500ms", .min = "100ms", .flags = CH_O_RELOAD | CH_O_OFF,
		.help = "Time between two looks at the files that are watched; a change reloads the configuration; off: never looked at"),
	OPT(offload_threads, INT, .def = "4", .min = "1", .max = "64", .flags = CH_O_RESTART, .help = "Threads for work that blocks"),
	OPT(core_dumps, BOOL, .def = "no", .flags = CH_O_RESTART,
		.help = "Let a crash leave a core file, which holds what clients have sent; secrets of the config are kept out of it as far as can be"),
};

#undef OPT
#define OPT(field, T, ...) CH_OPT(struct chi_log_conf, field, T, __VA_ARGS__)

static const struct ch_option log_options[] = {
	OPT(level, ENUM, .def = "info", .values = levels, .flags = CH_O_RELOAD, .help = "Least level that is written"),
	OPT(target, STR, .def = "stderr", .flags = CH_O_RESTART | CH_O_REQUIRED,
		.help = "Where lines go: stderr, stdout, or a file below state_dir or by its whole path"),
	OPT(format, ENUM, .def = "json", .values = formats, .flags = CH_O_RESTART, .help = "Form of a line"),
	OPT(access, ENUM, .def = "errors", .values = accesses, .flags = CH_O_RELOAD,
		.help = "Which requests get a line: all, those answered 4xx or 5xx or cut, or none"),
};

const struct ch_plugin chi_server_section = {
	.size = sizeof(struct ch_plugin),
	.name = "server",
	.version = CHIMERA_VERSION,
	.summary = "The daemon itself: listeners, limits, times",
	.conf_size = sizeof(struct chi_server_conf),
	.options = CH_TABLE(server_options),
};
const struct ch_plugin chi_log_section = {
	.size = sizeof(struct ch_plugin),
	.name = "log",
	.version = CHIMERA_VERSION,
	.summary = "The log",
	.conf_size = sizeof(struct chi_log_conf),
	.options = CH_TABLE(log_options),
};

/* A whole decimal number from 0 to most, or -1. */
static long number(const char *s, long most)
{
	long v = 0;

	if (!*s || strlen(s) > 6)
		return -1;
	for (; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (*s - '0');
	return *s || v > most ? -1 : v;
}

/* Each gives one sentence about what is wrong. */
static bool is_address(const char *s, char *why, size_t cap)
{
	struct chi_listen_addr a;

	return chi_listen_parse(s, &a, why, cap);
}

static bool is_network(const char *s, char *why, size_t cap)
{
	struct ch_net net;

	snprintf(why, cap, "write addresses and networks such as 10.0.0.1, 10.0.0.0/8 or fd00::/8");
	return ch_net_read(s, strlen(s), &net);
}

static void check_list(const struct ch_list *l, bool (*good)(const char *, char *, size_t), const char *key,
		       void (*fail)(void *, const char *, const char *), void *arg)
{
	char why[256], text[400];

	for (size_t i = 0; i < l->n; i++) {
		if (good(l->v[i].p, why, sizeof(why)))
			continue;
		snprintf(text, sizeof(text), "holds \"%.80s\": %s", l->v[i].p, why);
		fail(arg, key, text);
	}
}

void chi_server_conf_check(struct chi_server_conf *c, void (*fail)(void *arg, const char *key, const char *sentence), void *arg)
{
	long n = 0;

	if (strcmp(c->workers_text, "auto")) {
		n = number(c->workers_text, CHI_MAX_LOOPS - 1);
		if (n < 1)
			fail(arg, "workers", "is no number of workers; write auto, or a whole number from 1 to 64");
	}
	c->workers = n;
	check_list(&c->listen, is_address, "listen", fail, arg);
	check_list(&c->status_listen, is_address, "status_listen", fail, arg);
	check_list(&c->admin_listen, is_address, "admin_listen", fail, arg);
	check_list(&c->trusted_proxies, is_network, "trusted_proxies", fail, arg);
	if (c->stream_low >= c->stream_high)
		fail(arg, "stream_low", "is not below stream_high; a producer that waits could never go on: lower it");
	if (c->drain_delay > c->drain_timeout)
		fail(arg, "drain_delay", "is longer than drain_timeout, which holds the delay too; lower it, or raise drain_timeout");
	if (c->max_body_bytes > c->max_buffered_bytes)
		fail(arg, "max_body_bytes",
			"is larger than max_buffered_bytes, so such a body would never be taken; lower it, or raise max_buffered_bytes");
}
