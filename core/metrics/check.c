/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - what a declaration of a metric may look like: the rules of Prometheus and what promtool would complain about. */
#include <stdio.h>

#include "core/metrics/cells.h"
#include "core/metrics/check.h"
#include "sdk/kit/json_text.h"

static bool no(char *err, size_t nerr, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool no(char *err, size_t nerr, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, nerr, fmt, ap);
	va_end(ap);
	return false;
}

static bool is_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return n && n <= 200 && !s[n] && !(s[0] >= '0' && s[0] <= '9');
}

static bool ends_in(const char *s, const char *tail)
{
	size_t n = strlen(s), t = strlen(tail);

	return n > t && !strcmp(s + n - t, tail);
}

unsigned chi_metrics_labels(const struct ch_metric *m)
{
	unsigned n = 0;

	while (n < CHI_LABELS_MAX && m->labels[n].name)
		n++;
	return n;
}

bool chi_metrics_value_ok(const char *s)
{
	size_t n = strnlen(s, CHI_VALUE_MAX + 1), i, len;

	if (n > CHI_VALUE_MAX)
		return false;
	for (i = 0; i < n; i += len) {
		len = (unsigned char)s[i] < 0x80 ? 1 : json_utf8(s + i, n - i);
		if (!len)
			return false;
	}
	return true;
}

int chi_metrics_host_label(const char *name)
{
	static const char *const names[] = { "endpoint", "method", "status", "plugin" };
	int i;

	for (i = 0; i < 4; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

static bool check_name(const struct ch_metric *m, char *err, size_t nerr)
{
	static const char *const taken[] = { "_bucket", "_count", "_sum", "_created", NULL };
	const char *const *t;

	if (!m->name || !is_name(m->name))
		return no(err, nerr, "metric \"%s\": a name is lower snake case, [a-z_][a-z0-9_]*, of at most 200 characters",
			m->name ? m->name : "");
	if (m->kind != CH_COUNTER && m->kind != CH_GAUGE && m->kind != CH_HISTOGRAM)
		return no(err, nerr, "metric \"%s\": its kind is %d; allowed are CH_COUNTER, CH_GAUGE and CH_HISTOGRAM", m->name, m->kind);
	for (t = taken; *t; t++)
		if (ends_in(m->name, *t))
			return no(err, nerr, "metric \"%s\": the ending %s belongs to the parts of histograms; choose another name",
				m->name, *t);
	if (m->kind == CH_COUNTER && !ends_in(m->name, "_total"))
		return no(err, nerr, "metric \"%s\" is a counter, and a counter's name ends in _total", m->name);
	if (m->kind != CH_COUNTER && ends_in(m->name, "_total"))
		return no(err, nerr, "metric \"%s\" ends in _total but is no counter; only a counter's name may", m->name);
	if (!m->help || !m->help[0])
		return no(err, nerr, "metric \"%s\" has no help; say in one sentence what it counts", m->name);
	return true;
}

static bool check_label(const struct ch_metric *m, unsigned i, char *err, size_t nerr)
{
	const struct ch_label *l = &m->labels[i];
	const char *const *v;
	unsigned j;

	if (!is_name(l->name) || !strncmp(l->name, "__", 2) || !strcmp(l->name, "le") || !strcmp(l->name, "quantile"))
		return no(err, nerr,
			"metric \"%s\": a label cannot be named \"%.200s\"; a label is lower snake case, without two leading underscores, "
			"and neither le nor quantile", m->name, l->name);
	for (j = 0; j < i; j++)
		if (!strcmp(m->labels[j].name, l->name))
			return no(err, nerr, "metric \"%s\" has the label \"%s\" twice", m->name, l->name);
	if (l->set == CH_L_CONFIG)
		return true;
	if (l->set == CH_L_HOST) {
		if (chi_metrics_host_label(l->name) < 0)
			return no(err, nerr,
				"metric \"%s\": the host has no values for the label \"%s\"; it has for endpoint, method, status "
				"and plugin", m->name, l->name);
		return true;
	}
	if (l->set != CH_L_FIXED)
		return no(err, nerr, "metric \"%s\": label \"%s\" has the value set %d; allowed are CH_L_FIXED, CH_L_CONFIG and CH_L_HOST",
			m->name, l->name, l->set);
	if (!l->values || !l->values[0])
		return no(err, nerr, "metric \"%s\": label \"%s\" is CH_L_FIXED and has no values; list them, ended by NULL", m->name,
			l->name);
	for (v = l->values; *v; v++)
		if (!chi_metrics_value_ok(*v))
			return no(err, nerr, "metric \"%s\": value %zu of label \"%s\" is no UTF-8 text of at most %d bytes", m->name,
				(size_t)(v - l->values) + 1, l->name, CHI_VALUE_MAX);
	return true;
}

static bool check_buckets(const struct ch_metric *m, char *err, size_t nerr)
{
	size_t i;

	if (!m->buckets && !m->nbuckets)
		return true;
	if (m->kind != CH_HISTOGRAM)
		return no(err, nerr, "metric \"%s\" has buckets and is no histogram; take them away or make it CH_HISTOGRAM", m->name);
	if (!m->buckets || !m->nbuckets || m->nbuckets > CHI_BOUNDS_MAX)
		return no(err, nerr, "metric \"%s\" has %zu buckets; allowed are 1 to %d, or NULL and 0 for powers of two", m->name,
			m->nbuckets, CHI_BOUNDS_MAX);
	for (i = 0; i < m->nbuckets; i++)
		if (!(m->buckets[i] >= -DBL_MAX && m->buckets[i] <= DBL_MAX) || (i && m->buckets[i] <= m->buckets[i - 1]))
			return no(err, nerr,
				"metric \"%s\": bucket %zu is %g; bounds are finite and each is above the one before (+Inf is "
				"there of itself)", m->name, i + 1, m->buckets[i]);
	return true;
}

bool chi_metrics_check(const struct ch_metric *m, char *err, size_t nerr)
{
	unsigned n = chi_metrics_labels(m), i;

	if (!check_name(m, err, nerr) || !check_buckets(m, err, nerr))
		return false;
	for (i = 0; i < n; i++)
		if (!check_label(m, i, err, nerr))
			return false;
	for (; i < CHI_LABELS_MAX; i++)
		if (m->labels[i].name)
			return no(err, nerr, "metric \"%s\": label %u has no name but label %u has; leave no gap", m->name, n + 1, i + 1);
	return true;
}

static bool same_values(const struct ch_label *a, const struct ch_label *b)
{
	size_t i;

	if (a->set != CH_L_FIXED)
		return true;
	for (i = 0; a->values[i] && b->values[i] && !strcmp(a->values[i], b->values[i]); i++)
		;
	return !a->values[i] && !b->values[i];
}

bool chi_metrics_same(const struct ch_metric *known, const struct ch_metric *m, char *err, size_t nerr)
{
	static const char *const kinds[] = { "", "counter", "gauge", "histogram" };
	unsigned n = chi_metrics_labels(known), i;

	if (known->kind != m->kind)
		return no(err, nerr, "metric \"%s\" is known as a %s and cannot be a %s too; choose another name", m->name,
			kinds[known->kind], kinds[m->kind]);
	if (chi_metrics_labels(m) != n)
		return no(err, nerr, "metric \"%s\" is known with %u labels and cannot have %u; choose another name", m->name, n,
			chi_metrics_labels(m));
	for (i = 0; i < n; i++) {
		const struct ch_label *a = &known->labels[i], *b = &m->labels[i];

		if (strcmp(a->name, b->name))
			return no(err, nerr,
				"metric \"%s\" is known with \"%s\" as label %u and cannot have \"%s\" there; choose another name", m->name,
				a->name, i + 1, b->name);
		if (a->set != b->set || !same_values(a, b))
			return no(err, nerr, "metric \"%s\" is known with another set of values for the label \"%s\"; choose another name",
				m->name, a->name);
	}
	if (known->nbuckets != m->nbuckets || (m->nbuckets && memcmp(known->buckets, m->buckets, m->nbuckets * sizeof(double))))
		return no(err, nerr, "metric \"%s\" is known with other buckets; declare the same or choose another name", m->name);
	return true;
}
