/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/capability.h"

#include "core/log/log.h"

#include <pthread.h>
#include <stdlib.h>

struct entry {
	struct entry *next;
	const struct chi_inst *teller;
	bool there;
	char name[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries; /* in the order told */
static const struct chi_inst **shown; /* in the order of the config; NULL where one is forgotten */
static size_t nshown;

/* Where the name's entry is linked, or where a new one belongs; *n: how many the instance has before that. */
static struct entry **place(const struct chi_inst *teller, const char *name, size_t *n)
{
	struct entry **p = &entries;
	for (; *p; p = &(*p)->next)
		if ((*p)->teller == teller) {
			if (!strcmp((*p)->name, name))
				break;
			++*n;
		}
	return p;
}

static void make(struct entry **at, const struct chi_inst *teller, const char *name, bool there)
{
	size_t n = strlen(name) + 1;
	struct entry *e = malloc(sizeof *e + n);
	if (!e)
		return;
	e->next = NULL;
	e->teller = teller;
	e->there = there;
	memcpy(e->name, name, n);
	*at = e;
}

void chi_capability(struct ch_self *s, const char *name, bool there)
{
	static atomic_bool said;
	const struct chi_inst *i = chi_inst_of(s);
	size_t n = 0;
	if (atomic_load(&i->retired))
		return; /* its successor tells now */
	pthread_mutex_lock(&lock);
	struct entry **at = place(i, name, &n);
	if (*at)
		(*at)->there = there;
	else if (n < CHI_CAPABILITIES)
		make(at, i, name, there);
	pthread_mutex_unlock(&lock);
	if (n >= CHI_CAPABILITIES && !atomic_exchange(&said, true))
		chi_log(CH_WARN, &(struct chi_log_fields){ .plugin = s->id },
			"it has told of more than %d capabilities: the others are not shown", CHI_CAPABILITIES);
}

/* ---- showing ---- */

/* Each as "1" or "0", the instance's id and the name, one text behind the other. The lock is held. NULL: there are none, or no memory. */
static char *copy(size_t *count)
{
	size_t bytes = 0;
	for (size_t k = 0; k < nshown; k++)
		for (const struct entry *e = entries; e; e = e->next)
			if (e->teller == shown[k])
				bytes += strlen(e->teller->self.id) + strlen(e->name) + 3;
	char *texts = bytes ? malloc(bytes) : NULL, *p = texts;
	for (size_t k = 0; texts && k < nshown; k++)
		for (const struct entry *e = entries; e; e = e->next)
			if (e->teller == shown[k]) {
				*p++ = e->there ? '1' : '0';
				p = stpcpy(p, e->teller->self.id) + 1;
				p = stpcpy(p, e->name) + 1;
				++*count;
			}
	return texts;
}

/* From a copy: what is called may tell more, or ask again. */
void chi_capabilities_walk(void (*fn)(void *, const struct ch_capability *), void *data)
{
	size_t n = 0;
	pthread_mutex_lock(&lock);
	char *texts = copy(&n);
	pthread_mutex_unlock(&lock);
	for (const char *p = texts; n; n--) {
		const char *id = p + 1, *name = id + strlen(id) + 1;
		fn(data, &(struct ch_capability){ .size = sizeof(struct ch_capability), .instance = id, .name = name, .there = *p == '1' });
		p = name + strlen(name) + 1;
	}
	free(texts);
}

/* ---- life ---- */

void chi_capabilities_taken(const struct chi_gen *g)
{
	const struct chi_inst **v = calloc(g->ninsts + 1, sizeof(struct chi_inst *));
	if (!v)
		abort();
	for (size_t k = 0; k < g->ninsts; k++)
		v[k] = g->insts[k];
	pthread_mutex_lock(&lock);
	free(shown);
	shown = v;
	nshown = g->ninsts;
	pthread_mutex_unlock(&lock);
}

void chi_capabilities_forget(const struct chi_inst *i)
{
	pthread_mutex_lock(&lock);
	for (struct entry **p = &entries; *p;) {
		struct entry *e = *p;
		if (e->teller != i) {
			p = &e->next;
			continue;
		}
		*p = e->next;
		free(e);
	}
	for (size_t k = 0; k < nshown; k++)
		if (shown[k] == i)
			shown[k] = NULL;
	pthread_mutex_unlock(&lock);
}

void chi_capabilities_clear(void)
{
	while (entries) {
		struct entry *e = entries;
		entries = e->next;
		free(e);
	}
	free(shown);
	shown = NULL;
	nshown = 0;
}
