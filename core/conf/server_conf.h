/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/conf/server_conf.h - [server] and [log]: the daemon's own sections, described by the same tables as those of plugins.
 *
 * The structs belong to a struct chi_conf and are read-only from its load on. Times are milliseconds, sizes bytes.
 */
#ifndef CHI_SERVER_CONF_H
#define CHI_SERVER_CONF_H

#include "core/log/log.h"

#ifndef CHIMERA_PLUGIN_DIR
#define CHIMERA_PLUGIN_DIR "/usr/lib/chimera/plugins"
#endif
#ifndef CHIMERA_RUN_DIR
#define CHIMERA_RUN_DIR "/run/chimera"
#endif
#ifndef CHIMERA_STATE_DIR
#define CHIMERA_STATE_DIR "/var/lib/chimera"
#endif

enum chi_profile { CHI_PROFILE_PROD = 0, CHI_PROFILE_DEV, CHI_PROFILE_CI };
const char *chi_profile_name(int profile);

struct chi_server_conf {
	struct ch_list listen, status_listen, admin_listen; /* "host:port", "[v6]:port", "*:port", "unix:/path"; empty: off */
	const char *control;              /* absolute path of the control socket; empty: none */
	int64_t workers;                  /* 1 to 64; 0: auto */
	const char *workers_text;         /* the same as it was written */
	int profile;                      /* enum chi_profile */
	bool open_access;
	struct ch_list include;           /* as written last; already read */
	const char *plugin_dir, *state_dir; /* absolute */
	const char *user;                 /* empty: stay who we are */
	struct ch_list trusted_proxies;   /* addresses or networks "10.0.0.0/8", checked */
	int64_t max_connections, max_connections_per_ip; /* per_ip 0: no limit */
	int64_t max_request_line, max_header_field, max_header_bytes, max_header_fields, max_body_bytes, max_buffered_bytes;
	int64_t stream_high, stream_low;
	int64_t half_close_grace;         /* -1: wait */
	int64_t header_timeout, body_timeout, write_timeout, keepalive_timeout;
	int64_t startup_step_timeout, startup_check_timeout;
	bool startup_vendor_pings;
	int64_t drain_delay, drain_timeout;
	int64_t max_metric_series;
	int64_t offload_threads;
	int64_t hook_budget;              /* a call into a plugin that takes longer is named; 0: none is */
	int64_t watch_interval;           /* between two calls of chi_conf_stale; -1: none */
	bool core_dumps;                  /* may a crash leave a core file? */
};

enum chi_log_access { CHI_ACCESS_ALL = 0, CHI_ACCESS_ERRORS, CHI_ACCESS_OFF };
struct chi_log_conf {
	int level;                        /* enum ch_level */
	const char *target;               /* as written: "stderr", … */
	int format;                       /* enum chi_log_format */
	int access;                       /* enum chi_log_access */
};

/* The two sections as plugins would describe theirs: name, summary, conf_size and options are set, nothing else. */
extern const struct ch_plugin chi_server_section, chi_log_section;

/*
 * What the tables cannot say: workers, addresses, networks, limits that hang together. Fills conf->workers. Calls fail(arg, key,
 * sentence) for each thing that is wrong.
 */
void chi_server_conf_check(struct chi_server_conf *conf, void (*fail)(void *arg, const char *key, const char *sentence), void *arg);

#endif
