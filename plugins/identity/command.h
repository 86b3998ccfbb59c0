/* SPDX-License-Identifier: Apache-2.0 */
/* command.h - a verb of a command on its way: what command.c and command_rows.c share. House loop. */
#ifndef IDENTITY_COMMAND_H
#define IDENTITY_COMMAND_H

#include "fields.h"
#include "identity.h"

struct id_command;
struct id_page; /* command_rows.c's */
struct id_verb {
	const char *name;
	size_t min_args, max_args;
	const char *args;
	int (*begin)(struct id_command *); /* reads the words and starts the data access: CH_AGAIN, or what ch_refuse returned */
	int (*end)(struct id_command *);   /* it went well: says so */
	bool rows;                         /* it shows rows, and knows --json */
};

#define ID_COLUMNS 16

struct id_command { /* in the command's arena */
	struct ch_self *self;
	struct ch_ctx *c;
	const struct id_kind *kind;
	const struct id_verb *verb;
	size_t argc;
	const char *const *argv; /* behind the verb */
	const char *id;          /* what a refusal names */
	struct id_result r;
	struct id_cleaned cleaned;
	ch_ticket ticket;
	const char *user, *provider, *owner;
	char secret[CH_KEY_CHARS + 1], prefix[ID_KEY_SHOWN + 1], key_id[32];
	unsigned char sha256[ID_SHA];
	union { struct id_user user; struct id_key key; struct id_token token; } e;
	bool json;               /* rows are shown as objects, one a line */
	bool heading, full;      /* of a list: the first page was shown; whoever reads has not read it yet */
	size_t widths[ID_COLUMNS];
	struct id_page *page;       /* of a list: the one that is under way */
	char *after;             /* the last row shown, from the heap; NULL: that was all */
};

/* Refuses; what a command returns then. */
int id_command_no_memory(struct ch_ctx *);
/* The begin of a verb that lists its kind, page by page, by the filters that its words are. */
int id_command_list(struct id_command *);
/* The end of one that has found a row: all fields, each on its line, or an object. */
int id_command_show(struct id_command *);

#endif
