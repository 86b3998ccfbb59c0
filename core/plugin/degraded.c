/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/degraded.h"

#include "core/log/log.h"
#include "core/metrics/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define RECOVERY_US 2000000

struct entry {
	struct entry *next;
	char instance[64], what[64], why[512];
	char again[512]; /* what was said of it when it was well again; shown when that is believed */
	const struct chi_inst *teller; /* compared, never followed later */
	bool left; /* by an instance that is retired */
	bool down, up_told;
	int64_t trouble, since; /* trouble: when it was last told to be down, or first to be up after that */
	unsigned series;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries; /* few: one a dependency */

/* `kept` may have been cut to its room. */
static bool same(const char *kept, size_t room, const char *text)
{
	return !strncmp(kept, text, room - 1);
}

/* The instance's own, or what its retired predecessor left: that one is its own from now on. */
static struct entry *find(const struct chi_inst *teller, const char *what)
{
	struct entry *left = NULL;
	for (struct entry *e = entries; e; e = e->next) {
		if (!same(e->what, sizeof e->what, what))
			continue;
		if (e->teller == teller)
			return e;
		if (e->left && same(e->instance, sizeof e->instance, teller->self.id))
			left = e;
	}
	if (left) {
		left->teller = teller;
		left->left = false;
	}
	return left;
}

/* Has an instance of the same id, its predecessor or successor, told the same? Then the log has it. */
static bool known_down(const struct entry *mine)
{
	for (const struct entry *e = entries; e; e = e->next)
		if (e != mine && e->down && !strcmp(e->instance, mine->instance) && !strcmp(e->what, mine->what))
			return true;
	return false;
}

static struct entry *make(const struct chi_inst *teller, const char *what)
{
	static const struct ch_metric m = { .name = "chimera_degraded",
		.kind = CH_GAUGE,
		.labels = { { "plugin", CH_L_HOST, NULL } },
		.help = "Things of an instance that work worse than they should; /ready?verbose names them" };
	char err[200];
	struct entry *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->teller = teller;
	snprintf(e->instance, sizeof e->instance, "%s", teller->self.id);
	snprintf(e->what, sizeof e->what, "%s", what);
	chi_metrics_host_value("plugin", e->instance);
	e->series = chi_metrics_series(chi_metrics_family(&m, err, sizeof err), (const char *const[]){ e->instance });
	struct entry **p = &entries;
	while (*p)
		p = &(*p)->next;
	*p = e;
	return e;
}

static void change(struct entry *e, bool down, int64_t now)
{
	e->down = down;
	e->since = now;
	chi_metrics_add(e->series, down ? 1 : -1);
	if (known_down(e))
		return;
	if (down)
		chi_log(CH_WARN, &(struct chi_log_fields){ .plugin = e->instance }, "%s is degraded now: %s", e->what, e->why);
	else
		chi_log(CH_INFO, &(struct chi_log_fields){ .plugin = e->instance }, "%s works again%s%s", e->what, *e->again ? ": " : "",
			e->again);
}

void chi_degraded(struct ch_self *s, const char *what, bool down, const char *fmt, va_list ap)
{
	const struct chi_inst *i = chi_inst_of(s);
	int64_t now = chi_clock();
	if (atomic_load(&i->retired))
		return; /* its successor tells now */
	pthread_mutex_lock(&lock);
	struct entry *e = find(i, what);
	if (!e && (!down || !(e = make(i, what)))) { /* what never was down need not be remembered */
		pthread_mutex_unlock(&lock);
		return;
	}
	if (down || e->down)
		vsnprintf(down ? e->why : e->again, sizeof e->why, fmt, ap);
	if (down || !e->up_told)
		e->trouble = now;
	e->up_told = !down;
	if (down && !e->down)
		change(e, true, now);
	pthread_mutex_unlock(&lock);
}

void chi_degraded_tick(void)
{
	int64_t now = chi_clock();
	pthread_mutex_lock(&lock);
	for (struct entry *e = entries; e; e = e->next)
		if (e->down && e->up_told && now - e->trouble >= RECOVERY_US)
			change(e, false, now);
	pthread_mutex_unlock(&lock);
}

/* From a copy: what is called may tell more, or ask again. */
void chi_degraded_walk(void (*fn)(void *, const struct ch_degradation *), void *data)
{
	size_t n = 0, k = 0;
	pthread_mutex_lock(&lock);
	for (const struct entry *e = entries; e; e = e->next)
		n++;
	struct entry *copy = n ? malloc(n * sizeof *copy) : NULL;
	for (const struct entry *e = entries; copy && e; e = e->next)
		copy[k++] = *e;
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < k; i++)
		fn(data, &(struct ch_degradation){ .size = sizeof(struct ch_degradation),
				 .instance = copy[i].instance,
				 .what = copy[i].what,
				 .down = copy[i].down,
				 .why = copy[i].why,
				 .since = copy[i].since });
	free(copy);
}

void chi_degraded_forget(const struct chi_inst *i)
{
	pthread_mutex_lock(&lock);
	for (struct entry **p = &entries; *p;) {
		struct entry *e = *p;
		if (e->teller != i) {
			p = &e->next;
			continue;
		}
		if (e->down)
			chi_metrics_add(e->series, -1);
		*p = e->next;
		free(e);
	}
	pthread_mutex_unlock(&lock);
}

void chi_degraded_clear(void)
{
	while (entries) {
		struct entry *e = entries;
		entries = e->next;
		free(e);
	}
}

void chi_degraded_retire(const struct chi_inst *i)
{
	pthread_mutex_lock(&lock);
	for (struct entry *e = entries; e; e = e->next)
		e->left = e->left || e->teller == i;
	pthread_mutex_unlock(&lock);
}
