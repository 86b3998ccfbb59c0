/* SPDX-License-Identifier: MIT */
#include "sdk/test/vlog.h"

#include "core/log/ring.h"

#include <pthread.h>
#include <stdlib.h>

#define TIME 13 /* "06:00:00.123 ": the system's own clock, of which tests know nothing */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* threads of plugins log, too */
static char *text;
static size_t len;

int chi_log_style(void)
{
	return CHI_STYLE_TEXT;
}

void chi_log_push(const char *p, size_t n)
{
	size_t skip = n < TIME ? n : TIME;
	pthread_mutex_lock(&lock);
	char *v = realloc(text, len + n - skip + 1);
	if (!v)
		abort();
	text = v;
	memcpy(text + len, p + skip, n - skip);
	len += n - skip;
	text[len] = 0;
	pthread_mutex_unlock(&lock);
}

const char *chi_vlog_text(void)
{
	return text ? text : "";
}

void chi_vlog_clear(void)
{
	free(text);
	text = NULL;
	len = 0;
}
