/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ctl/bar.h"

#include "core/conf/ini.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH = 79, MOST = 400, LEAST_CELLS = 10, MOST_CELLS = 40 };

static bool drawn;

/* Bytes of the character at p; 0: it is none that a terminal should see. */
static size_t character(const char *p)
{
	size_t n = 1;

	if ((unsigned char)*p < 0x20 || *p == 0x7f)
		return 0;
	while (n < 4 && ((unsigned char)p[n] & 0xC0) == 0x80)
		n++;
	/* U+0080 to U+009F are controls too. */
	return chi_ini_is_utf8(p, n) && !(n == 2 && (unsigned char)p[0] == 0xC2 && (unsigned char)p[1] < 0xA0) ? n : 0;
}

/* Appends up to `room` characters; how many there were. */
static size_t put_what(char **out, const char *end, size_t room, const char *what)
{
	size_t n = 0;

	for (; *what && n < room && end - *out > 4; n++) {
		size_t k = character(what);
		if (k)
			memcpy(*out, what, k);
		else
			**out = '?';
		*out += k ? k : 1;
		what += k ? k : 1;
	}
	return n;
}

void ctl_bar_text(char *out, size_t cap, size_t width, uint64_t done, uint64_t total, const char *what)
{
	const char *end = out + cap;
	char tail[MOST_CELLS + 32];
	size_t cells = width / 2 > MOST_CELLS ? MOST_CELLS : width / 2;

	if (!total) {
		snprintf(tail, sizeof(tail), "%" PRIu64, done);
	} else {
		double share = done >= total ? 1 : (double)done / (double)total;
		size_t full = (size_t)(share * (double)cells);
		char bar[MOST_CELLS + 1] = "";
		memset(bar, '#', full);
		memset(bar + full, '-', cells - full);
		if (cells >= LEAST_CELLS)
			snprintf(tail, sizeof(tail), "[%.*s] %3u%%", MOST_CELLS, bar, (unsigned)(share * 100));
		else
			snprintf(tail, sizeof(tail), "%u%%", (unsigned)(share * 100));
	}
	size_t used = strlen(tail), room = width > used + 2 ? width - used - 2 : 0;
	if (put_what(&out, end - used - 2, room, what))
		out = stpcpy(out, "  ");
	snprintf(out, (size_t)(end - out), "%s", tail);
}

bool ctl_bar_can(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb");
}

/* One less than the terminal has: a cursor behind the last column would make some go on to the next line. */
static size_t width(void)
{
	struct winsize w;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) || w.ws_col < 2)
		return WIDTH;
	return w.ws_col - 1u < MOST ? w.ws_col - 1u : MOST;
}

/* The cursor goes back to the start, so that a line of the log that comes in between begins there. */
void ctl_bar(uint64_t done, uint64_t total, const char *what)
{
	char text[4 * MOST + 1];

	if (!what && !drawn)
		return;
	if (what && !ctl_bar_can())
		return;
	if (what)
		ctl_bar_text(text, sizeof(text), width(), done, total, what);
	fprintf(stderr, "\r%s\033[K\r", what ? text : "");
	fflush(stderr);
	drawn = what != NULL;
}
