/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/log/log.h - log lines: formatted by the caller, carried by a ring, written by a thread of its own.
 *
 * No caller ever waits for the target: a line that does not fit into the ring is dropped and counted in chimera_log_dropped_total, and when
 * there is room again one line says how many are missing. A line is one event whatever bytes it holds: text is escaped, invalid UTF-8
 * becomes U+FFFD, and a field that would take more than 1 KiB is cut and ends in "…". Before chi_log_start and after chi_log_stop lines go
 * straight to stderr as text.
 *
 * Formats: json  {"ts":"2026-11-21T06:00:00.123456Z","lvl":"info","msg":"…","plugin":"…","req_id":"…","trace_id":"…", more fields}
 *          text  06:00:00.123 INFO  plugin: message key=value      (UTC)
 * and, when the target is stderr and stderr is the journal's (JOURNAL_STREAM), journald's own datagrams whatever the format says.
 *
 * Every function may be called from every thread unless it says otherwise; none is for signal handlers.
 */
#ifndef CHI_LOG_H
#define CHI_LOG_H

#include "core/chi.h"

enum chi_log_format { CHI_LOG_JSON = 0, CHI_LOG_TEXT };

struct chi_log_setup {
	int level;           /* enum ch_level: the least that is written */
	int format;          /* enum chi_log_format */
	const char *target;  /* "stderr", "stdout" or a file's path, which is made if need be; copied */
	size_t ring;         /* bytes between callers and writer, rounded up to a power of two; 0: 1 MiB */
	const char *journal; /* journald's socket; NULL: /run/systemd/journal/socket; copied */
};

/*
 * Opens the target and starts the writer. False: err holds one sentence, and lines go on to stderr. Once at a time, on the boot or main
 * thread, before privileges are dropped. A closed stderr is no error: lines are counted as dropped.
 */
bool chi_log_start(const struct chi_log_setup *conf, char *err, size_t nerr);
/*
 * Opens a target that is a file again, by its name: after logrotate moved it. Lines logged from now on go there; if it cannot be opened
 * the old one stays.
 */
void chi_log_reopen(void);
/* Waits until all lines logged before are with the kernel, at most timeout_ms. False: they are not. Blocks: never on a loop. */
bool chi_log_flush(int timeout_ms);
/*
 * Flushes for at most timeout_ms and ends the writer; what is left is lost, counted. The caller sees to it that no other thread logs any
 * more.
 */
void chi_log_stop(int timeout_ms);

extern int chi_log_least; /* read and written atomically, by the two below */
static inline void chi_log_level_set(int level) { __atomic_store_n(&chi_log_least, level, __ATOMIC_RELAXED); }
/* Would a line of this level be written? */
static inline bool chi_log_on(int level) { return level >= __atomic_load_n(&chi_log_least, __ATOMIC_RELAXED); }

/* ---- a line from a format ---- */

enum chi_log_type { CHI_LOG_STR = 1, CHI_LOG_INT, CHI_LOG_DOUBLE, CHI_LOG_BOOL };
struct chi_log_kv {
	const char *key;     /* lower snake case with dots: "http.route"; never from outside */
	int type;            /* enum chi_log_type */
	union {
		struct ch_str s;
		int64_t i;
		double d;
		bool b;
	};
};
struct chi_log_fields {  /* what is NULL or empty is left out */
	const char *plugin, *req_id, *trace_id;
	const struct chi_log_kv *kv;
	size_t nkv;
};

/* Logs one line, if the level is on. fields may be NULL. */
void chi_log(int level, const struct chi_log_fields *fields, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void chi_vlog(int level, const struct chi_log_fields *fields, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

/* ---- a line by hand, for the request path: begin, any fields in any order, end ---- */

#define CHI_LINE_MAX 8192 /* a field that does not fit any more is left out, and the line says "cut":true */

struct chi_line { /* on the caller's stack; not to be looked into */
	size_t n;
	int level, style;
	bool cut;
	char buf[CHI_LINE_MAX];
};

/* The level is not looked at: ask chi_log_on first. plugin may be NULL. */
void chi_line_begin(struct chi_line *l, int level, const char *plugin, const char *msg, size_t n);
/* Internal: the key with its length. */
void chi_line_str_(struct chi_line *l, const char *key, size_t nkey, const char *p, size_t n);
void chi_line_int_(struct chi_line *l, const char *key, size_t nkey, int64_t v);
void chi_line_micros_(struct chi_line *l, const char *key, size_t nkey, int64_t us);
/* `key` as in chi_log_kv; p NULL or n 0: nothing is written. */
static inline void chi_line_str(struct chi_line *l, const char *key, const char *p, size_t n) { chi_line_str_(l, key, strlen(key), p, n); }
static inline void chi_line_int(struct chi_line *l, const char *key, int64_t v) { chi_line_int_(l, key, strlen(key), v); }
/* Microseconds, written as seconds: 0.001234. */
static inline void chi_line_micros(struct chi_line *l, const char *key, int64_t us) { chi_line_micros_(l, key, strlen(key), us); }
void chi_line_double(struct chi_line *l, const char *key, double v); /* null if not finite; slower than the others */
void chi_line_bool(struct chi_line *l, const char *key, bool v);
/* Ends the line and sends it on its way. */
void chi_line_end(struct chi_line *l);

#endif
