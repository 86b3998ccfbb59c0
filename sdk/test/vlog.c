/* SPDX-License-Identifier: MIT */
#include "sdk/test/vlog.h"

#include "core/log/ring.h"

#include <pthread.h>
#include <stdlib.h>

#define TIME 13 /* "06:00:00.123 ": the system's own clock, of which tests know nothing */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* threads of plugins log, too */
static char *text; /* zeroed behind what is written: a test that reads while a thread logs sees an end */
static size_t len, cap;
static struct older { struct older *next; char *text; } *older; /* what was outgrown, and may still be read */

int chi_log_style(void)
{
	return CHI_STYLE_TEXT;
}

/* Room for n bytes and an end. Under the lock. */
static void make_room(size_t n)
{
	if (text && len + n < cap)
		return;
	struct older *o = malloc(sizeof *o);
	cap = (len + n + 1) * 2 + 4096;
	char *v = calloc(1, cap);
	if (!o || !v)
		abort();
	*o = (struct older){ older, text };
	older = o;
	if (len)
		memcpy(v, text, len);
	text = v;
}

void chi_log_push(const char *p, size_t n)
{
	size_t skip = n < TIME ? n : TIME;
	pthread_mutex_lock(&lock);
	make_room(n - skip);
	memcpy(text + len, p + skip, n - skip);
	len += n - skip;
	pthread_mutex_unlock(&lock);
}

const char *chi_vlog_text(void)
{
	return text ? text : "";
}

void chi_vlog_clear(void)
{
	while (older) {
		struct older *o = older;
		older = o->next;
		free(o->text);
		free(o);
	}
	free(text);
	text = NULL;
	len = cap = 0;
}
