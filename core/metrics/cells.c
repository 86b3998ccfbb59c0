/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cells.c - cells per thread. Each thread has a shard: pages of cells, mapped when the thread first counts there. A shard's owner alone
 * writes its cells, by plain relaxed loads and stores; readers add up all shards under `lock`, which also keeps an ending thread from
 * folding its shard into `base` meanwhile. What is set rather than added lies in `assigned`, one cell for all threads.
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/metrics/cells.h"

#define PAGE_CELLS (1u << CHI_CELL_BITS)
#define PAGES (1u << CHI_PAGE_BITS)
#define SHAPES (1u << (32 - CHI_SHAPE_SHIFT))

struct shape {
	const double *bounds;
	unsigned nbounds;
	unsigned cells;
};

static struct shape shapes[SHAPES] = {
	[CHI_SHAPE_COUNTER] = { .cells = 1 },
	[CHI_SHAPE_GAUGE] = { .cells = 1 },
	[CHI_SHAPE_EXPONENTIAL] = { .cells = CHI_EXP_BUCKETS + 1 },
};
static unsigned nshapes = CHI_SHAPE_BUCKETS;
static unsigned ncells = 1; /* handed out so far; cell 0 belongs to nobody */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the list of shards, `base`, making pages of `assigned` */
static struct chi_shard none;                            /* of a thread that has not counted yet: has no page */
static struct chi_shard base;                            /* what ended threads counted */
static struct chi_shard assigned;
static struct chi_shard *threads;
static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

__thread struct chi_shard *chi_metrics_shard = &none;

/* ---- buckets ---- */

/* Where the quarters of an octave begin, as the fraction bits of the doubles nearest to 2^(1/4), 2^(2/4), 2^(3/4). */
#define QUARTER1 0x306fe0a31b715u
#define QUARTER2 0x6a09e667f3bcdu
#define QUARTER3 0xae89f995ad3adu

unsigned chi_exp_bucket(double v)
{
	uint64_t bits, fraction;
	int octave;

	if (!(v > 0x1p-20))
		return 0;
	if (v > 0x1p20)
		return CHI_EXP_BUCKETS - 1;
	memcpy(&bits, &v, sizeof(bits));
	bits--; /* a bound belongs to the bucket below it */
	octave = (int)(bits >> 52) - 1023 - CHI_EXP_MIN;
	fraction = bits & 0xfffffffffffffu;
	return 1 + (unsigned)octave * 4 + (fraction >= QUARTER1) + (fraction >= QUARTER2) + (fraction >= QUARTER3);
}

double chi_exp_bound(unsigned i)
{
	static const uint64_t fractions[4] = { 0, QUARTER1, QUARTER2, QUARTER3 };
	uint64_t bits;
	double v;

	if (i > CHI_EXP_BUCKETS - 2)
		i = CHI_EXP_BUCKETS - 2;
	bits = (uint64_t)(1023 + CHI_EXP_MIN + (int)(i / 4)) << 52 | fractions[i % 4];
	memcpy(&v, &bits, sizeof(v));
	return v;
}

static const double *powers_of_two(void)
{
	static const double bounds[CHI_EXP_BOUNDS] = {
		0x1p-20, 0x1p-19, 0x1p-18, 0x1p-17, 0x1p-16, 0x1p-15, 0x1p-14, 0x1p-13, 0x1p-12, 0x1p-11, 0x1p-10,
		0x1p-9,  0x1p-8,  0x1p-7,  0x1p-6,  0x1p-5,  0x1p-4,  0x1p-3,  0x1p-2,  0x1p-1,  0x1p0,   0x1p1,
		0x1p2,   0x1p3,   0x1p4,   0x1p5,   0x1p6,   0x1p7,   0x1p8,   0x1p9,   0x1p10,  0x1p11,  0x1p12,
		0x1p13,  0x1p14,  0x1p15,  0x1p16,  0x1p17,  0x1p18,  0x1p19,  0x1p20,
	};

	return bounds;
}

/* ---- shards ---- */

/* Zeroed memory that does not depend on malloc: a gauge that loses one count when memory is short is wrong for ever. NULL: none. */
static void *mapped(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* A number that chi_cells_new gave, as far as memory safety goes: all its cells lie on the page. */
static bool plausible(unsigned series)
{
	unsigned cells = shapes[CHI_SERIES_SHAPE(series)].cells;

	return cells && CHI_SERIES_CELL(series) + cells <= PAGE_CELLS;
}

/* The cell of a series in a shard, or NULL if its thread never counted on that page. */
static union chi_cell *cell_of(const struct chi_shard *s, unsigned series)
{
	union chi_cell *page = __atomic_load_n(&s->page[CHI_SERIES_PAGE(series)], __ATOMIC_ACQUIRE);

	return page ? page + CHI_SERIES_CELL(series) : NULL;
}

/* The same, with the page mapped if it was not. NULL: no memory, or no series has these cells. */
static union chi_cell *make_cell(struct chi_shard *s, unsigned series)
{
	union chi_cell *cell = cell_of(s, series);
	unsigned shape = CHI_SERIES_SHAPE(series);
	unsigned first = series & ((1u << CHI_SHAPE_SHIFT) - 1);
	void *page;

	if (cell)
		return cell;
	if (!first || first + shapes[shape].cells > __atomic_load_n(&ncells, __ATOMIC_ACQUIRE))
		return NULL;
	page = mapped(PAGE_CELLS * sizeof(union chi_cell));
	if (!page)
		return NULL;
	__atomic_store_n(&s->page[CHI_SERIES_PAGE(series)], page, __ATOMIC_RELEASE);
	return (union chi_cell *)page + CHI_SERIES_CELL(series);
}

static bool is_count(const struct shape *shape, unsigned i)
{
	return i + 1 < shape->cells; /* a scalar has one cell, a histogram's sum is its last */
}

static void add_cell(union chi_cell *to, union chi_cell v, bool count)
{
	union chi_cell x;

	x.u = __atomic_load_n(&to->u, __ATOMIC_RELAXED);
	if (count)
		x.u += v.u;
	else
		x.d += v.d;
	__atomic_store_n(&to->u, x.u, __ATOMIC_RELAXED);
}

static void on_thread_end(void *arg);

static void make_key(void)
{
	if (pthread_key_create(&at_thread_end, on_thread_end))
		abort(); /* at the first count of the process: no keys left is a broken build */
}

/* This thread's own shard, made at its first count. NULL: no memory. */
static struct chi_shard *own_shard(void)
{
	struct chi_shard *s = chi_metrics_shard;

	if (s != &none)
		return s;
	pthread_once(&once, make_key);
	s = mapped(sizeof(*s));
	if (!s)
		return NULL;
	if (pthread_setspecific(at_thread_end, s)) {
		munmap(s, sizeof(*s));
		return NULL;
	}
	pthread_mutex_lock(&lock);
	s->next = threads;
	threads = s;
	pthread_mutex_unlock(&lock);
	chi_metrics_shard = s;
	return s;
}

static union chi_cell *own_cell(unsigned series)
{
	union chi_cell *cell = cell_of(chi_metrics_shard, series);
	struct chi_shard *s;

	if (__builtin_expect(cell != NULL, 1))
		return cell;
	s = own_shard();
	return s ? make_cell(s, series) : NULL;
}

void chi_metrics_add_slow(unsigned series, double v)
{
	union chi_cell *cell = own_cell(series);

	if (cell)
		add_cell(cell, (union chi_cell){ .d = v }, false);
}

void chi_metrics_set(unsigned series, double v)
{
	unsigned shape = CHI_SERIES_SHAPE(series);
	union chi_cell *cell;

	if (shape != CHI_SHAPE_COUNTER && shape != CHI_SHAPE_GAUGE)
		return;
	cell = cell_of(&assigned, series);
	if (!cell) {
		pthread_mutex_lock(&lock);
		cell = make_cell(&assigned, series);
		pthread_mutex_unlock(&lock);
	}
	if (cell)
		__atomic_store_n(&cell->u, ((union chi_cell){ .d = v }).u, __ATOMIC_RELAXED);
}

void chi_metrics_observe(unsigned series, double v)
{
	unsigned shape = CHI_SERIES_SHAPE(series), i;
	union chi_cell *cell;

	if (shape < CHI_SHAPE_EXPONENTIAL || !plausible(series) || !(v >= -DBL_MAX && v <= DBL_MAX))
		return;
	cell = own_cell(series);
	if (!cell)
		return;
	if (shape == CHI_SHAPE_EXPONENTIAL) {
		i = chi_exp_bucket(v);
	} else {
		const struct shape *s = &shapes[shape];

		for (i = 0; i < s->nbounds && v > s->bounds[i]; i++)
			;
	}
	add_cell(cell + i, (union chi_cell){ .u = 1 }, true);
	add_cell(cell + shapes[shape].cells - 1, (union chi_cell){ .d = v }, false);
}

/* ---- making series ---- */

/*
 * Which shape each cell belongs to is known only to the series' numbers; folding needs it for every cell: one bit, "this cell is a
 * count".
 */
static uint64_t count_bits[PAGES * PAGE_CELLS / 64];

unsigned chi_cells_shape(const double *bounds, size_t n)
{
	double *copy;
	unsigned i;

	if (!bounds)
		return CHI_SHAPE_EXPONENTIAL;
	for (i = CHI_SHAPE_BUCKETS; i < nshapes; i++)
		if (shapes[i].nbounds == n && !memcmp(shapes[i].bounds, bounds, n * sizeof(*bounds)))
			return i;
	copy = nshapes < SHAPES ? malloc(n * sizeof(*copy)) : NULL;
	if (!copy)
		return CHI_SHAPE_NONE;
	memcpy(copy, bounds, n * sizeof(*copy));
	shapes[nshapes].bounds = copy;
	shapes[nshapes].nbounds = (unsigned)n;
	shapes[nshapes].cells = (unsigned)n + 2;
	return nshapes++;
}

unsigned chi_cells_new(unsigned shape)
{
	unsigned n = shapes[shape].cells, first = ncells, i;

	if (first % PAGE_CELLS + n > PAGE_CELLS) /* a series lies on one page */
		first += PAGE_CELLS - first % PAGE_CELLS;
	if (first + n > PAGES * PAGE_CELLS)
		return 0;
	for (i = 0; i < n; i++)
		if (is_count(&shapes[shape], i))
			__atomic_fetch_or(&count_bits[(first + i) / 64], (uint64_t)1 << (first + i) % 64, __ATOMIC_RELAXED);
	__atomic_store_n(&ncells, first + n, __ATOMIC_RELEASE);
	return shape << CHI_SHAPE_SHIFT | first;
}

/* ---- adding up ---- */

static void on_thread_end(void *arg)
{
	struct chi_shard *s = arg, **at;
	unsigned used = __atomic_load_n(&ncells, __ATOMIC_ACQUIRE), page, i;

	chi_metrics_shard = &none; /* what later destructors count goes to a new shard */
	pthread_mutex_lock(&lock);
	for (page = 0; page < PAGES; page++) {
		if (!s->page[page])
			continue;
		if (!base.page[page]) { /* the first to end here leaves its page as it is */
			base.page[page] = s->page[page];
			continue;
		}
		for (i = 0; i < PAGE_CELLS && page * PAGE_CELLS + i < used; i++) {
			unsigned at_bit = page * PAGE_CELLS + i;
			uint64_t bits = __atomic_load_n(&count_bits[at_bit / 64], __ATOMIC_RELAXED);

			add_cell(base.page[page] + i, s->page[page][i], bits >> at_bit % 64 & 1);
		}
		munmap(s->page[page], PAGE_CELLS * sizeof(union chi_cell));
	}
	for (at = &threads; *at != s; at = &(*at)->next)
		;
	*at = s->next;
	pthread_mutex_unlock(&lock);
	munmap(s, sizeof(*s));
}

static void sum_shard(const struct chi_shard *s, unsigned series, const struct shape *shape, union chi_cell *into)
{
	const union chi_cell *cell = cell_of(s, series);
	unsigned i;

	for (i = 0; cell && i < shape->cells; i++) {
		union chi_cell v;

		v.u = __atomic_load_n(&cell[i].u, __ATOMIC_RELAXED);
		if (is_count(shape, i))
			into[i].u += v.u;
		else
			into[i].d += v.d;
	}
}

/*
 * A thread that ends changes the order in which a sum is added up, and so perhaps its last bit. To a reader of counters a sum that went
 * back even by one bit is a restart from 0.
 */
static double no_step_back(double now, double *last)
{
	if (now < *last && now > *last * (1 - 1e-9))
		return *last;
	return *last = now;
}

void chi_cells_read(unsigned series, struct chi_reading *r, double *last)
{
	const struct shape *shape = &shapes[CHI_SERIES_SHAPE(series)];
	union chi_cell cells[CHI_BOUNDS_MAX + 2];
	const struct chi_shard *s;
	unsigned i;

	_Static_assert(CHI_BOUNDS_MAX + 2 >= CHI_EXP_BUCKETS + 1, "cells[] holds either kind of histogram");
	memset(cells, 0, shape->cells * sizeof(cells[0]));
	pthread_mutex_lock(&lock);
	sum_shard(&assigned, series, shape, cells);
	sum_shard(&base, series, shape, cells);
	for (s = threads; s; s = s->next)
		sum_shard(s, series, shape, cells);
	r->value = r->sum = cells[shape->cells - 1].d;
	if (CHI_SERIES_SHAPE(series) != CHI_SHAPE_GAUGE)
		r->value = r->sum = no_step_back(r->sum, last);
	pthread_mutex_unlock(&lock);

	r->count = 0;
	r->bounds = shape->bounds;
	r->nbounds = shape->nbounds;
	if (CHI_SERIES_SHAPE(series) == CHI_SHAPE_EXPONENTIAL) {
		r->bounds = powers_of_two();
		r->nbounds = CHI_EXP_BOUNDS;
		memset(r->counts, 0, (CHI_EXP_BOUNDS + 1) * sizeof(r->counts[0]));
		for (i = 0; i < CHI_EXP_BUCKETS; i++)
			r->counts[(i + 3) / 4] += cells[i].u;
	} else {
		for (i = 0; i + 1 < shape->cells; i++)
			r->counts[i] = cells[i].u;
	}
	for (i = 0; shape->cells > 1 && i <= r->nbounds; i++)
		r->count += r->counts[i];
}

double chi_metrics_value(unsigned series)
{
	struct chi_reading r;
	double last = 0;

	if (!plausible(series))
		return 0;
	chi_cells_read(series, &r, &last);
	return CHI_SERIES_SHAPE(series) < CHI_SHAPE_EXPONENTIAL ? r.value : (double)r.count;
}

/* Inside a bucket values are taken as spread evenly. The first bucket of declared bounds begins at 0, unless its bound is below. */
double chi_metrics_quantile(unsigned series, double q)
{
	unsigned which = CHI_SERIES_SHAPE(series), i, n;
	const struct shape *shape = &shapes[which];
	union chi_cell cells[CHI_BOUNDS_MAX + 2] = { 0 };
	const struct chi_shard *s;
	uint64_t count = 0;
	double rank, below = 0, lower, upper;

	if (which < CHI_SHAPE_EXPONENTIAL || !plausible(series) || !(q >= 0 && q <= 1))
		return NAN;
	pthread_mutex_lock(&lock);
	sum_shard(&base, series, shape, cells);
	for (s = threads; s; s = s->next)
		sum_shard(s, series, shape, cells);
	pthread_mutex_unlock(&lock);
	n = shape->cells - 1;
	for (i = 0; i < n; i++)
		count += cells[i].u;
	if (!count)
		return NAN;
	rank = q * (double)count;
	for (i = 0; i < n - 1 && (!cells[i].u || below + (double)cells[i].u < rank); i++)
		below += (double)cells[i].u;
	if (which == CHI_SHAPE_EXPONENTIAL) {
		upper = chi_exp_bound(i);
		lower = i ? chi_exp_bound(i - 1) : 0;
	} else {
		upper = shape->bounds[i < n - 1 ? i : n - 2];
		lower = i ? shape->bounds[i - 1] : upper < 0 ? upper : 0;
	}
	if (i == n - 1)
		return upper;
	return lower + (upper - lower) * (rank - below) / (double)cells[i].u;
}
