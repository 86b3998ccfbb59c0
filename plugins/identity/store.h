/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - one call of sql/1 on behalf of a data access: statements are gathered, run as one batch, tried anew after a conflict, and what
 * came of it is told in few words. Every function here belongs to the ctx's loop.
 *
 * Each data access takes a result and a ticket of its caller, and resumes that ticket exactly once, whatever happens. Between them lies a
 * call of ours with a ticket of its own.
 */
#ifndef IDENTITY_STORE_H
#define IDENTITY_STORE_H

#include <chimera/sql.h>

/* What is wrong when no server can be told of a change; somebody has restored the tables by hand, or emptied this one. */
#define ID_NO_REVISION "there is no row in the table identity_revision, was it restored by hand? INSERT INTO identity_revision (id, keys, " \
	"tokens) VALUES (1, 1, 1) mends it"

enum id_error {
	ID_OK = 0,
	ID_NONE,      /* there is no such row */
	ID_EXISTS,    /* there is one of that id */
	ID_BAD,       /* the database cannot hold a value */
	ID_NO_OWNER,  /* a key's owner is no user */
	ID_BROKEN,    /* the tables are not as they must be: nothing happened */
	ID_AWAY,      /* the store is away: nothing happened */
	ID_UNSURE     /* the same, and a write may have happened */
};

/* What a data access tells. The caller's, in memory of the ctx, zeroed. */
struct id_result {
	int error;          /* enum id_error */
	const char *detail; /* with error: a sentence for people, without values and secrets; the ctx's or static */
	void *rows;         /* of lists and gets: an array of the entity's struct; the ctx's */
	size_t n;
	uint64_t count;     /* of changes: how many rows */
	void *call;         /* what runs for it: for id_cancel */
};

/* A call: the first member of what a data access keeps in the arena. */
struct id_call {
	struct ch_self *self;
	struct ch_ctx *c;
	struct id_result *out;
	ch_ticket outer, inner;              /* inner 0: the store is not at work for it */
	struct ch_sql_statement *statements; /* room for `most` */
	struct ch_value *values;             /* room for `most_values` */
	size_t n, nvalues, most, most_values;
	size_t raise_at;                     /* which statement raises the revision; `most`: none */
	int64_t raised[2];
	struct ch_sql_args args;
	struct ch_sql_result r;
	int tries;
	bool over, no_memory;
	size_t row_size, cap;                /* of out->rows */
	/* A row, to be copied into `to`, zeroed memory of row_size bytes. False: no memory. NULL: rows are not wanted. */
	bool (*row)(struct id_call *, void *to, const struct ch_value *row, size_t n);
	void (*then)(struct id_call *);      /* out has what came of it: calls id_end, or id_clear, id_add … and id_run */
};

/*
 * A call with room for so many statements and values, behind `size` zeroed bytes that begin with it. NULL: no memory; *out says so and the
 * ticket was resumed.
 */
void *id_call(struct ch_self *, struct ch_ctx *, size_t size, size_t statements, size_t values, struct id_result *out, ch_ticket);

/* One more statement: static text, `want` rows or CH_SQL_ANY. ID_VALUES(a, b) makes the last two arguments. */
void id_add(struct id_call *, const char *text, int64_t want, const struct ch_value *values, size_t n);
#define ID_VALUES(...) (const struct ch_value[]){ __VA_ARGS__ }, sizeof((const struct ch_value[]){ __VA_ARGS__ }) / sizeof(struct ch_value)

/* In the same batch: every server is told that keys (users are among them) or tokens have changed. */
void id_raise(struct id_call *, bool keys, bool tokens);

/* Forgets the statements, for a second step. What out holds stays. */
void id_clear(struct id_call *);

/* Runs the batch; `then` is called once, inside when the store could not even be asked. */
void id_run(struct id_call *, void (*then)(struct id_call *));

/* The end: the caller's ticket is resumed. As `then`, too. */
void id_end(struct id_call *);

/* The call that fills *out is given up: its ticket is resumed now. Nothing when it has ended. */
void id_cancel(struct id_result *out);

/* A text of a row, copied; "" for a null. NULL: no memory. */
const char *id_text(struct id_call *, const struct ch_value *);
/* The same for bytes; p NULL and n 0 for a null. False: no memory. */
bool id_bytes(struct id_call *, const struct ch_value *, struct ch_str *to);

#endif
