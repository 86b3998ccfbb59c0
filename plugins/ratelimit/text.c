/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - see text.h. */
#include "text.h"

char *put_duration(char *at, int64_t ms)
{
	int64_t seconds = ms / 1000, rest = ms % 1000;

	if (!seconds && rest)
		return put_text(put_number(at, rest), "ms");
	if (seconds >= 3600)
		at = put_text(put_number(at, seconds / 3600), "h");
	if (seconds >= 60)
		at = put_text(put_number(at, seconds / 60 % 60), "m");
	at = put_number(at, seconds % 60);
	if (rest) {
		*at++ = '.';
		*at++ = (char)('0' + rest / 100);
		if (rest % 100)
			*at++ = (char)('0' + rest / 10 % 10);
		if (rest % 10)
			*at++ = (char)('0' + rest % 10);
	}
	*at++ = 's';
	return at;
}
