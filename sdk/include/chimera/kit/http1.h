/* SPDX-License-Identifier: MIT */
/*
 * chimera/kit/http1.h - strict HTTP/1.1 messages (RFC 9112), requests and responses. Since 0.1.
 *
 * Pure functions over bytes: no socket, no allocation, no global state, safe from any thread. Nothing is copied: what is found
 * is told as offsets from the first byte of the message, so the caller may move the bytes (into an arena, say) afterwards.
 *
 * Strict means: CRLF line ends only, no obs-fold, no space before a colon, no bare CR, no control characters, one way to say
 * how long a body is. What RFC 9112 lets a recipient repair is refused here, because two parsers that repair differently are
 * how requests are smuggled.
 */
#ifndef CHIMERA_KIT_HTTP1_H
#define CHIMERA_KIT_HTTP1_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ch_h1_rc {
	CH_H1_ERROR = -1, /* the bytes are no valid message; struct ch_h1_head.error says which status and why */
	CH_H1_MORE = 0,   /* valid so far, incomplete: call again with more bytes behind the same ones */
	CH_H1_DONE = 1    /* complete */
};

/* A run of bytes inside the message, from its first byte. */
struct ch_h1_span {
	uint32_t off;
	uint32_t len;
};

/* One header field. The name has no colon, the value no blanks around it. */
struct ch_h1_field {
	struct ch_h1_span name;
	struct ch_h1_span value;
};

enum ch_h1_method {
	CH_H1_GET, CH_H1_HEAD, CH_H1_POST, CH_H1_PUT, CH_H1_DELETE, CH_H1_PATCH, CH_H1_OPTIONS,
	CH_H1_CONNECT, CH_H1_TRACE,
	CH_H1_OTHER /* a valid token that is none of the above (methods are case sensitive) */
};

/* How the body behind the head is delimited (RFC 9112, section 6.3). */
enum ch_h1_body {
	CH_H1_BODY_NONE,
	CH_H1_BODY_LENGTH,  /* exactly content_length bytes (may be 0) */
	CH_H1_BODY_CHUNKED, /* feed the bytes to ch_h1_chunked_next */
	CH_H1_BODY_CLOSE    /* responses only: until the peer closes */
};

/*
 * Limits in bytes unless said otherwise. All are inclusive: a line of max_line bytes passes. The statuses are those of requests; a
 * response that is over a limit is 502 like any other fault in one.
 */
struct ch_h1_limits {
	uint32_t max_line;   /* request or status line without its CRLF; over it: 414 */
	uint32_t max_field;  /* one header line without its CRLF; over it: 431 */
	uint32_t max_head;   /* the whole head, with a CRLF before it; over it: 431 */
	uint32_t max_fields; /* number of fields; over it: 431. At most the capacity given in head->fields_cap */
};

/*
 * The result of a parse. The caller sets `fields` and `fields_cap` (memory of its own) before the call; all else is written by
 * the parser. Valid after CH_H1_DONE; after CH_H1_ERROR only `status` and `error` are.
 */
struct ch_h1_head {
	struct ch_h1_field *fields;
	uint32_t fields_cap;
	uint32_t nfields;
	uint32_t head_len; /* bytes up to and with the empty line; the body begins there */
	uint8_t minor;     /* HTTP/1.minor: 0 or 1 */
	uint8_t method;    /* enum ch_h1_method; requests */
	uint8_t body;      /* enum ch_h1_body */
	uint8_t keep_alive;      /* may the connection serve another message (version, Connection and CH_H1_BODY_CLOSE considered) */
	uint8_t expect_continue; /* "Expect: 100-continue" on an HTTP/1.1 request; any other Expect is error 417 */
	uint8_t has_upgrade;     /* Connection names "upgrade"; the core ignores it (RFC 9110 section 7.8 allows that) */
	uint16_t status;         /* responses: the code. After CH_H1_ERROR: what to answer: 400, 414, 417, 431 or 505; 502 for a response */
	uint64_t content_length; /* with CH_H1_BODY_LENGTH; never over 2^63 - 1. With CH_H1_BODY_NONE: what Content-Length said, or 0 */
	struct ch_h1_span method_name; /* requests */
	struct ch_h1_span target;      /* requests: as it came, printable ASCII only; ch_h1_target judges its percent escapes */
	struct ch_h1_span host;        /* requests: the authority, from an absolute-form target if there is one, else from Host */
	struct ch_h1_span reason;      /* responses; may be empty */
	const char *error;             /* after CH_H1_ERROR: one sentence, static storage */
};

/*
 * Parses the head of a request at p[0..n). A single CRLF before the request line is skipped (RFC 9112, section 2.2).
 * Call again with the same bytes and more behind them after CH_H1_MORE: the outcome does not depend on how the bytes were
 * split. An error is told as early as it can be known, so garbage without a line end is refused at once.
 *
 * Refused beyond RFC 9112's MUSTs (FAULTS rows H1-H18): Content-Length beside Transfer-Encoding; more than one Content-Length,
 * even if equal; a Content-Length with anything but digits, or a leading zero; any Transfer-Encoding but a single "chunked"
 * (in any letter case); Transfer-Encoding in HTTP/1.0; in HTTP/1.1 a missing Host; a repeated, empty or malformed Host (userinfo,
 * path, comma, blank, percent escape, port over 65535); an absolute target whose authority differs from Host (but for letter case);
 * a fragment, backslash or non-ASCII byte in the target; names with an underscore that read like the framing fields
 * (Content_Length, Transfer_Encoding). The target is a path, "*" with OPTIONS, an http or https URI, or with CONNECT a host and a
 * port. A method that is not known is no error here (CH_H1_OTHER).
 *
 * Each call begins at the first byte, so one that brings a single byte more costs as much as the head is long, at most max_head.
 */
enum ch_h1_rc ch_h1_parse_request(struct ch_h1_head *head, const struct ch_h1_limits *limits, const char *p, size_t n);

/*
 * Parses the head of a response. `request_method` (enum ch_h1_method) is that of the request it answers: HEAD answers and 1xx, 204
 * and 304 have no body, nor has a 2xx to CONNECT. 1xx heads are returned like any other (status < 200): the caller goes on behind
 * them. What is refused in the fields of a request is refused here too, and Transfer-Encoding in 1xx and 204; Host and Expect are not
 * looked at. An empty line before the status line is an error.
 */
enum ch_h1_rc ch_h1_parse_response(struct ch_h1_head *head, const struct ch_h1_limits *limits, int request_method,
                                   const char *p, size_t n);

/* The first field of that name (any letter case), or NULL. `p` is the message; name_len = strlen(name). */
const struct ch_h1_field *ch_h1_find(const struct ch_h1_head *head, const char *p, const char *name, size_t name_len);

/* Does a comma-separated list of tokens contain `token` (any letter case)? Blanks around members are ignored. */
int ch_h1_list_has(const char *value, size_t n, const char *token);

/* Is it a token (RFC 9110, section 5.6.2), as methods and names of fields are: one byte or more, all of them tchar? Since 0.3 */
int ch_h1_token(const char *p, size_t n);
/* May it be the value of a field (section 5.5): no control character but HTAB, so that nothing can split a message? May be empty. Since 0.3 */
int ch_h1_value(const char *p, size_t n);

/*
 * Chunked bodies (RFC 9112, section 7.1). Zero-initialise, then call ch_h1_chunked_next until it returns CH_H1_DONE:
 *
 *   while ((rc = ch_h1_chunked_next(&ch, p, n, &used, &data, &len)) != CH_H1_ERROR) {
 *           p += used; n -= used; consume(data, len);
 *           if (rc == CH_H1_DONE || n == 0) break;
 *   }
 *
 * CH_H1_MORE: `used` bytes were taken; data[0..len) is body (len may be 0) and lies inside the bytes given. CH_H1_DONE: the
 * last chunk and the trailer section were taken; bytes after `used` belong to the next message. Further calls after CH_H1_DONE or
 * CH_H1_ERROR return the same. Sizes have at most 16 digits; blanks around them and in extensions are refused. Trailers are checked
 * for form, counted against the overhead, and dropped. All framing bytes together (sizes, extensions, line ends, trailers) may be
 * 16 KiB plus the body bytes delivered (FAULTS H7), and a single extension or trailer section 8 KiB; more is an error.
 */
struct ch_h1_chunked {
	uint64_t left;     /* bytes of the current chunk still to come */
	uint64_t body;     /* body bytes delivered so far */
	uint64_t overhead; /* framing bytes taken so far */
	uint32_t line;     /* bytes of the current extension or of the trailer section */
	uint8_t state;
	uint8_t digits;
	uint8_t sub;
	const char *error; /* after CH_H1_ERROR: one sentence, static storage */
};
enum ch_h1_rc ch_h1_chunked_next(struct ch_h1_chunked *c, const char *p, size_t n, size_t *used, const char **data, size_t *len);

/*
 * Splits and normalises a request target once, for routing (FAULTS H16, H17). `out` must hold n bytes; it receives the path,
 * percent-decoded, dot segments removed (RFC 3986, section 5.2.4), runs of '/' folded into one, in this order, and never decoded twice.
 * Of an absolute-form target it is the path behind the authority, "/" if that is empty. The query is given as it came, without '?', as
 * a span of `target`. "*" gives the path "*".
 * Returns 0, or -1 with a static sentence in *error: bad percent escape, %00 or another control character or an overlong or invalid UTF-8
 * sequence after decoding, a path that does not begin with '/'.
 */
int ch_h1_target(const char *target, size_t n, char *out, size_t *path_len, struct ch_h1_span *query, const char **error);

#ifdef __cplusplus
}
#endif
#endif
