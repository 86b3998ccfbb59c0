/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/json.h - a strict JSON pull scanner and a writer (RFC 8259). Since 0.1.
 *
 * The scanner makes no tree and copies nothing: it walks bytes that stay where they are and returns one token a call. It accepts
 * exactly the documents that RFC 8259 calls valid (UTF-8 checked, lone surrogates in escapes refused, no BOM, no trailing bytes), up to a
 * depth and a number of tokens that the caller sets. Any thread, no allocation, no recursion.
 *
 * The writer appends to a buffer that the caller gives or that grows; text is escaped so that one value is always one line.
 */
#ifndef CHIMERA_KIT_JSON_H
#define CHIMERA_KIT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ch_json_type {
	CH_JSON_ERROR = -1, /* scanner.error says why, scanner.pos where */
	CH_JSON_END = 0,    /* the document is complete and nothing but blanks follows */
	CH_JSON_OBJECT,     /* '{' */
	CH_JSON_OBJECT_END, /* '}' */
	CH_JSON_ARRAY,
	CH_JSON_ARRAY_END,
	CH_JSON_KEY,    /* a member's name; its value is the next token */
	CH_JSON_STRING,
	CH_JSON_NUMBER,
	CH_JSON_TRUE,
	CH_JSON_FALSE,
	CH_JSON_NULL
};

#define CH_JSON_DEPTH_MAX 64 /* deepest nesting a scanner can be told to accept */

struct ch_json {
	const char *p;
	size_t n;
	size_t pos;        /* of the next byte; after an error: of the byte at fault */
	uint32_t depth;    /* containers open now */
	uint32_t max_depth;
	uint64_t tokens_left;
	uint64_t stack;    /* one bit a level: 1 object, 0 array */
	uint8_t state;
	const char *error; /* one sentence, static storage */
};

/* A token. For strings and keys: the bytes between the quotes as they came; for containers, numbers and words: the token's own bytes. */
struct ch_json_tok {
	int type;      /* enum ch_json_type */
	bool escaped;  /* strings and keys: holds escapes; use ch_json_unescape */
	size_t start;  /* offset of the token's first byte in the document (the quote of a string) */
	size_t end;    /* offset behind the token's last byte */
	const char *s; /* see above */
	size_t len;
};

/*
 * Limits: max_depth 0 (or more than there is) means CH_JSON_DEPTH_MAX, max_tokens 0 means no limit. Every token but the final
 * CH_JSON_END counts, closing brackets too. The document must stay where it is as long as the scanner and its tokens are used.
 */
void ch_json_init(struct ch_json *j, const char *p, size_t n, uint32_t max_depth, uint64_t max_tokens);

/* The next token; returns tok->type. After CH_JSON_ERROR or CH_JSON_END every further call returns the same. */
int ch_json_next(struct ch_json *j, struct ch_json_tok *tok);

/*
 * Skips the value whose first token is `tok` (just returned): for '{' and '[' up to and with the closing bracket, otherwise nothing.
 * Sets tok->end behind the value, so that document[tok->start .. tok->end) is the whole value. Returns 0, or -1 after an error.
 */
int ch_json_skip(struct ch_json *j, struct ch_json_tok *tok);

/* Checks a whole document. Returns true if it is valid within the limits; else *pos and *error (each may be NULL) say where and why. */
bool ch_json_valid(const char *p, size_t n, uint32_t max_depth, uint64_t max_tokens, size_t *pos, const char **error);

/* Is this key or string equal to `name` (escapes considered)? False for other tokens and for text that holds a NUL byte. */
bool ch_json_eq(const struct ch_json_tok *tok, const char *name);

/*
 * Decodes a key or string into out, which must hold tok->len bytes (decoding never grows). Returns the number of bytes written;
 * the result is UTF-8, has no final NUL and may contain NUL bytes (from \u0000).
 */
size_t ch_json_unescape(const struct ch_json_tok *tok, char *out);

/* The value of a number that is an integer in [min, max] ("1.0" and "1e3" count as integers when exact). False: it is not. */
bool ch_json_int(const struct ch_json_tok *tok, int64_t min, int64_t max, int64_t *out);

/* The value of any number as a double. False when it overflows to infinity. Independent of the locale. */
bool ch_json_double(const struct ch_json_tok *tok, double *out);

/* ---- writer ---- */

/*
 * Appends JSON to buf. Commas and colons are the writer's business: call the functions in order and the result is valid.
 * `grow` (may be NULL) is asked for a larger buffer when the room ends: it returns memory of at least `want` bytes that holds the
 * `used` bytes of `old` (realloc's job) or NULL. Without it, or after NULL, `failed` is set, nothing more is written and all later
 * calls do nothing. So it is after misuse that the writer can see: nesting deeper than CH_JSON_DEPTH_MAX, a name outside of all
 * containers or where a value is due, a closing bracket without an open one or where a value is due.
 * Look at `failed` once, at the end; what was written before a failure is no document. The text has no final NUL.
 * The caller owns buf, also a grown one. Outside of all containers nothing is put between two values.
 */
struct ch_jw {
	char *buf;
	size_t len, cap;
	void *(*grow)(void *arg, void *old, size_t used, size_t want);
	void *arg;
	uint64_t stack; /* one bit a level: an element was written before */
	uint32_t depth;
	bool after_key;
	bool failed;
};

void ch_jw_init(struct ch_jw *w, char *buf, size_t cap);
/* For `grow`, of the writer and of ch_sse: realloc. The caller frees buf, after a failure too. Since 0.3 */
void *ch_jw_heap(void *arg, void *old, size_t used, size_t want);
void ch_jw_object(struct ch_jw *w);
void ch_jw_object_end(struct ch_jw *w);
void ch_jw_array(struct ch_jw *w);
void ch_jw_array_end(struct ch_jw *w);
void ch_jw_key(struct ch_jw *w, const char *name);                 /* NUL-terminated; escaped if need be */
void ch_jw_string(struct ch_jw *w, const char *s, size_t n);       /* each byte of invalid UTF-8 becomes U+FFFD; controls are escaped */
void ch_jw_cstr(struct ch_jw *w, const char *s);                   /* NULL writes null */
void ch_jw_int(struct ch_jw *w, int64_t v);
void ch_jw_uint(struct ch_jw *w, uint64_t v);
void ch_jw_ms(struct ch_jw *w, int64_t us);                        /* microseconds as milliseconds with three places: 1234 is 1.234. Since 0.3 */
void ch_jw_double(struct ch_jw *w, double v);                      /* shortest text that reads back equal; NaN and infinities write null */
void ch_jw_bool(struct ch_jw *w, bool v);
void ch_jw_null(struct ch_jw *w);
void ch_jw_raw(struct ch_jw *w, const char *json, size_t n);       /* a value that already is valid JSON, or (in an object, no key before) whole members; copied as it is, line ends too */

#ifdef __cplusplus
}
#endif
#endif
