/* SPDX-License-Identifier: Apache-2.0 */
/* test_metrics.c - the registry: what is counted is kept, exactly, whoever counts and whoever walks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/metrics/cells.h"

#define THREADS 4
#define ADDS 500000

static char err[300];

static const struct chi_family *family(struct ch_metric m)
{
	const struct chi_family *f;

	if (!m.help)
		m.help = "Something counted by a test";
	f = chi_metrics_family(&m, err, sizeof(err));
	if (!f)
		print_message("%s\n", err);
	assert_non_null(f);
	return f;
}

static void refused(struct ch_metric m, const char *because)
{
	err[0] = '\0';
	assert_null(chi_metrics_family(&m, err, sizeof(err)));
	if (!strstr(err, because))
		fail_msg("\"%s\" does not say \"%s\"", err, because);
}

/* What a walk shows of one family. */
struct seen {
	const char *name;
	unsigned series, firsts;
	double value, sum;
	uint64_t count;
	size_t nbounds;
	double bounds[CHI_BOUNDS_MAX];
	uint64_t counts[CHI_BOUNDS_MAX + 1];
	char labels[8][64];
};

static void see(void *arg, const struct ch_sample *s)
{
	struct seen *seen = arg;
	unsigned i;

	if (strcmp(s->family->name, seen->name))
		return;
	if (seen->series < 8)
		for (i = 0; i < 4 && s->family->labels[i].name; i++)
			snprintf(seen->labels[seen->series] + strlen(seen->labels[seen->series]), 20, "%s;", s->labels[i]);
	seen->series++;
	seen->firsts += s->first;
	seen->value = s->value;
	seen->sum = s->sum;
	seen->count = s->count;
	seen->nbounds = s->nbounds;
	if (s->bounds) {
		memcpy(seen->bounds, s->bounds, s->nbounds * sizeof(double));
		memcpy(seen->counts, s->counts, (s->nbounds + 1) * sizeof(uint64_t));
	}
}

static struct seen walk_for(const char *name)
{
	struct seen seen = { .name = name };

	chi_metrics_walk(see, &seen);
	return seen;
}

/* ---- cells ---- */

static pthread_barrier_t counted, looked;

static void *add_ones(void *arg)
{
	unsigned i;

	for (i = 0; i < ADDS; i++)
		chi_metrics_add(*(unsigned *)arg, 1);
	pthread_barrier_wait(&counted);
	pthread_barrier_wait(&looked);
	return NULL;
}

static void threads_that_add_at_once_sum_exactly(void **state)
{
	unsigned series = chi_metrics_series(family((struct ch_metric){ .name = "t_threads_total", .kind = CH_COUNTER }), NULL), i;
	pthread_t t[THREADS];

	(void)state;
	pthread_barrier_init(&counted, NULL, THREADS + 1);
	pthread_barrier_init(&looked, NULL, THREADS + 1);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, add_ones, &series), 0);
	pthread_barrier_wait(&counted);
	assert_true(chi_metrics_value(series) == THREADS * ADDS); /* while they live */
	pthread_barrier_wait(&looked);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_true(chi_metrics_value(series) == THREADS * ADDS); /* and after */
}

static void *observe_tenths(void *arg)
{
	unsigned i;

	for (i = 0; i < 1000; i++)
		chi_metrics_observe(*(unsigned *)arg, 0.1 * (double)(i % 7));
	return NULL;
}

static void threads_that_end_leave_counts_and_sums_that_never_step_back(void **state)
{
	static const double bounds[] = { 0.25, 0.5 };
	unsigned series = chi_metrics_series(family((struct ch_metric){ .name = "t_ended", .kind = CH_HISTOGRAM, .buckets = bounds,
		.nbuckets = 2 }), NULL);
	double before = 0;
	struct seen seen;
	pthread_t t;
	int i;

	(void)state;
	for (i = 1; i <= 50; i++) {
		chi_metrics_observe(series, 0.1);
		assert_int_equal(pthread_create(&t, NULL, observe_tenths, &series), 0);
		seen = walk_for("t_ended");
		assert_true(seen.sum >= before);
		before = seen.sum;
		pthread_join(t, NULL);
		seen = walk_for("t_ended");
		assert_true(seen.sum >= before);
		before = seen.sum;
		assert_int_equal(seen.count, i * 1001);
	}
	/* 1,000 are 142 rounds of 0 .1 .2 .3 .4 .5 .6 and one of 0 to .5: 143 of each, 142 of .6. */
	assert_int_equal(seen.counts[0], 50 * (143 * 3 + 1));
	assert_int_equal(seen.counts[1], 50 * 143 * 3);
	assert_int_equal(seen.counts[2], 50 * 142);
}

static void a_counter_takes_nothing_negative_and_nothing_infinite(void **state)
{
	unsigned series = chi_metrics_series(family((struct ch_metric){ .name = "t_strict_total", .kind = CH_COUNTER }), NULL);

	(void)state;
	chi_metrics_add(series, 2.5);
	chi_metrics_add(series, -1);
	chi_metrics_add(series, NAN);
	chi_metrics_add(series, INFINITY);
	chi_metrics_observe(series, 1);
	assert_true(chi_metrics_value(series) == 2.5);
}

static void a_gauge_is_what_was_set_plus_what_was_added(void **state)
{
	unsigned series = chi_metrics_series(family((struct ch_metric){ .name = "t_gauge", .kind = CH_GAUGE }), NULL);

	(void)state;
	chi_metrics_add(series, 3);
	chi_metrics_add(series, -5);
	assert_true(chi_metrics_value(series) == -2);
	chi_metrics_set(series, 10);
	chi_metrics_set(series, 20);
	assert_true(chi_metrics_value(series) == 18);
}

static void numbers_that_name_no_series_harm_nobody(void **state)
{
	static const unsigned numbers[] = { 0, 1, 4095, 8191, 0x3fffff, 0x7fffff, 0xbfffff, 0xc01fff, 0xffffff, 0x1001fff, 0xffffffff,
		0x80000000 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		chi_metrics_observe(numbers[i], 1);
		chi_metrics_set(numbers[i], 1);
		chi_metrics_value(numbers[i]);
		chi_metrics_quantile(numbers[i], 0.5);
	}
	chi_metrics_add(0, 1);
	assert_true(chi_metrics_value(0) == 0);
	assert_int_equal(chi_metrics_series(NULL, NULL), 0);
}

/* ---- histograms ---- */

static void exponential_buckets_are_quarters_of_octaves(void **state)
{
	static const struct { double v; unsigned bucket; } cases[] = {
		{ -1, 0 }, { 0, 0 }, { 0x1p-1074, 0 }, { 0x1p-20, 0 }, { 0x1.0000000000001p-20, 1 }, { 0x1p-19, 4 },
		{ 0.5, 76 }, { 0.9, 80 }, { 1, 80 }, { 0x1.0000000000001p0, 81 },
		{ 1.189207115002721, 81 }, { 1.1892071150027212, 82 }, /* 2^(1/4) = 1.18920711500272106… */
		{ 1.4142135623730951, 82 }, { 1.4142135623730954, 83 }, { 1.681792830507429, 83 }, { 1.6817928305074292, 84 },
		{ 2, 84 }, { 1000, 120 }, { 0x1p20, 160 }, { 0x1.0000000000001p20, 161 }, { 1e300, 161 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (chi_exp_bucket(cases[i].v) != cases[i].bucket)
			fail_msg("%.17g is in bucket %u, not in %u", cases[i].v, chi_exp_bucket(cases[i].v), cases[i].bucket);
	assert_true(chi_exp_bound(0) == 0x1p-20);
	assert_true(chi_exp_bound(80) == 1);
	assert_true(chi_exp_bound(82) == 1.4142135623730951);
	assert_true(chi_exp_bound(160) == 1048576);
	for (i = 0; i < 161; i++) { /* each bound is the last value of its bucket */
		assert_int_equal(chi_exp_bucket(chi_exp_bound((unsigned)i)), i);
		assert_int_equal(chi_exp_bucket(nextafter(chi_exp_bound((unsigned)i), INFINITY)), i + 1);
	}
}

static void an_exponential_histogram_is_shown_with_powers_of_two(void **state)
{
	static const double values[] = { 0, 1e-9, 0.75, 1, 1.1, 1.9, 2, 2.1, 1e7 };
	unsigned series = chi_metrics_series(family((struct ch_metric){ .name = "t_exponential", .kind = CH_HISTOGRAM }), NULL);
	struct seen seen;
	size_t i;

	(void)state;
	for (i = 0; i < 9; i++)
		chi_metrics_observe(series, values[i]);
	chi_metrics_observe(series, NAN);
	chi_metrics_observe(series, INFINITY);
	seen = walk_for("t_exponential");
	assert_int_equal(seen.nbounds, 41);
	for (i = 0; i < 41; i++)
		assert_true(seen.bounds[i] == ldexp(1, (int)i - 20));
	assert_int_equal(seen.counts[0], 2);  /* 0, 1e-9 */
	assert_int_equal(seen.counts[20], 2); /* (0.5, 1]: 0.75, 1 */
	assert_int_equal(seen.counts[21], 3); /* (1, 2]: 1.1, 1.9, 2 */
	assert_int_equal(seen.counts[22], 1); /* (2, 4] */
	assert_int_equal(seen.counts[41], 1); /* above 2^20 */
	assert_int_equal(seen.count, 9);
	assert_true(fabs(seen.sum - (8.85 + 1e7)) < 1e-6);
}

static void a_value_on_a_declared_bound_belongs_below_it(void **state)
{
	static const double bounds[] = { .005, .01, 1 };
	unsigned series = chi_metrics_series(family((struct ch_metric){ .name = "t_declared_seconds", .kind = CH_HISTOGRAM,
		.buckets = bounds,
		.nbuckets = 3 }), NULL);
	struct seen seen;

	(void)state;
	chi_metrics_observe(series, .005);
	chi_metrics_observe(series, .0050001);
	chi_metrics_observe(series, .01);
	chi_metrics_observe(series, 1);
	chi_metrics_observe(series, 1.5);
	seen = walk_for("t_declared_seconds");
	assert_int_equal(seen.nbounds, 3);
	assert_int_equal(seen.counts[0], 1);
	assert_int_equal(seen.counts[1], 2);
	assert_int_equal(seen.counts[2], 1);
	assert_int_equal(seen.counts[3], 1);
	assert_int_equal(seen.count, 5);
}

static void quantiles_are_interpolated(void **state)
{
	static const double bounds[] = { 10, 20, 40 };
	unsigned declared = chi_metrics_series(family((struct ch_metric){ .name = "t_quantile_declared", .kind = CH_HISTOGRAM,
		.buckets = bounds,
		.nbuckets = 3 }), NULL);
	unsigned exponential = chi_metrics_series(family((struct ch_metric){ .name = "t_quantile", .kind = CH_HISTOGRAM }), NULL);
	int i;

	(void)state;
	assert_true(isnan(chi_metrics_quantile(declared, 0.5)));
	for (i = 0; i < 4; i++)
		chi_metrics_observe(declared, 15); /* 4 in (10, 20], 4 in (20, 40] */
	for (i = 0; i < 4; i++)
		chi_metrics_observe(declared, 30);
	assert_true(chi_metrics_quantile(declared, 0.25) == 15); /* 2nd of 4 in (10, 20] */
	assert_true(chi_metrics_quantile(declared, 0.5) == 20);
	assert_true(chi_metrics_quantile(declared, 0.75) == 30);
	assert_true(chi_metrics_quantile(declared, 1) == 40);
	chi_metrics_observe(declared, 1000);
	assert_true(chi_metrics_quantile(declared, 1) == 40); /* beyond the last bound */
	for (i = 1; i <= 1000; i++)
		chi_metrics_observe(exponential, i / 1000.0);
	for (i = 1; i <= 99; i++)
		assert_true(fabs(chi_metrics_quantile(exponential, i / 100.0) - i / 100.0) < 0.1 * i / 100.0);
	assert_true(isnan(chi_metrics_quantile(exponential, 1.5)));
}

/* ---- families and series ---- */

static void the_same_family_again_goes_on_counting(void **state)
{
	struct ch_metric *table = calloc(1, sizeof(*table)); /* the table of a plugin that is gone when the next one comes */
	char *name = strdup("t_again_total"), *help = strdup("Help");
	const struct chi_family *first;
	unsigned series;
	const char *const values[] = { "a" };

	(void)state;
	*table = (struct ch_metric){ .name = name, .kind = CH_COUNTER, .help = help, .labels = { { "kind", CH_L_CONFIG, NULL } } };
	first = family(*table);
	series = chi_metrics_series(first, values);
	chi_metrics_add(series, 7);
	memset(name, 'x', 5);
	free(name);
	free(help);
	free(table);
	assert_ptr_equal(family((struct ch_metric){ .name = "t_again_total", .kind = CH_COUNTER, .labels = { { "kind", CH_L_CONFIG,
		NULL } } }), first);
	assert_int_equal(chi_metrics_series(first, values), series);
	chi_metrics_add(series, 1);
	assert_true(walk_for("t_again_total").value == 8);
}

static void another_shape_under_a_known_name_is_refused(void **state)
{
	static const double one[] = { 1 }, two[] = { 1, 2 };
	static const char *const ab[] = { "a", "b", NULL }, *const abc[] = { "a", "b", "c", NULL };
	struct ch_metric m = { .name = "t_shape", .kind = CH_HISTOGRAM, .buckets = one, .nbuckets = 1, .help = "h",
		.labels = { { "kind", CH_L_FIXED, ab } } }, n;

	(void)state;
	family(m);
	n = m, n.kind = CH_GAUGE, n.buckets = NULL, n.nbuckets = 0;
	refused(n, "known as a histogram and cannot be a gauge");
	n = m, n.buckets = two, n.nbuckets = 2;
	refused(n, "other buckets");
	n = m, n.buckets = NULL, n.nbuckets = 0;
	refused(n, "other buckets");
	n = m, n.labels[0].values = abc;
	refused(n, "another set of values for the label \"kind\"");
	n = m, n.labels[0].name = "sort";
	refused(n, "known with \"kind\" as label 1");
	n = m, n.labels[1] = (struct ch_label){ "x", CH_L_CONFIG, NULL };
	refused(n, "known with 1 labels and cannot have 2");
}

static void a_declaration_against_the_rules_is_refused_in_one_sentence(void **state)
{
	static const double down[] = { 2, 1 }, endless[] = { 1, INFINITY };
	static const char *const none[] = { NULL };

	(void)state;
	refused((struct ch_metric){ .name = "1a", .kind = CH_GAUGE, .help = "h" }, "lower snake case");
	refused((struct ch_metric){ .name = "a-b", .kind = CH_GAUGE, .help = "h" }, "lower snake case");
	refused((struct ch_metric){ .name = "a:b", .kind = CH_GAUGE, .help = "h" }, "lower snake case");
	refused((struct ch_metric){ .name = "", .kind = CH_GAUGE, .help = "h" }, "lower snake case");
	refused((struct ch_metric){ .kind = CH_GAUGE, .help = "h" }, "lower snake case");
	refused((struct ch_metric){ .name = "r_requests", .kind = CH_COUNTER, .help = "h" }, "ends in _total");
	refused((struct ch_metric){ .name = "r_total", .kind = CH_GAUGE, .help = "h" }, "is no counter");
	refused((struct ch_metric){ .name = "r_count", .kind = CH_GAUGE, .help = "h" }, "_count");
	refused((struct ch_metric){ .name = "r_gauge", .kind = CH_GAUGE }, "has no help");
	refused((struct ch_metric){ .name = "r_gauge", .kind = 9, .help = "h" }, "kind is 9");
	refused((struct ch_metric){ .name = "r_gauge", .kind = CH_GAUGE, .help = "h", .labels = { { "__x", CH_L_CONFIG, NULL } } },
		"\"__x\"");
	refused((struct ch_metric){ .name = "r_hist", .kind = CH_HISTOGRAM, .help = "h", .labels = { { "le", CH_L_CONFIG, NULL } } },
		"\"le\"");
	refused((struct ch_metric){ .name = "r_gauge", .kind = CH_GAUGE, .help = "h", .labels = { { "a", CH_L_CONFIG, NULL }, { "a",
		CH_L_CONFIG, NULL } } },
		"twice");
	refused((struct ch_metric){ .name = "r_gauge", .kind = CH_GAUGE, .help = "h", .labels = { { NULL, 0, NULL }, { "a", CH_L_CONFIG,
		NULL } } }, "gap");
	refused((struct ch_metric){ .name = "r_gauge", .kind = CH_GAUGE, .help = "h", .labels = { { "a", CH_L_FIXED, none } } },
		"has no values");
	refused((struct ch_metric){ .name = "r_gauge", .kind = CH_GAUGE, .help = "h", .labels = { { "owner", CH_L_HOST, NULL } } },
		"endpoint, method");
	refused((struct ch_metric){ .name = "r_hist", .kind = CH_HISTOGRAM, .help = "h", .buckets = down, .nbuckets = 2 },
		"above the one before");
	refused((struct ch_metric){ .name = "r_hist", .kind = CH_HISTOGRAM, .help = "h", .buckets = endless, .nbuckets = 2 }, "finite");
	refused((struct ch_metric){ .name = "r_gauge", .kind = CH_GAUGE, .help = "h", .buckets = endless, .nbuckets = 1 }, "no histogram");
	family((struct ch_metric){ .name = "r_pair_total", .kind = CH_COUNTER });
	refused((struct ch_metric){ .name = "r_pair", .kind = CH_GAUGE, .help = "h" }, "\"r_pair_total\"");
}

static void values_outside_of_their_set_are_other(void **state)
{
	static const char *const kinds[] = { "hit", "miss", NULL };
	const struct chi_family *f = family((struct ch_metric){ .name = "t_sets_total", .kind = CH_COUNTER,
		.labels = { { "kind", CH_L_FIXED, kinds }, { "method", CH_L_HOST, NULL }, { "name", CH_L_CONFIG, NULL } } });
	const char *a[] = { "hit", "BREW", "x" }, *b[] = { "wonder", "BREW", "\xff" }, *c[] = { "miss", NULL, "y" };
	unsigned before;
	struct seen seen;

	(void)state;
	before = chi_metrics_series(f, a);
	assert_int_equal(chi_metrics_series(f, a), before);
	assert_string_equal(chi_metrics_host_value("method", "BREW"), "BREW");
	assert_null(chi_metrics_host_value("owner", "x"));
	assert_int_not_equal(chi_metrics_series(f, a), before);
	chi_metrics_series(f, b);
	chi_metrics_series(f, c);
	seen = walk_for("t_sets_total");
	assert_int_equal(seen.series, 4);
	assert_int_equal(seen.firsts, 1);
	assert_string_equal(seen.labels[0], "hit;other;x;");
	assert_string_equal(seen.labels[1], "hit;BREW;x;");
	assert_string_equal(seen.labels[2], "other;BREW;other;");
	assert_string_equal(seen.labels[3], "miss;other;y;");
}

static void past_a_cap_all_labels_are_other_and_that_is_counted(void **state)
{
	const struct chi_family *f = family((struct ch_metric){ .name = "t_capped_total", .kind = CH_COUNTER, .max_series = 2,
		.labels = { { "model", CH_L_CONFIG, NULL }, { "owner", CH_L_CONFIG, NULL } } });
	const struct chi_family *g = family((struct ch_metric){ .name = "t_capped_all", .kind = CH_GAUGE, .labels = { { "model",
		CH_L_CONFIG, NULL } } });
	const char *v[4][2] = { { "a", "x" }, { "b", "x" }, { "c", "x" }, { "d", "x" } };
	double refusals = walk_for("chimera_metrics_overflow_total").value;
	unsigned series[4], i;
	struct seen seen;

	(void)state;
	for (i = 0; i < 4; i++)
		series[i] = chi_metrics_series(f, v[i]);
	assert_int_not_equal(series[0], series[1]);
	assert_int_equal(series[2], series[3]);
	assert_int_equal(chi_metrics_series(f, v[1]), series[1]);
	seen = walk_for("t_capped_total");
	assert_int_equal(seen.series, 3);
	assert_string_equal(seen.labels[2], "other;other;");
	assert_true(walk_for("chimera_metrics_overflow_total").value == refusals + 2);

	chi_metrics_set_cap(1); /* of the process: reached long ago */
	assert_int_equal(chi_metrics_series(g, v[0]), chi_metrics_series(g, v[1]));
	assert_int_not_equal(chi_metrics_series(family((struct ch_metric){ .name = "t_capped_plain", .kind = CH_GAUGE }), NULL), 0);
	chi_metrics_set_cap(10000);
	seen = walk_for("t_capped_all");
	assert_int_equal(seen.series, 1);
	assert_string_equal(seen.labels[0], "other;");
	assert_true(walk_for("chimera_metrics_overflow_total").value == refusals + 4);
	assert_int_equal(walk_for("t_capped_plain").series, 1);
}

/* ---- the walk ---- */

static void check_order(void *arg, const struct ch_sample *s)
{
	const char **last = arg;

	assert_int_equal(s->size, sizeof(*s));
	if (s->first)
		assert_true(!*last || strcmp(*last, s->family->name) < 0);
	else
		assert_string_equal(*last, s->family->name);
	*last = s->family->name;
}

static void a_walk_goes_by_name_and_shows_plain_families_at_zero(void **state)
{
	const char *last = NULL;
	struct seen seen;

	(void)state;
	family((struct ch_metric){ .name = "t_plain_total", .kind = CH_COUNTER });
	family((struct ch_metric){ .name = "t_labelled_total", .kind = CH_COUNTER, .labels = { { "a", CH_L_CONFIG, NULL } } });
	chi_metrics_walk(check_order, &last);
	assert_non_null(last);
	seen = walk_for("t_plain_total");
	assert_int_equal(seen.series, 1);
	assert_true(seen.value == 0);
	assert_int_equal(walk_for("t_labelled_total").series, 0);
}

static int stop_writers;

static void *observe_on(void *arg)
{
	unsigned i;

	for (i = 0; !__atomic_load_n(&stop_writers, __ATOMIC_RELAXED); i++)
		chi_metrics_observe(*(unsigned *)arg, (double)(i % 5000) / 1000);
	return NULL;
}

static void a_walk_beside_writers_is_consistent(void **state)
{
	unsigned series = chi_metrics_series(family((struct ch_metric){ .name = "t_beside", .kind = CH_HISTOGRAM }), NULL), i;
	pthread_t t[2];
	uint64_t before = 0, sum;
	struct seen seen;
	size_t k;

	(void)state;
	__atomic_store_n(&stop_writers, 0, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, observe_on, &series), 0);
	for (i = 0; i < 300; i++) {
		seen = walk_for("t_beside");
		for (k = 0, sum = 0; k <= seen.nbounds; k++)
			sum += seen.counts[k];
		assert_int_equal(sum, seen.count);
		assert_true(seen.count >= before);
		before = seen.count;
	}
	__atomic_store_n(&stop_writers, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_true(chi_metrics_value(series) >= (double)before);
}

static void *make_series(void *arg)
{
	char text[20];
	const char *value = text;
	unsigned i;

	for (i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "v%u", i);
		chi_metrics_add(chi_metrics_series(arg, &value), 1);
	}
	return NULL;
}

static void series_made_by_many_threads_are_one_each(void **state)
{
	const struct chi_family *f = family((struct ch_metric){ .name = "t_made_total", .kind = CH_COUNTER, .labels = { { "a", CH_L_CONFIG,
		NULL } } });
	pthread_t t[THREADS];
	struct seen seen;
	int i;

	(void)state;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, make_series, (void *)f), 0);
	for (i = 0; i < 20; i++)
		walk_for("t_made_total");
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	seen = walk_for("t_made_total");
	assert_int_equal(seen.series, 500);
	assert_true(seen.value == THREADS);
}

static void the_process_tells_of_itself(void **state)
{
	struct seen seen;

	(void)state;
	chi_metrics_process("1.2.3", "abc");
	assert_true(walk_for("process_resident_memory_bytes").value > 100000);
	assert_true(walk_for("process_virtual_memory_bytes").value > walk_for("process_resident_memory_bytes").value);
	assert_true(walk_for("process_cpu_seconds_total").value > 0);
	assert_true(walk_for("process_open_fds").value >= 3);
	assert_true(walk_for("process_max_fds").value >= walk_for("process_open_fds").value);
	assert_true(fabs(walk_for("process_start_time_seconds").value - (double)time(NULL)) < 600);
	seen = walk_for("chimera_build_info");
	assert_string_equal(seen.labels[0], "1.2.3;abc;");
	assert_true(seen.value == 1);
}

/* Not a test: what a request pays, see COST.md (35 ns). */
static void cost(void **state)
{
	static const double bounds[] = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10 };
	unsigned c[10], h[2], i, k, n = 1000000;
	struct timespec a, b, now;
	char name[40];
	double ns, with_clock;

	(void)state;
	for (i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "t_cost%u_total", i);
		c[i] = chi_metrics_series(family((struct ch_metric){ .name = name, .kind = CH_COUNTER }), NULL);
	}
	h[0] = chi_metrics_series(family((struct ch_metric){ .name = "t_cost_exp", .kind = CH_HISTOGRAM }), NULL);
	h[1] = chi_metrics_series(family((struct ch_metric){ .name = "t_cost_buckets", .kind = CH_HISTOGRAM, .buckets = bounds,
		.nbuckets = 11 }), NULL);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (i = 0; i < n; i++) {
		for (k = 0; k < 10; k++)
			chi_metrics_add(c[k], 1);
		for (k = 0; k < 2; k++)
			chi_metrics_observe(h[k], (double)(i & 1023) / 4096);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / n;
	a = b;
	for (i = 0; i < n; i++)
		clock_gettime(CLOCK_MONOTONIC, &now);
	clock_gettime(CLOCK_MONOTONIC, &b);
	with_clock = ns + ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / n;
	print_message("10 counters + 2 histograms: %.1f ns; with one clock: %.1f ns\n", ns, with_clock);
	assert_true(chi_metrics_value(c[9]) == n && chi_metrics_value(h[1]) == n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_that_add_at_once_sum_exactly),
		cmocka_unit_test(threads_that_end_leave_counts_and_sums_that_never_step_back),
		cmocka_unit_test(a_counter_takes_nothing_negative_and_nothing_infinite),
		cmocka_unit_test(a_gauge_is_what_was_set_plus_what_was_added),
		cmocka_unit_test(numbers_that_name_no_series_harm_nobody),
		cmocka_unit_test(exponential_buckets_are_quarters_of_octaves),
		cmocka_unit_test(an_exponential_histogram_is_shown_with_powers_of_two),
		cmocka_unit_test(a_value_on_a_declared_bound_belongs_below_it),
		cmocka_unit_test(quantiles_are_interpolated),
		cmocka_unit_test(the_same_family_again_goes_on_counting),
		cmocka_unit_test(another_shape_under_a_known_name_is_refused),
		cmocka_unit_test(a_declaration_against_the_rules_is_refused_in_one_sentence),
		cmocka_unit_test(values_outside_of_their_set_are_other),
		cmocka_unit_test(past_a_cap_all_labels_are_other_and_that_is_counted),
		cmocka_unit_test(a_walk_goes_by_name_and_shows_plain_families_at_zero),
		cmocka_unit_test(a_walk_beside_writers_is_consistent),
		cmocka_unit_test(series_made_by_many_threads_are_one_each),
		cmocka_unit_test(the_process_tells_of_itself),
		cmocka_unit_test(cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
