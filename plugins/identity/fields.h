/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fields.h - what an entity's fields are called, hold, and may be set to: one table each, from which a request's JSON and a command's
 * words are
 * read, and answers and lists written.
 */
#ifndef IDENTITY_FIELDS_H
#define IDENTITY_FIELDS_H

#include <chimera/json.h>
#include <chimera/kit/time.h>

enum id_field_type {   /* in the entity: */
	ID_F_NAME = 1, /* const char *: [A-Za-z0-9._@:/-], 1 to 128 bytes */
	ID_F_TEXT,     /* const char *: UTF-8 without control characters, at most `max` bytes */
	ID_F_ROLE,     /* int64_t: enum ch_role */
	ID_F_BOOL,     /* int64_t */
	ID_F_TIME,     /* int64_t: microseconds since the epoch; 0: null */
	ID_F_COUNT,    /* int64_t */
	ID_F_SECRET    /* struct ch_str: 1 to `max` bytes of any kind but NUL; never shown */
};
#define ID_F_CREATE   1u /* may be given when one is made */
#define ID_F_CHANGE   2u /* may be changed */
#define ID_F_REQUIRED 4u /* must be given when one is made */
#define ID_F_HIDDEN   8u /* not among what is shown */
#define ID_F_COLUMN   16u /* of lists for people, too */

struct id_field {
	const char *name;
	int type;       /* enum id_field_type */
	size_t offset;
	unsigned flags; /* ID_F_* */
	size_t max;     /* TEXT, SECRET: bytes */
};
/* The struct of an entity begins with uint32_t given. */
struct id_kind {
	const char *what;    /* "user" */
	const char *command; /* "users" */
	const struct id_field *fields;
	size_t n;
	size_t size;
};

/*
 * A request's body into a zeroed entity. CH_OK; CH_DONE: refused, by the field's name. changes: ID_F_CHANGE fields, at least one; else
 * ID_F_CREATE ones.
 */
int id_read_json(struct ch_ctx *, const struct id_kind *, bool changes, void *entity);
/* A word "name=value" of a command. The same. */
int id_read_word(struct ch_ctx *, const struct id_kind *, const char *word, bool changes, void *entity);
/* A field given by position; the same. */
int id_read_text(struct ch_ctx *, const struct id_kind *, const char *name, struct ch_str value, void *entity);
/* All that is required was given. The same. */
int id_read_whole(struct ch_ctx *, const struct id_kind *, const void *entity);

/* The members of the object that is open. */
void id_write_json(struct ch_jw *, const struct id_kind *, const void *entity);
/* A field's value for people; "-": none. NULL: no memory. */
const char *id_shown(struct ch_ctx *, const struct id_field *, const void *entity);

const char *id_role_name(int64_t role);
int64_t id_role_of(const char *name); /* of what the database has; an unknown one is CH_ROLE_NONE */

#endif
