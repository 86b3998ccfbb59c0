/* SPDX-License-Identifier: Apache-2.0 */
/* core/metrics/cells.h - the numbers under the registry: where they lie and how they are added up. For core/metrics alone. */
#ifndef CHI_CELLS_H
#define CHI_CELLS_H

#include "core/metrics/metrics.h"

/*
 * An exponential histogram has four buckets an octave from 2^-20 to 2^20, one below and one above, and is shown with the 41 powers of two
 * as its bounds. A histogram's cells: one count a bucket, then the sum.
 */
#define CHI_EXP_MIN (-20)
#define CHI_EXP_MAX 20
#define CHI_EXP_BUCKETS ((CHI_EXP_MAX - CHI_EXP_MIN) * 4 + 2)
#define CHI_EXP_BOUNDS (CHI_EXP_MAX - CHI_EXP_MIN + 1)
#define CHI_BOUNDS_MAX 200 /* declared buckets of one family */

/*
 * Which bucket of an exponential histogram v belongs to: bucket i > 0 holds 2^(-20 + (i-1)/4) < v <= 2^(-20 + i/4); 0 what lies below,
 * 161 above.
 */
unsigned chi_exp_bucket(double v);
/* The upper bound of bucket i < 161; 2^20 from there on. */
double chi_exp_bound(unsigned i);

/* The shape of histograms with these bounds (NULL: exponential): the same bounds give the same shape. 0: too many shapes, or no memory. */
unsigned chi_cells_shape(const double *bounds, size_t n);
/* Cells for one more series of that shape; its number, or 0 when all are used. Callers take turns (the registry's lock). */
unsigned chi_cells_new(unsigned shape);

/* What is read of a series. `counts` is used by histograms, whose bounds and counts it holds as struct ch_sample wants them. */
struct chi_reading {
	double value; /* counter, gauge */
	const double *bounds;
	size_t nbounds;
	uint64_t count;
	double sum;
	uint64_t counts[CHI_BOUNDS_MAX + 1];
};
/* Adds up all threads' cells. *last is what the caller read before, or 0 at first: a total is never less than it by a rounding error. */
void chi_cells_read(unsigned series, struct chi_reading *r, double *last);

#endif
