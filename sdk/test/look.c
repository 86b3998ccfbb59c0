/* SPDX-License-Identifier: MIT */
#include "sdk/test/harness.h"

#include "core/metrics/metrics.h"
#include "sdk/test/vlog.h"

#include <stdlib.h>

#define LABELS 4

/* Where a series stood when the harness was made: metrics live as long as the process. */
struct chi_base {
	struct chi_base *next;
	const struct ch_metric *family;
	char *labels[LABELS];
	double value, sum;
};

static double value_of(const struct ch_sample *s)
{
	return s->family->kind == CH_HISTOGRAM ? (double)s->count : s->value;
}

static void remember(void *data, const struct ch_sample *s)
{
	struct ch_test *t = data;
	if (s->family->kind == CH_GAUGE)
		return;
	struct chi_base *b = chi_test_alloc(sizeof *b);
	*b = (struct chi_base){ .next = t->base, .family = s->family, .value = value_of(s), .sum = s->sum };
	for (int i = 0; i < LABELS && s->family->labels[i].name; i++)
		b->labels[i] = chi_test_copy(s->labels[i]);
	t->base = b;
}

void chi_look_start(struct ch_test *t)
{
	chi_metrics_walk(remember, t);
}

void chi_look_free(struct ch_test *t)
{
	while (t->base) {
		struct chi_base *b = t->base;
		t->base = b->next;
		for (int i = 0; i < LABELS; i++)
			free(b->labels[i]);
		free(b);
	}
}

struct question {
	const char *name;
	const char *labels[LABELS + 1];
	double value, sum;
};

static bool meant(const struct question *q, const struct ch_metric *family, const char *const *labels)
{
	if (strcmp(family->name, q->name))
		return false;
	for (int i = 0; i < LABELS && q->labels[i]; i++)
		if (!family->labels[i].name || strcmp(labels[i], q->labels[i]))
			return false;
	return true;
}

static void answer(void *data, const struct ch_sample *s)
{
	struct question *q = data;
	if (!meant(q, s->family, s->labels))
		return;
	q->value += value_of(s);
	q->sum += s->sum;
}

static struct question ask(const struct ch_test *t, const char *name, va_list ap)
{
	struct question q = { .name = name };
	for (int i = 0; i < LABELS && (q.labels[i] = va_arg(ap, const char *)); i++)
		;
	chi_metrics_walk(answer, &q);
	for (const struct chi_base *b = t->base; b; b = b->next)
		if (meant(&q, b->family, (const char *const *)b->labels)) {
			q.value -= b->value;
			q.sum -= b->sum;
		}
	return q;
}

double ch_test_metric(struct ch_test *t, const char *name, ...)
{
	va_list ap;
	va_start(ap, name);
	struct question q = ask(t, name, ap);
	va_end(ap);
	return q.value;
}

double ch_test_metric_sum(struct ch_test *t, const char *name, ...)
{
	va_list ap;
	va_start(ap, name);
	struct question q = ask(t, name, ap);
	va_end(ap);
	return q.sum;
}

const char *ch_test_log(struct ch_test *t)
{
	(void)t;
	return chi_vlog_text();
}

bool ch_test_logged(struct ch_test *t, const char *text)
{
	return strstr(ch_test_log(t), text) != NULL;
}
