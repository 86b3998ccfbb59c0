/* SPDX-License-Identifier: Apache-2.0 */
/* core/ctl/bar.h - how far something is, as one line of a terminal that is drawn again and again. One thread at a time. */
#ifndef CTL_BAR_H
#define CTL_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Can stderr show one? */
bool ctl_bar_can(void);
/* Draws it on stderr; what NULL: takes it away again, if it is there. Nothing where ctl_bar_can says no. */
void ctl_bar(uint64_t done, uint64_t total, const char *what);
/*
 * Its text: "WHAT  [####------]  42%" in at most `width` characters, or "WHAT  12345" if the total is not known (0). out: cap bytes, of
 * which 4 * width + 1 are enough. What is no printable UTF-8 becomes '?'. Pure.
 */
void ctl_bar_text(char *out, size_t cap, size_t width, uint64_t done, uint64_t total, const char *what);

#endif
