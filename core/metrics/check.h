/* SPDX-License-Identifier: Apache-2.0 */
/* core/metrics/check.h - what a declaration of a metric may look like. For core/metrics alone. */
#ifndef CHI_METRICS_CHECK_H
#define CHI_METRICS_CHECK_H

#include "core/chi.h"

#define CHI_LABELS_MAX 4
#define CHI_VALUE_MAX 256 /* bytes of a label value */

/* How many labels *m has: those before the first without a name. */
unsigned chi_metrics_labels(const struct ch_metric *m);
/* Is s (not NULL) UTF-8 of at most CHI_VALUE_MAX bytes? */
bool chi_metrics_value_ok(const char *s);
/* Is this a name of a HOST label's set? Its number from 0, or -1. */
int chi_metrics_host_label(const char *name);
/* May *m be declared? False: err holds one sentence. */
bool chi_metrics_check(const struct ch_metric *m, char *err, size_t nerr);
/* Has `m` the kind, labels and buckets of `known`? False: err holds one sentence. */
bool chi_metrics_same(const struct ch_metric *known, const struct ch_metric *m, char *err, size_t nerr);

#endif
