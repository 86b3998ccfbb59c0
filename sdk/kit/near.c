/* SPDX-License-Identifier: MIT */
/* near.c - the name that somebody meant. chimera/kit/near.h says how it is used. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "chimera/kit/near.h"

#define LONGEST 128

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned ch_near_edits(const char *a, const char *b)
{
	unsigned row[3][LONGEST + 1];
	size_t na = strlen(a), nb = strlen(b), i, j;

	if (na > LONGEST || nb > LONGEST)
		return UINT_MAX;
	for (j = 0; j <= nb; j++)
		row[0][j] = (unsigned)j;
	for (i = 1; i <= na; i++) {
		unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *upup = row[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (j = 1; j <= nb; j++) {
			int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);

			now[j] = least(least(up[j] + 1, now[j - 1] + 1), up[j - 1] + (ca != cb));
			if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) && cb == tolower((unsigned char)a[i - 2]))
				now[j] = least(now[j], upup[j - 2] + 1);
		}
	}
	return row[na % 3][nb];
}

void ch_near_init(struct ch_near *n, const char *wanted)
{
	n->wanted = wanted;
	n->best[0] = '\0';
	n->edits = (unsigned)(strlen(wanted) < 3 ? 1 : strlen(wanted) / 3 + 1) + 1; /* one more than is still near */
}

void ch_near_offer(void *near, const char *name)
{
	struct ch_near *n = near;
	unsigned d = ch_near_edits(n->wanted, name);

	if (d < n->edits && d < strlen(name)) {
		n->edits = d;
		snprintf(n->best, sizeof(n->best), "%s", name);
	}
}
