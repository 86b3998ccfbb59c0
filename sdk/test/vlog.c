/* SPDX-License-Identifier: MIT */
#include "sdk/test/vlog.h"

#include "core/log/ring.h"

#include <pthread.h>
#include <stdlib.h>

#define TIME 13 /* "06:00:00.123 ": the system's own clock, of which tests know nothing */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* threads of plugins log, too */
static char *text;
static size_t len, cap;
static struct told { struct told *next; char *text; } *told; /* what tests were given, and may still read */

int chi_log_style(void)
{
	return CHI_STYLE_TEXT;
}

/* Room for n bytes. Under the lock. */
static void make_room(size_t n)
{
	if (text && len + n <= cap)
		return;
	cap = (len + n) * 2 + 4096;
	text = realloc(text, cap);
	if (!text)
		abort();
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

/* A copy: plugins' threads go on writing. */
const char *chi_vlog_text(void)
{
	struct told *o = malloc(sizeof *o);
	char *copy;

	pthread_mutex_lock(&lock);
	copy = malloc(len + 1);
	if (!o || !copy)
		abort();
	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	*o = (struct told){ told, copy };
	told = o;
	pthread_mutex_unlock(&lock);
	return copy;
}

void chi_vlog_clear(void)
{
	while (told) {
		struct told *o = told;
		told = o->next;
		free(o->text);
		free(o);
	}
	free(text);
	text = NULL;
	len = cap = 0;
}
