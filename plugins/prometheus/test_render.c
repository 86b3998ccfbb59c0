/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_render.c - the text that Prometheus reads; expected texts follow its exposition formats page and the OpenMetrics 1.0.0
 * specification.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "render.h"

static const struct ch_metric requests = { .name = "http_requests_total", .kind = CH_COUNTER, .help = "Requests",
	.labels = { { "method", CH_L_CONFIG, NULL }, { "status", CH_L_CONFIG, NULL } } };
static const struct ch_metric size_bytes = { .name = "cache_size_bytes", .kind = CH_GAUGE,
	.help = "Bytes in the \"cache\"\nnow, \\ included" };
static const struct ch_metric cpu = { .name = "process_cpu_seconds_total", .kind = CH_COUNTER, .help = "CPU" };
static const struct ch_metric latency_ms = { .name = "ask_latency_ms", .kind = CH_HISTOGRAM, .help = "Latency", .labels = { { "backend",
	CH_L_CONFIG, NULL } } };
static const struct ch_metric delta = { .name = "delta_seconds", .kind = CH_HISTOGRAM, .help = "Delta" };

/* All families above in one exposition; to be freed. */
static char *expose(enum render_format format)
{
	static const char *const get[] = { "GET", "200" }, *const odd[] = { "a\\b\"c\nd{}", "" }, *const backend[] = { "vllm" };
	static const double bounds[] = { 0.5, 1, 1000 }, below[] = { -1, 0 };
	static const uint64_t counts[] = { 2, 0, 3, 1 }, few[] = { 1, 1, 0 };
	struct render r;

	render_begin(&r, format);
	render_sample(&r, &(struct ch_sample){ .size = sizeof(struct ch_sample), .family = &requests, .first = true, .labels = get,
		.value = 1027 });
	render_sample(&r, &(struct ch_sample){ .size = sizeof(struct ch_sample), .family = &requests, .labels = odd, .value = 0.25 });
	render_sample(&r, &(struct ch_sample){ .size = sizeof(struct ch_sample), .family = &size_bytes, .first = true, .value = -3 });
	render_sample(&r, &(struct ch_sample){ .size = sizeof(struct ch_sample), .family = &cpu, .first = true, .value = 1.5 });
	render_sample(&r, &(struct ch_sample){ .size = sizeof(struct ch_sample), .family = &latency_ms, .first = true, .labels = backend,
		.bounds = bounds,
		.counts = counts, .nbounds = 3, .count = 6, .sum = 2000.75 });
	render_sample(&r, &(struct ch_sample){ .size = sizeof(struct ch_sample), .family = &delta, .first = true, .bounds = below,
		.counts = few,
		.nbounds = 2, .count = 2, .sum = -2 });
	assert_true(render_end(&r));
	r.p = realloc(r.p, r.n + 1);
	r.p[r.n] = '\0';
	return r.p;
}

static void the_text_format_is_as_its_page_says(void **state)
{
	char *text = expose(RENDER_TEXT);

	(void)state;
	assert_string_equal(text,
		"# HELP http_requests_total Requests\n"
		"# TYPE http_requests_total counter\n"
		"http_requests_total{method=\"GET\",status=\"200\"} 1027\n"
		"http_requests_total{method=\"a\\\\b\\\"c\\nd{}\",status=\"\"} 0.25\n"
		"# HELP cache_size_bytes Bytes in the \"cache\"\\nnow, \\\\ included\n"
		"# TYPE cache_size_bytes gauge\n"
		"cache_size_bytes -3\n"
		"# HELP process_cpu_seconds_total CPU\n"
		"# TYPE process_cpu_seconds_total counter\n"
		"process_cpu_seconds_total 1.5\n"
		"# HELP ask_latency_ms Latency\n"
		"# TYPE ask_latency_ms histogram\n"
		"ask_latency_ms_bucket{backend=\"vllm\",le=\"0.5\"} 2\n"
		"ask_latency_ms_bucket{backend=\"vllm\",le=\"1.0\"} 2\n"
		"ask_latency_ms_bucket{backend=\"vllm\",le=\"1000.0\"} 5\n"
		"ask_latency_ms_bucket{backend=\"vllm\",le=\"+Inf\"} 6\n"
		"ask_latency_ms_sum{backend=\"vllm\"} 2000.75\n"
		"ask_latency_ms_count{backend=\"vllm\"} 6\n"
		"# HELP delta_seconds Delta\n"
		"# TYPE delta_seconds histogram\n"
		"delta_seconds_bucket{le=\"-1.0\"} 1\n"
		"delta_seconds_bucket{le=\"0.0\"} 2\n"
		"delta_seconds_bucket{le=\"+Inf\"} 2\n"
		"delta_seconds_sum -2\n"
		"delta_seconds_count 2\n");
	free(text);
}

static void openmetrics_has_units_and_an_end_and_counters_without_total(void **state)
{
	char *text = expose(RENDER_OPENMETRICS);

	(void)state;
	assert_string_equal(text,
		"# HELP http_requests Requests\n"
		"# TYPE http_requests counter\n"
		"http_requests_total{method=\"GET\",status=\"200\"} 1027\n"
		"http_requests_total{method=\"a\\\\b\\\"c\\nd{}\",status=\"\"} 0.25\n"
		"# HELP cache_size_bytes Bytes in the \\\"cache\\\"\\nnow, \\\\ included\n"
		"# TYPE cache_size_bytes gauge\n"
		"# UNIT cache_size_bytes bytes\n"
		"cache_size_bytes -3\n"
		"# HELP process_cpu_seconds CPU\n"
		"# TYPE process_cpu_seconds counter\n"
		"# UNIT process_cpu_seconds seconds\n"
		"process_cpu_seconds_total 1.5\n"
		"# HELP ask_latency_ms Latency\n"
		"# TYPE ask_latency_ms histogram\n"
		"ask_latency_ms_bucket{backend=\"vllm\",le=\"0.5\"} 2\n"
		"ask_latency_ms_bucket{backend=\"vllm\",le=\"1.0\"} 2\n"
		"ask_latency_ms_bucket{backend=\"vllm\",le=\"1000.0\"} 5\n"
		"ask_latency_ms_bucket{backend=\"vllm\",le=\"+Inf\"} 6\n"
		"ask_latency_ms_sum{backend=\"vllm\"} 2000.75\n"
		"ask_latency_ms_count{backend=\"vllm\"} 6\n"
		"# HELP delta_seconds Delta\n"
		"# TYPE delta_seconds histogram\n"
		"# UNIT delta_seconds seconds\n"
		"delta_seconds_bucket{le=\"-1.0\"} 1\n"
		"delta_seconds_bucket{le=\"0.0\"} 2\n"
		"delta_seconds_bucket{le=\"+Inf\"} 2\n"
		"delta_seconds_count 2\n" /* no sum: with bounds below 0 it is no counter */
		"# EOF\n");
	free(text);
}

/* The value of a gauge as it is written. */
static const char *written(double v)
{
	static const struct ch_metric m = { .name = "g", .kind = CH_GAUGE, .help = "h" };
	static char text[64];
	struct render r;

	render_begin(&r, RENDER_TEXT);
	render_sample(&r, &(struct ch_sample){ .size = sizeof(struct ch_sample), .family = &m, .value = v });
	assert_true(render_end(&r));
	snprintf(text, sizeof(text), "%.*s", (int)r.n - 3, r.p + 2);
	free(r.p);
	return text;
}

static void numbers_are_the_shortest_that_read_back_equal(void **state)
{
	static const struct { double v; const char *text; } cases[] = {
		{ 0, "0" }, { 1, "1" }, { -1, "-1" }, { 0.1, "0.1" }, { 0.3, "0.3" }, { 0.1 + 0.2, "0.30000000000000004" }, { 123456.789,
			"123456.789" },
		{ 1e-9, "0.000000001" }, { 2.5e-5, "0.000025" }, { 1795240000.125, "1795240000.125" }, { 9007199254740991,
			"9007199254740991" },
		{ 1.7976931348623157e308, "1.7976931348623157e+308" }, { 5e-324, "5e-324" }, { 1.0 / 3, "0.3333333333333333" },
		{ NAN, "NaN" }, { INFINITY, "+Inf" }, { -INFINITY, "-Inf" },
	};
	uint64_t seed = 1, bits;
	unsigned i;
	double v;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(written(cases[i].v), cases[i].text);
	for (i = 0; i < 20000; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		bits = seed ^ seed >> 29;
		if (i % 2)
			memcpy(&v, &bits, sizeof(v)); /* any double */
		else
			v = (double)(bits >> 34) / (double)(1 + bits % 1000000); /* what metrics hold */
		if (v == v)
			assert_true(strtod(written(v), NULL) == v);
	}
}

static void bounds_have_a_point_and_no_exponent(void **state)
{
	static const struct { double v; const char *text; } cases[] = {
		{ -0.000001, "-0.000001" }, { 0x1p-20, "0.00000095367431640625" }, { 0x1p-19, "0.0000019073486328125" }, { 0.001, "0.001" },
			{ 0.005, "0.005" },
		{ .3, "0.3" }, { 1, "1.0" }, { 2.5, "2.5" }, { 10, "10.0" }, { 1048576, "1048576.0" }, { 67108864, "67108864.0" },
	};
	static const struct ch_metric m = { .name = "h", .kind = CH_HISTOGRAM, .help = "h" };
	enum { N = sizeof(cases) / sizeof(cases[0]) };
	uint64_t counts[N + 1] = { 0 };
	double bounds[N];
	struct render r;
	char want[80], *at;
	unsigned i;

	(void)state;
	for (i = 0; i < N; i++)
		bounds[i] = cases[i].v;
	render_begin(&r, RENDER_TEXT);
	render_sample(&r, &(struct ch_sample){ .size = sizeof(struct ch_sample), .family = &m, .first = true, .bounds = bounds,
		.counts = counts, .nbounds = N });
	assert_true(render_end(&r));
	r.p = realloc(r.p, r.n + 1);
	r.p[r.n] = '\0';
	at = r.p;
	for (i = 0; i < N; i++) {
		snprintf(want, sizeof(want), "\nh_bucket{le=\"%s\"} 0\n", cases[i].text);
		at = strstr(at, want);
		if (!at)
			fail_msg("%s is missing in %s", want, r.p);
	}
	free(r.p);
}

static void accept_decides_the_format(void **state)
{
	static const struct { const char *accept; enum render_format format; } cases[] = {
		{ "", RENDER_TEXT }, { "*/*", RENDER_TEXT }, { "text/plain", RENDER_TEXT }, { "text/html", RENDER_TEXT },
		{ "application/openmetrics-text", RENDER_OPENMETRICS },
		{ "application/openmetrics-text; version=1.0.0; charset=utf-8", RENDER_OPENMETRICS },
		{ "Application/OpenMetrics-Text;Version=1.0.0", RENDER_OPENMETRICS },
		/* Prometheus 2.42 and 3 */
		{ "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
		  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", RENDER_OPENMETRICS },
		{ "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
		  "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", RENDER_OPENMETRICS },
		{ "application/openmetrics-text;q=0.4, text/plain;q=0.5", RENDER_TEXT },
		{ "application/openmetrics-text;q=0.5, text/plain;q=0.5", RENDER_OPENMETRICS },
		{ "application/openmetrics-text;q=0", RENDER_TEXT },
		{ "application/openmetrics-text;q=0.2, text/plain;q=0.1, */*", RENDER_OPENMETRICS },
			/* the exact range counts for text/plain */
		{ "application/openmetrics-text;q=0.2, text/*;q=0.3, */*;q=0.1", RENDER_TEXT },
		{ "application/openmetrics-text; version=2.0.0, text/plain;q=0.1", RENDER_TEXT },
		{ " , ;, application/openmetrics-text ; q=0.001 ,,", RENDER_OPENMETRICS },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (render_choose((struct ch_str){ cases[i].accept, strlen(cases[i].accept) }) != cases[i].format)
			fail_msg("\"%s\" got the wrong format", cases[i].accept);
	assert_int_equal(render_choose((struct ch_str){ NULL, 0 }), RENDER_TEXT);
	assert_string_equal(render_type(RENDER_TEXT), "text/plain; version=0.0.4; charset=utf-8");
	assert_string_equal(render_type(RENDER_OPENMETRICS), "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

/* Not a test: 10,000 series, 400 of them histograms of 11 bounds; the budget is 10 ms with the walk. */
static void cost(void **state)
{
	static const double bounds[] = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10 };
	static const uint64_t counts[12] = { 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100, 1200 };
	const char *labels[] = { "/v1/chat/completions", "200" };
	struct timespec a, b;
	struct render r;
	int i;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &a);
	render_begin(&r, RENDER_TEXT);
	for (i = 0; i < 9600; i++)
		render_sample(&r, &(struct ch_sample){ .size = sizeof(struct ch_sample), .family = &requests, .first = !i, .labels = labels,
			.value = i % 3 ? i * 12345.0 : i / 7.0 });
	for (i = 0; i < 400; i++)
		render_sample(&r, &(struct ch_sample){ .size = sizeof(struct ch_sample), .family = &latency_ms, .first = !i,
			.labels = labels, .bounds = bounds,
			.counts = counts, .nbounds = 11, .count = 7800, .sum = i / 7.0 });
	assert_true(render_end(&r));
	clock_gettime(CLOCK_MONOTONIC, &b);
	print_message("10,000 series, %zu bytes: %.2f ms\n", r.n, (double)(b.tv_sec - a.tv_sec) * 1e3
		+ (double)(b.tv_nsec - a.tv_nsec) / 1e6);
	free(r.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_format_is_as_its_page_says),
		cmocka_unit_test(openmetrics_has_units_and_an_end_and_counters_without_total),
		cmocka_unit_test(numbers_are_the_shortest_that_read_back_equal),
		cmocka_unit_test(bounds_have_a_point_and_no_exponent),
		cmocka_unit_test(accept_decides_the_format),
		cmocka_unit_test(cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
