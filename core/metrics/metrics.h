/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/metrics/metrics.h - the registry of metrics: families, series, cells per thread, and the walk that exporters use.
 *
 * A family is one struct ch_metric; its name is its identity, so a plugin that is loaded again goes on counting where it was. A series
 * is one set of label values of a family, known by a number that stays valid for the life of the process; number 0 counts nowhere.
 * The number holds where the cells lie and of what shape they are, so counting needs no lookup: each thread adds to cells of its own,
 * without lock or atomic read-modify-write. What a thread counted stays when it ends.
 *
 * Every function may be called from every thread. Nothing here is ever freed: families and series live as long as the process.
 */
#ifndef CHI_METRICS_H
#define CHI_METRICS_H

#include <chimera/inspect.h>

#include <float.h>

#include "core/chi.h"

struct chi_family;

/* ---- families and series ---- */

/*
 * The family that `m` describes; everything of *m that is needed is copied. The same name again gives the same family if kind, labels and
 * buckets are the same (max_series may change). NULL: refused, and err holds one sentence (always ended by NUL) that says why.
 */
const struct chi_family *chi_metrics_family(const struct ch_metric *m, char *err, size_t nerr);

/*
 * The series of the family with these values, one for each label and in their order (NULL without labels): found or made. A NULL value, one
 * outside of a FIXED or HOST set, and one that is no UTF-8 or longer than 256 bytes is "other". Past the family's max_series or the cap of
 * the process the series with "other" in every label is given, and chimera_metrics_overflow_total counts it. Takes a mutex for a moment. 0
 * only for a NULL family or without memory.
 */
unsigned chi_metrics_series(const struct chi_family *f, const char *const *values);

/*
 * Adds `value` to the set of a HOST label ("endpoint", "method", "status", "plugin"). Returns the registry's own copy, or NULL if the label
 * is none of these, or the value is no UTF-8 or longer than 256 bytes.
 */
const char *chi_metrics_host_value(const char *label, const char *value);

/* How many series the process may have in all; default 10,000. Families without labels and the "other" series are never refused. */
void chi_metrics_set_cap(unsigned max_series);

/* ---- counting ---- */

/* Internal, here for the inline function below. A series number is shape << 22 | page << 13 | offset of its first cell. */
#define CHI_CELL_BITS 13u
#define CHI_PAGE_BITS 9u
#define CHI_SHAPE_SHIFT (CHI_CELL_BITS + CHI_PAGE_BITS)
#define CHI_SERIES_PAGE(series) ((series) >> CHI_CELL_BITS & ((1u << CHI_PAGE_BITS) - 1))
#define CHI_SERIES_CELL(series) ((series) & ((1u << CHI_CELL_BITS) - 1))
#define CHI_SERIES_SHAPE(series) ((series) >> CHI_SHAPE_SHIFT)
enum {
	CHI_SHAPE_NONE = 0,
	CHI_SHAPE_COUNTER,
	CHI_SHAPE_GAUGE,
	CHI_SHAPE_EXPONENTIAL,
	CHI_SHAPE_BUCKETS /* from here on one shape for each set of bounds */
};

union chi_cell {
	double d;
	uint64_t u;
};
struct chi_shard {
	union chi_cell *page[1u << CHI_PAGE_BITS]; /* mapped at the first use by the thread; written by it alone */
	struct chi_shard *next;                    /* under the lock of cells.c */
};
extern __thread struct chi_shard *chi_metrics_shard;
void chi_metrics_add_slow(unsigned series, double v);

/* Counter: += v, ignored unless 0 <= v. Gauge: += v. What is not finite and what goes to a histogram is ignored. 1 ns. */
static inline void chi_metrics_add(unsigned series, double v)
{
	unsigned shape = CHI_SERIES_SHAPE(series);
	union chi_cell *page, cell;

	if (shape - 1 > 1 || !(v >= (shape == CHI_SHAPE_COUNTER ? 0 : -DBL_MAX) && v <= DBL_MAX))
		return;
	page = chi_metrics_shard->page[CHI_SERIES_PAGE(series)];
	if (__builtin_expect(!page, 0)) {
		chi_metrics_add_slow(series, v);
		return;
	}
	page += CHI_SERIES_CELL(series);
	cell.u = __atomic_load_n(&page->u, __ATOMIC_RELAXED);
	cell.d += v;
	__atomic_store_n(&page->u, cell.u, __ATOMIC_RELAXED);
}

/*
 * Gauge: = v, one cell for all threads; its value is that plus all that was added. On a counter it is for collectors, which read a total
 * elsewhere.
 */
void chi_metrics_set(unsigned series, double v);

/* Histogram: counts v into its bucket (v <= bound). What is not finite is ignored. */
void chi_metrics_observe(unsigned series, double v);

/* ---- reading ---- */

/* A counter's or gauge's value now; a histogram's count. */
double chi_metrics_value(unsigned series);

/*
 * The q-quantile (0 <= q <= 1) of all that a histogram observed, interpolated inside its bucket: an exponential histogram is exact to 10 %.
 * Above the last bound it is that bound. NaN: no histogram, or nothing observed.
 */
double chi_metrics_quantile(unsigned series, double q);

/*
 * Calls fn once a series: families in the order of their names, series in the order they were made. A histogram's count is the sum of its
 * buckets, and no counter, sum or count is ever less than in an earlier walk. fn runs without a lock and may call everything here but walk.
 */
void chi_metrics_walk(void (*fn)(void *arg, const struct ch_sample *), void *arg);

/* Before each walk fn(arg) runs on the walking thread, one at a time, to set what is read rather than counted. False: no memory. */
bool chi_metrics_collector(void (*fn)(void *arg), void *arg);

/* ---- what the daemon tells of itself ---- */

/* Makes process_* (as Prometheus' clients name them) and chimera_build_info{version,commit} = 1. Once, at start. */
void chi_metrics_process(const char *version, const char *commit);

#endif
