/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c - families and series. Both are only ever added, under `lock`, and published by one release store of a `next` pointer, so that
 * a walk needs no lock: it sees a list as it was at some moment. The numbers themselves are in cells.c.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/metrics/cells.h"
#include "core/metrics/check.h"

#define HASH 1024
#define DEFAULT_SERIES 1000
#define DEFAULT_CAP 10000

struct series {
	struct series *next; /* in the family */
	struct series *same; /* in the hash table */
	const struct chi_family *family;
	const char *values[CHI_LABELS_MAX];
	unsigned number;
	double last; /* what a walk last gave, see chi_cells_read */
};

struct chi_family {
	struct ch_metric m; /* a copy, all of it ours */
	struct chi_family *next;
	unsigned labels;
	unsigned shape;
	unsigned max_series, nseries; /* under `lock`; the series "other" is not counted */
	struct series *first, **end;
};

struct host_value {
	struct host_value *next;
	char text[];
};

struct collector {
	struct collector *next;
	void (*fn)(void *);
	void *arg;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct chi_family *families; /* by name */
static struct series *hash[HASH];
static struct host_value *host_values[4];
static unsigned cap = DEFAULT_CAP, total;
static unsigned overflow; /* the series of chimera_metrics_overflow_total */

static pthread_mutex_t collecting = PTHREAD_MUTEX_INITIALIZER;
static struct collector *collectors, **collectors_end = &collectors;

static const char other[] = "other";

/* ---- series ---- */

static unsigned hash_of(const struct chi_family *f, const char *const *values)
{
	uint64_t h = (uintptr_t)f;
	unsigned i;
	const char *p;

	for (i = 0; i < f->labels; i++)
		for (p = values[i]; ; p++) {
			h = (h ^ (unsigned char)*p) * 0x100000001b3u;
			if (!*p)
				break;
		}
	return (unsigned)((h * 0x9e3779b97f4a7c15u) >> 32) % HASH;
}

static struct series *find_series(const struct chi_family *f, const char *const *values, unsigned slot)
{
	struct series *s;
	unsigned i;

	for (s = hash[slot]; s; s = s->same) {
		if (s->family != f)
			continue;
		for (i = 0; i < f->labels && !strcmp(s->values[i], values[i]); i++)
			;
		if (i == f->labels)
			return s;
	}
	return NULL;
}

static struct series *make_series(struct chi_family *f, const char *const *values, unsigned slot)
{
	struct series *s;
	size_t size = sizeof(*s);
	unsigned i;
	char *text;

	for (i = 0; i < f->labels; i++)
		size += strlen(values[i]) + 1;
	s = calloc(1, size);
	if (!s)
		return NULL;
	s->number = chi_cells_new(f->shape);
	if (!s->number) {
		free(s);
		return NULL;
	}
	text = (char *)(s + 1);
	for (i = 0; i < f->labels; i++) {
		s->values[i] = text;
		text = stpcpy(text, values[i]) + 1;
	}
	s->family = f;
	s->same = hash[slot];
	hash[slot] = s;
	__atomic_store_n(f->end, s, __ATOMIC_RELEASE);
	f->end = &s->next;
	total++;
	return s;
}

/* The value as the label's set has it; "other" if it has not. Under `lock`. */
static const char *allowed(const struct ch_label *label, const char *value)
{
	const char *const *v;
	const struct host_value *h;

	if (!value)
		return other;
	switch (label->set) {
	case CH_L_FIXED:
		for (v = label->values; *v; v++)
			if (!strcmp(*v, value))
				return value;
		return other;
	case CH_L_HOST:
		for (h = host_values[chi_metrics_host_label(label->name)]; h; h = h->next)
			if (!strcmp(h->text, value))
				return value;
		return other;
	default:
		return chi_metrics_value_ok(value) ? value : other;
	}
}

/* Under `lock`. */
static unsigned series_of(struct chi_family *f, const char *const *wanted)
{
	static const char *const others[CHI_LABELS_MAX] = { other, other, other, other };
	const char *values[CHI_LABELS_MAX] = { NULL };
	bool all_other = true;
	struct series *s;
	unsigned slot, i;

	for (i = 0; i < f->labels; i++) {
		values[i] = allowed(&f->m.labels[i], wanted ? wanted[i] : NULL);
		all_other = all_other && !strcmp(values[i], other);
	}
	slot = hash_of(f, values);
	s = find_series(f, values, slot);
	if (s)
		return s->number;
	if (!all_other) { /* true of a family without labels, too: its one series is never refused */
		if (f->nseries < f->max_series && total < cap) {
			s = make_series(f, values, slot);
			if (s) {
				f->nseries++;
				return s->number;
			}
		}
		chi_metrics_add(overflow, 1);
		slot = hash_of(f, others);
		s = find_series(f, others, slot);
		if (s)
			return s->number;
	}
	s = make_series(f, others, slot);
	return s ? s->number : 0;
}

unsigned chi_metrics_series(const struct chi_family *f, const char *const *values)
{
	unsigned number;

	if (!f)
		return 0;
	pthread_mutex_lock(&lock);
	number = series_of((struct chi_family *)f, values); /* const for the caller alone */
	pthread_mutex_unlock(&lock);
	return number;
}

const char *chi_metrics_host_value(const char *label, const char *value)
{
	int set = chi_metrics_host_label(label);
	struct host_value *h;

	if (set < 0 || !chi_metrics_value_ok(value))
		return NULL;
	pthread_mutex_lock(&lock);
	for (h = host_values[set]; h && strcmp(h->text, value); h = h->next)
		;
	if (!h && (h = malloc(sizeof(*h) + strlen(value) + 1))) {
		strcpy(h->text, value);
		h->next = host_values[set];
		host_values[set] = h;
	}
	pthread_mutex_unlock(&lock);
	return h ? h->text : NULL;
}

void chi_metrics_set_cap(unsigned max_series)
{
	pthread_mutex_lock(&lock);
	cap = max_series;
	pthread_mutex_unlock(&lock);
}

/* ---- families ---- */

static void free_copy(struct chi_family *f)
{
	char **v;
	unsigned i;

	for (i = 0; i < CHI_LABELS_MAX; i++) {
		for (v = (char **)f->m.labels[i].values; v && *v; v++)
			free(*v);
		free((void *)f->m.labels[i].values);
		free((void *)f->m.labels[i].name);
	}
	free((void *)f->m.buckets);
	free((void *)f->m.name);
	free((void *)f->m.help);
	free(f);
}

static bool copy_text(const char **to, const char *from)
{
	*to = strdup(from);
	return *to != NULL;
}

static bool copy_label(struct ch_label *to, const struct ch_label *from)
{
	const char **values;
	size_t n = 0, i;

	to->set = from->set;
	if (!copy_text(&to->name, from->name))
		return false;
	if (from->set != CH_L_FIXED)
		return true;
	while (from->values[n])
		n++;
	values = calloc(n + 1, sizeof(*values));
	to->values = values;
	for (i = 0; values && i < n; i++)
		if (!copy_text(&values[i], from->values[i]))
			return false;
	return values != NULL;
}

/* A family of our own memory throughout: the table of a plugin may be gone one day. NULL: no memory. */
static struct chi_family *copy_family(const struct ch_metric *m)
{
	struct chi_family *f = calloc(1, sizeof(*f));
	bool good;
	unsigned i;

	if (!f)
		return NULL;
	f->labels = chi_metrics_labels(m);
	f->end = &f->first;
	f->m.kind = m->kind;
	f->m.max_series = m->max_series;
	good = copy_text(&f->m.name, m->name) && copy_text(&f->m.help, m->help);
	for (i = 0; good && i < f->labels; i++)
		good = copy_label(&f->m.labels[i], &m->labels[i]);
	if (good && m->nbuckets) {
		double *bounds = malloc(m->nbuckets * sizeof(*bounds));

		good = bounds != NULL;
		if (good)
			memcpy(bounds, m->buckets, m->nbuckets * sizeof(*bounds));
		f->m.buckets = bounds;
		f->m.nbuckets = m->nbuckets;
	}
	f->shape = m->kind == CH_COUNTER ? CHI_SHAPE_COUNTER : m->kind == CH_GAUGE ? CHI_SHAPE_GAUGE : 0;
	if (good && !f->shape)
		f->shape = chi_cells_shape(f->m.buckets, f->m.nbuckets);
	if (good && f->shape)
		return f;
	free_copy(f);
	return NULL;
}

/* In OpenMetrics a counter x_total is the family x: no other family may have that name. The name of the one that clashes, or NULL. */
static const char *clash(const char *name)
{
	const struct chi_family *f;
	size_t n = strlen(name), m;

	for (f = families; f; f = f->next) {
		m = strlen(f->m.name);
		if ((n == m + 6 && !memcmp(f->m.name, name, m) && !strcmp(name + m, "_total"))
		    || (m == n + 6 && !memcmp(f->m.name, name, n) && !strcmp(f->m.name + n, "_total")))
			return f->m.name;
	}
	return NULL;
}

/* Under `lock`. */
static struct chi_family *family_of(const struct ch_metric *m, char *err, size_t nerr)
{
	struct chi_family *f, **at = &families;
	const char *other_name;

	if (!chi_metrics_check(m, err, nerr))
		return NULL;
	while (*at && strcmp((*at)->m.name, m->name) < 0)
		at = &(*at)->next;
	f = *at;
	if (f && !strcmp(f->m.name, m->name)) {
		if (!chi_metrics_same(&f->m, m, err, nerr))
			return NULL;
		f->max_series = m->max_series ? m->max_series : DEFAULT_SERIES;
		return f;
	}
	other_name = clash(m->name);
	if (other_name) {
		snprintf(err, nerr, "metric \"%s\" beside \"%s\": in OpenMetrics both would be one family; choose another name", m->name,
			other_name);
		return NULL;
	}
	f = copy_family(m);
	if (!f) {
		snprintf(err, nerr, "metric \"%s\": no memory, or more than a thousand different sets of buckets in the process", m->name);
		return NULL;
	}
	f->max_series = m->max_series ? m->max_series : DEFAULT_SERIES;
	f->next = *at;
	__atomic_store_n(at, f, __ATOMIC_RELEASE);
	if (!f->labels)
		series_of(f, NULL); /* shows from the start, at 0 */
	return f;
}

const struct chi_family *chi_metrics_family(const struct ch_metric *m, char *err, size_t nerr)
{
	static const struct ch_metric refused = { .name = "chimera_metrics_overflow_total", .kind = CH_COUNTER,
		.help = "Label values that were counted as other because a cap on series was reached" };
	struct chi_family *f;

	pthread_mutex_lock(&lock);
	if (!overflow && (f = family_of(&refused, err, nerr)))
		overflow = series_of(f, NULL);
	f = family_of(m, err, nerr);
	pthread_mutex_unlock(&lock);
	return f;
}

/* ---- the walk ---- */

bool chi_metrics_collector(void (*fn)(void *arg), void *arg)
{
	struct collector *c = calloc(1, sizeof(*c));

	if (!c)
		return false;
	c->fn = fn;
	c->arg = arg;
	pthread_mutex_lock(&collecting);
	*collectors_end = c;
	collectors_end = &c->next;
	pthread_mutex_unlock(&collecting);
	return true;
}

void chi_metrics_walk(void (*fn)(void *arg, const struct ch_sample *), void *arg)
{
	const struct chi_family *f;
	const struct collector *c;
	struct chi_reading r;
	struct series *s;

	pthread_mutex_lock(&collecting);
	for (c = collectors; c; c = c->next)
		c->fn(c->arg);
	pthread_mutex_unlock(&collecting);

	for (f = __atomic_load_n(&families, __ATOMIC_ACQUIRE); f; f = __atomic_load_n(&f->next, __ATOMIC_ACQUIRE)) {
		for (s = __atomic_load_n(&f->first, __ATOMIC_ACQUIRE); s; s = __atomic_load_n(&s->next, __ATOMIC_ACQUIRE)) {
			struct ch_sample sample = { .size = sizeof(sample), .family = &f->m, .first = s == f->first, .labels = s->values };

			chi_cells_read(s->number, &r, &s->last);
			if (f->m.kind == CH_HISTOGRAM) {
				sample.bounds = r.bounds;
				sample.counts = r.counts;
				sample.nbounds = r.nbounds;
				sample.count = r.count;
				sample.sum = r.sum;
			} else {
				sample.value = r.value;
			}
			fn(arg, &sample);
		}
	}
}
