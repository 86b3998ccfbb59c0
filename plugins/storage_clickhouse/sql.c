/* SPDX-License-Identifier: Apache-2.0 */
/* sql.c - see sql.h. All of it runs on ClickHouse 18.16, which has no parameters in its HTTP interface. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "sql.h"

/* ---- text ---- */

static bool room(struct click_text *t, size_t n)
{
	size_t cap = t->cap ? t->cap : 256;
	char *p;

	if (t->failed || n < t->cap - t->n)
		return !t->failed;
	while (cap - t->n <= n)
		cap *= 2;
	p = ch_alloc(t->c, cap);
	if (!p) {
		t->failed = true;
		return false;
	}
	if (t->n)
		memcpy(p, t->p, t->n);
	t->p = p;
	t->cap = cap;
	return true;
}

void click_text_add(struct click_text *t, const char *p, size_t n)
{
	if (!room(t, n))
		return;
	memcpy(t->p + t->n, p, n);
	t->n += n;
	t->p[t->n] = 0;
}

void click_text_print(struct click_text *t, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line))
		t->failed = true; /* all that is printed here is short */
	else
		click_text_add(t, line, (size_t)n);
}

void click_text_encode(struct click_text *t, const char *p, size_t n)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < n; i++) {
		unsigned char b = (unsigned char)p[i];
		char out[3] = { '%', hex[b >> 4], hex[b & 15] };

		if (isalnum(b) || memchr("._~-", b, 4))
			click_text_add(t, p + i, 1);
		else
			click_text_add(t, out, 3);
	}
}

void click_uuid_text(const unsigned char id[16], char out[37])
{
	static const char hex[] = "0123456789abcdef";
	char *to = out;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = hex[id[i] >> 4];
		*to++ = hex[id[i] & 15];
	}
	*to = 0;
}

long click_day(int64_t us)
{
	time_t s = us < 0 ? 0 : us / 1000000 > 4102444800 ? 4102444800 : us / 1000000;
	struct tm tm;

	gmtime_r(&s, &tm);
	return (tm.tm_year + 1900) * 10000L + (tm.tm_mon + 1) * 100 + tm.tm_mday;
}

static void hex_of(struct click_text *t, struct ch_str s)
{
	static const char hex[] = "0123456789ABCDEF";

	click_text_print(t, "unhex('");
	if (room(t, s.n * 2)) {
		for (size_t i = 0; i < s.n; i++) {
			t->p[t->n++] = hex[(unsigned char)s.p[i] >> 4];
			t->p[t->n++] = hex[(unsigned char)s.p[i] & 15];
		}
		t->p[t->n] = 0;
	}
	click_text_print(t, "')");
}

/* ---- statements ---- */

static void columns(struct click_text *t, const struct ch_relation *r)
{
	for (size_t i = 0; i < r->columns.n; i++)
		click_text_print(t, "%s`%s`", i ? "," : "", ch_column_at(r, i)->name);
}

void click_sql_shape(struct click_text *t, const char *table)
{
	click_text_print(t, "SELECT name,type FROM system.columns WHERE database=currentDatabase() AND table='%s' UNION ALL "
		"SELECT concat('@',name),'setting' FROM system.settings WHERE name IN "
		"('insert_deduplication_token','max_partitions_per_insert_block','async_insert') FORMAT TabSeparated", table);
}

void click_sql_insert(struct click_text *t, const struct ch_relation *r)
{
	click_text_print(t, "INSERT INTO `%s` (", r->name);
	columns(t, r);
	click_text_print(t, ",batch_id) FORMAT RowBinary");
}

void click_sql_running(struct click_text *t, const char *query_id)
{
	click_text_print(t, "SELECT count() FROM system.processes WHERE query_id='%s' FORMAT TabSeparated", query_id);
}

void click_sql_present(struct click_text *t, const struct ch_relation *r, const unsigned char batch_id[16], int64_t first, int64_t last)
{
	const char *when = ch_column_at(r, 1)->name;
	char id[37];

	click_uuid_text(batch_id, id);
	click_text_print(t, "SELECT DISTINCT row_id FROM `%s` WHERE `%s`>=toInt64('%" PRId64 "') AND `%s`<=toInt64('%" PRId64 "') "
		"AND batch_id=toUUID('%s') FORMAT RowBinary", r->name, when, first, when, last, id);
}

void click_sql_find(struct click_text *t, const struct ch_relation *r, size_t column, const struct ch_value *v, size_t limit)
{
	const char *when = ch_column_at(r, 1)->name;
	char id[37];

	click_text_print(t, "SELECT ");
	columns(t, r);
	click_text_print(t, " FROM `%s` WHERE `%s`=", r->name, ch_column_at(r, column)->name);
	if (v->type == CH_V_UUID) {
		click_uuid_text(v->u.uuid, id);
		click_text_print(t, "toUUID('%s')", id);
	} else {
		hex_of(t, v->u.s);
	}
	click_text_print(t, " ORDER BY `%s` DESC, row_id DESC LIMIT 1 BY row_id LIMIT %zu FORMAT RowBinary", when, limit);
}

void click_sql_days(struct click_text *t, const char *table, long before_day)
{
	click_text_print(t, "SELECT '@key',toString(startsWith(partition_key,'toYYYYMMDD(')) FROM system.tables "
		"WHERE database=currentDatabase() AND name='%s' UNION ALL SELECT partition,toString(sum(rows)) FROM system.parts "
		"WHERE active AND database=currentDatabase() AND table='%s' AND toInt64OrZero(partition)>0 "
		"AND toInt64OrZero(partition)<%ld GROUP BY partition FORMAT TabSeparated", table, table, before_day);
}

void click_sql_drop(struct click_text *t, const char *table, long day)
{
	click_text_print(t, "ALTER TABLE `%s` DROP PARTITION %ld", table, day);
}
