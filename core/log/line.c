/* SPDX-License-Identifier: Apache-2.0 */
/* line.c - one event as one line: JSON, text or the fields of a journal datagram. By hand, because sprintf costs nine times as much. */
#include <stdio.h>
#include <time.h>

#include "core/log/ring.h"
#include "chimera/kit/json.h"
#include "sdk/kit/json_text.h"

#define FIELD_MAX 1024 /* bytes of a field as written, without the "…" */
#define TAIL 24        /* kept free behind the fields: `,"cut":true}` and the newline */

int chi_log_least = CH_INFO;

/* ---- bytes ---- */

static void put(struct chi_line *l, const char *p, size_t n)
{
	memcpy(l->buf + l->n, p, n);
	l->n += n;
}

static void put_cstr(struct chi_line *l, const char *s)
{
	put(l, s, strlen(s));
}

static void put_char(struct chi_line *l, char c)
{
	l->buf[l->n++] = c;
}

static void put_uint(struct chi_line *l, uint64_t v)
{
	char digits[20], *p = digits + sizeof(digits);

	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	put(l, p, (size_t)(digits + sizeof(digits) - p));
}

/* v in exactly n digits. */
static void digits(char *to, unsigned v, int n)
{
	while (n--) {
		to[n] = (char)('0' + v % 10);
		v /= 10;
	}
}

/* Is there room for a field of n bytes of text, each of which may become six? If not the line is cut from here on. */
static bool room(struct chi_line *l, size_t nkey, size_t n)
{
	size_t most = n < FIELD_MAX / 6 ? n * 6 : FIELD_MAX + 3;

	if (nkey + most + 32 + TAIL <= CHI_LINE_MAX - l->n)
		return true;
	l->cut = true;
	return false;
}

/* ---- text from outside ---- */

/* What stands for the byte or sequence of n bytes at p, which json_plain stopped at; out holds 6 bytes. Returns its length. */
static size_t escape(const char *p, size_t n, bool quoted, char *out)
{
	static const char hex[] = "0123456789abcdef", names[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	unsigned char c = (unsigned char)p[0];
	const char *name;

	if ((c == '"' || c == '\\') && !quoted) {
		out[0] = (char)c;
		return 1;
	}
	name = c ? strchr(names, c) : NULL;
	if (name) {
		out[0] = '\\';
		out[1] = letters[name - names];
		return 2;
	}
	if (c >= 0x80 && !(c == 0xc2 && n == 2 && (unsigned char)p[1] < 0xa0)) {
		memcpy(out, p, n);
		return n;
	}
	if (c >= 0x80) /* U+0080 to U+009F: control characters to a terminal */
		c = (unsigned char)p[1];
	memcpy(out, "\\u00", 4);
	out[4] = hex[c >> 4];
	out[5] = hex[c & 15];
	return 6;
}

/* quoted: a quote and a backslash are escaped, too. Cut at FIELD_MAX bytes, never inside a character or an escape. */
static void put_text(struct chi_line *l, const char *p, size_t n, bool quoted)
{
	size_t left = FIELD_MAX, i = 0, len, take;
	char out[6];

	while (i < n) {
		take = json_plain(p + i, n - i < left ? n - i : left);
		put(l, p + i, take);
		i += take;
		left -= take;
		if (i == n)
			return;
		take = (unsigned char)p[i] < 0x80 ? 1 : json_utf8(p + i, n - i);
		if (take) {
			len = escape(p + i, take, quoted, out);
		} else {
			take = 1;
			len = 3;
			memcpy(out, "\xef\xbf\xbd", 3); /* U+FFFD */
		}
		if (len > left) {
			put(l, "\xe2\x80\xa6", 3); /* … */
			return;
		}
		put(l, out, len);
		left -= len;
		i += take;
	}
}

/* ---- fields ---- */

/* The name of a field and what follows it, up to the value. */
static void put_key(struct chi_line *l, const char *key, size_t nkey)
{
	switch (l->style) {
	case CHI_STYLE_JSON:
		put(l, ",\"", 2);
		put(l, key, nkey);
		put(l, "\":", 2);
		break;
	case CHI_STYLE_TEXT:
		put_char(l, ' ');
		put(l, key, nkey);
		put_char(l, '=');
		break;
	default:
		put_cstr(l, "CHIMERA_");
		if (!strcmp(key, "req_id"))
			key = "request_id";
		for (; *key; key++)
			put_char(l, *key >= 'a' && *key <= 'z' ? (char)(*key - 'a' + 'A') : *key >= '0' && *key <= '9' ? *key : '_');
		put_char(l, '=');
	}
}

static void put_value_end(struct chi_line *l)
{
	if (l->style == CHI_STYLE_JOURNAL)
		put_char(l, '\n');
}

/* May the value stand in a text line without quotes? */
static bool is_word(const char *p, size_t n)
{
	return n <= FIELD_MAX && json_plain(p, n) == n && !memchr(p, ' ', n) && !memchr(p, '=', n);
}

void chi_line_str_(struct chi_line *l, const char *key, size_t nkey, const char *p, size_t n)
{
	if (!p || !n || !room(l, nkey, n))
		return;
	put_key(l, key, nkey);
	if (l->style == CHI_STYLE_JOURNAL || (l->style == CHI_STYLE_TEXT && is_word(p, n))) {
		put_text(l, p, n, false);
	} else {
		put_char(l, '"');
		put_text(l, p, n, true);
		put_char(l, '"');
	}
	put_value_end(l);
}

void chi_line_int_(struct chi_line *l, const char *key, size_t nkey, int64_t v)
{
	if (!room(l, nkey, 4))
		return;
	put_key(l, key, nkey);
	if (v < 0)
		put_char(l, '-');
	put_uint(l, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
	put_value_end(l);
}

void chi_line_double(struct chi_line *l, const char *key, double v)
{
	char text[40];
	struct ch_jw w;

	if (!room(l, strlen(key), 5))
		return;
	ch_jw_init(&w, text, sizeof(text));
	ch_jw_double(&w, v);
	put_key(l, key, strlen(key));
	put(l, text, w.len);
	put_value_end(l);
}

void chi_line_bool(struct chi_line *l, const char *key, bool v)
{
	if (!room(l, strlen(key), 1))
		return;
	put_key(l, key, strlen(key));
	put_cstr(l, v ? "true" : "false");
	put_value_end(l);
}

void chi_line_micros_(struct chi_line *l, const char *key, size_t nkey, int64_t us)
{
	uint64_t abs = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
	char fraction[7] = ".";

	if (!room(l, nkey, 5))
		return;
	put_key(l, key, nkey);
	if (us < 0)
		put_char(l, '-');
	put_uint(l, abs / 1000000);
	digits(fraction + 1, (unsigned)(abs % 1000000), 6);
	put(l, fraction, 7);
	put_value_end(l);
}

/* ---- begin and end ---- */

/* The time now as 2026-11-21T06:00:00.123456, 26 bytes; the calendar is asked once a second. */
static void now_text(char *to)
{
	static __thread char second[19];
	static __thread time_t of = -1;
	struct timespec ts;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_sec != of) {
		gmtime_r(&ts.tv_sec, &tm);
		memcpy(second, "0000-00-00T00:00:00", 19);
		digits(second, (unsigned)(tm.tm_year + 1900), 4);
		digits(second + 5, (unsigned)tm.tm_mon + 1, 2);
		digits(second + 8, (unsigned)tm.tm_mday, 2);
		digits(second + 11, (unsigned)tm.tm_hour, 2);
		digits(second + 14, (unsigned)tm.tm_min, 2);
		digits(second + 17, (unsigned)tm.tm_sec, 2);
		of = ts.tv_sec;
	}
	memcpy(to, second, 19);
	to[19] = '.';
	digits(to + 20, (unsigned)(ts.tv_nsec / 1000), 6);
}

void chi_line_begin(struct chi_line *l, int level, const char *plugin, const char *msg, size_t n)
{
	static const char *const json[] = { "Z\",\"lvl\":\"debug\",\"msg\":\"", "Z\",\"lvl\":\"info\",\"msg\":\"",
		"Z\",\"lvl\":\"warn\",\"msg\":\"", "Z\",\"lvl\":\"error\",\"msg\":\"" };
	static const char *const text[] = { " DEBUG ", " INFO  ", " WARN  ", " ERROR " };
	static const char priority[] = "7643"; /* syslog's debug, info, warning, err */
	char now[26];

	level = level < CH_DEBUG ? CH_DEBUG : level > CH_ERR ? CH_ERR : level;
	l->n = 0;
	l->level = level;
	l->style = chi_log_style();
	l->cut = false;
	if (l->style == CHI_STYLE_JOURNAL) {
		put_cstr(l, "PRIORITY=");
		put_char(l, priority[level]);
		put_cstr(l, "\nSYSLOG_IDENTIFIER=chimerad\nMESSAGE=");
	} else {
		now_text(now);
		if (l->style == CHI_STYLE_JSON) {
			put(l, "{\"ts\":\"", 7);
			put(l, now, 26);
			put_cstr(l, json[level]);
			put_text(l, msg, n, true);
			put_char(l, '"');
			if (plugin)
				chi_line_str(l, "plugin", plugin, strlen(plugin));
			return;
		}
		put(l, now + 11, 12);
		put(l, text[level], 7);
	}
	if (plugin) {
		put_text(l, plugin, strlen(plugin), false);
		put(l, ": ", 2);
	}
	put_text(l, msg, n, false);
	put_value_end(l);
	if (plugin && l->style == CHI_STYLE_JOURNAL)
		chi_line_str(l, "plugin", plugin, strlen(plugin));
}

void chi_line_finish(struct chi_line *l)
{
	if (l->cut) {
		put_key(l, "cut", 3);
		put(l, "true", 4);
		put_value_end(l);
	}
	if (l->style == CHI_STYLE_JSON)
		put_char(l, '}');
	if (l->style != CHI_STYLE_JOURNAL)
		put_char(l, '\n');
}

void chi_line_end(struct chi_line *l)
{
	chi_line_finish(l);
	chi_log_push(l->buf, l->n);
}

/* ---- from a format ---- */

static void put_kv(struct chi_line *l, const struct chi_log_kv *kv)
{
	switch (kv->type) {
	case CHI_LOG_STR:
		chi_line_str(l, kv->key, kv->s.p, kv->s.n);
		break;
	case CHI_LOG_INT:
		chi_line_int(l, kv->key, kv->i);
		break;
	case CHI_LOG_DOUBLE:
		chi_line_double(l, kv->key, kv->d);
		break;
	case CHI_LOG_BOOL:
		chi_line_bool(l, kv->key, kv->b);
		break;
	}
}

void chi_vlog(int level, const struct chi_log_fields *fields, const char *fmt, va_list ap)
{
	char msg[FIELD_MAX + 64]; /* more than is written, so that a cut shows */
	struct chi_line l;
	size_t i;
	int n;

	if (!chi_log_on(level))
		return;
	n = vsnprintf(msg, sizeof(msg), fmt, ap);
	if (n < 0)
		n = 0;
	chi_line_begin(&l, level, fields ? fields->plugin : NULL, msg, (size_t)n < sizeof(msg) ? (size_t)n : sizeof(msg) - 1);
	if (fields) {
		if (fields->req_id)
			chi_line_str(&l, "req_id", fields->req_id, strlen(fields->req_id));
		if (fields->trace_id)
			chi_line_str(&l, "trace_id", fields->trace_id, strlen(fields->trace_id));
		for (i = 0; i < fields->nkv; i++)
			put_kv(&l, &fields->kv[i]);
	}
	chi_line_end(&l);
}

void chi_log(int level, const struct chi_log_fields *fields, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	chi_vlog(level, fields, fmt, ap);
	va_end(ap);
}
