/* SPDX-License-Identifier: Apache-2.0 */
/* core/ctl/table.h - aligned columns for people. One thread. */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CTL_COLUMNS 8

/* Starts empty: { .columns = n }. */
struct ctl_table {
	size_t columns; /* at most CTL_COLUMNS */
	char *(*rows)[CTL_COLUMNS];
	size_t nrows;
	bool headless; /* the first row is no heading */
};

/* Adds a row; `cells` are malloc'd (NULL: empty) and become the table's. The first row is the heading. */
void ctl_table_take(struct ctl_table *t, char *const *cells);
/* The same with copies. */
void ctl_table_row(struct ctl_table *t, const char *const *cells);
/* Prints columns as wide as their widest cell in characters, two blanks between them; colour: the heading is bold. Frees the rows. */
void ctl_table_print(struct ctl_table *t, FILE *out, bool colour);
/* Prints an array of objects instead, whose members are named by the heading. Frees the rows. */
void ctl_table_json(struct ctl_table *t, FILE *out);

#endif
