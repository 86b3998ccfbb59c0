/* SPDX-License-Identifier: MIT */
/*
 * chimera/http.h - the service "http/1": requests to other HTTP servers. Form 0.2. Since 0.2.
 *
 * Called on the ctx's loop, answered on the same loop. Nothing is called back inside a call. The provider keeps warm connections, resolves
 * names off the loops, and puts an end to whatever a server may do: each request ends within its timeouts, whatever it was sent.
 *
 * What a provider never does: follow a redirect (a 3xx is an answer like any other), take a proxy from the environment, decode a
 * Content-Encoding (it asks for identity; an answer that is encoded all the same is CH_HTTP_INVALID), repeat a request by itself, but for
 * one that found its reused connection closed before a byte of an answer came, and whose method is idempotent or of which no byte was
 * sent.
 *
 * An answer that comes before all of the request was sent (413) is an answer; its connection is not kept. What RFC 9112 lets a client
 * repair in an answer may be repaired or be CH_HTTP_INVALID; a value never holds CR, LF or NUL either way.
 */
#ifndef CHIMERA_HTTP_H
#define CHIMERA_HTTP_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ch_http_field {
	struct ch_str name;               /* any letter case */
	struct ch_str value;              /* no CR, LF or NUL */
};

/* What to send. Lives, with all it points to, until the ticket is resumed. */
struct ch_http_args {
	size_t size;
	struct ch_str method;             /* "GET", "POST", … */
	struct ch_str url;                /* absolute, http or https, without a fragment; user:password@ is refused */
	/*
	 * Host, Content-Length, Transfer-Encoding, Connection, Upgrade, Accept-Encoding, TE, Trailer and Expect are the provider's own:
	 * naming one here is CH_HTTP_BAD_REQUEST.
	 */
	const struct ch_http_field *fields;
	size_t nfields;
	struct ch_str body;               /* n 0: none, with "Content-Length: 0" for POST, PUT and PATCH */
	/* Milliseconds; 0 or less: the provider's own. The ctx's deadline holds beside them. */
	int64_t connect_timeout_ms;       /* name, connection and TLS together, waiting for a place in the pool included */
	/* from the last byte sent to the whole head; how long the server may take no more of the request */
	int64_t first_byte_timeout_ms;
	int64_t idle_timeout_ms;          /* between two bytes of the body; does not run while the sink has said AGAIN */
	int64_t total_timeout_ms;
	uint64_t max_body;                /* bytes of the answer's body; 0: the provider's own */
};

enum ch_http_error {                      /* only ever appended to */
	CH_HTTP_OK = 0,
	CH_HTTP_BAD_REQUEST,              /* the args are wrong: a bug of the caller, or a URL from a config */
	CH_HTTP_BLOCKED,                  /* what must not be reached: a link-local address, a scheme other than http and https */
	CH_HTTP_BUSY,                     /* no place in the pool, or the pool for names is full */
	CH_HTTP_RESOLVE,                  /* no such name */
	CH_HTTP_CONNECT,                  /* refused, unreachable */
	CH_HTTP_TLS,                      /* handshake, also one that the server ends by closing, or certificate */
	CH_HTTP_TIMEOUT_CONNECT, CH_HTTP_TIMEOUT_FIRST_BYTE, CH_HTTP_TIMEOUT_IDLE, CH_HTTP_TIMEOUT_TOTAL, /* or the ctx's deadline */
	/* reset or closed before the answer was whole; with TLS also a body that ends without close_notify */
	CH_HTTP_CLOSED,
	CH_HTTP_INVALID,                  /* what came is no valid HTTP */
	CH_HTTP_TOO_LARGE,                /* head, line or body over its cap, or a gathered body over the ctx's memory */
	CH_HTTP_CANCELLED
};

/*
 * What came of it. The caller's memory in the ctx's arena, all zero but `size` when the call is made; what it points to belongs to
 * the ctx.
 */
struct ch_http_result {
	size_t size;
	int error;                        /* enum ch_http_error; what else is filled then is what was known */
	const char *detail;               /* with error: one sentence for people, naming the host, without the query and without secrets */
	int status;                       /* 0: no head came */
	const struct ch_http_field *fields; /* of the head, as they came, in order; no trailers, no 1xx */
	size_t nfields;
	struct ch_str body;               /* without a sink: the whole body, empty with an error; else empty */
	uint64_t body_bytes;              /* of the body, delivered so far */
	bool sent;                        /* a byte of the request may have reached the server */
	bool reused;                      /* over a connection that was there; false after a repeat */
	int version;                      /* 10, 11, 20 */
	int64_t connected, first_byte, ended; /* ch_now; 0: did not come to it; `connected` of a reused one: when the call got it */
	void *call;                       /* the provider's own, as long as the call runs: how go_on and cancel find it */
};

/*
 * Where an answer goes piece by piece. Called on the loop, after `request` returned, never after the ticket was resumed. Return CH_OK;
 * CH_AGAIN: no more until go_on; CH_DONE: enough, the call ends as if it were cancelled.
 */
struct ch_http_sink {
	size_t size;
	/* The head: out->status and fields are filled. NULL: not wanted. */
	int (*head)(struct ch_ctx *, void *arg, const struct ch_http_result *out);
	/* The body's next bytes, unframed; valid during the call. n > 0. */
	int (*data)(struct ch_ctx *, void *arg, const char *p, size_t n);
	void *arg;
};

struct ch_http_v1 {
	size_t size;
	/*
	 * Sends a request. sink NULL: the body is gathered in *out; else it is copied. CH_OK: *out is filled now (with an error) and the
	 * ticket is untouched. CH_AGAIN: *out will be filled and the ticket resumed (result NULL), exactly once. CH_ERROR: the provider is
	 * broken.
	 */
	int (*request)(const struct ch_svc *, struct ch_ctx *, const struct ch_http_args *, const struct ch_http_sink *sink,
	               struct ch_http_result *out, ch_ticket);
	/* After a sink's AGAIN, or inside it to take it back; else nothing. Bytes that wait are delivered at the end of the turn. */
	void (*go_on)(const struct ch_svc *, struct ch_ctx *, struct ch_http_result *out);
	/*
	 * Gives up the call that fills *out: no more events, CH_HTTP_CANCELLED, the ticket is resumed and the connection closed within
	 * this turn of the loop. Idempotent; nothing when the call has ended. Inside a sink's function: when that has returned.
	 */
	void (*cancel)(const struct ch_svc *, struct ch_ctx *, struct ch_http_result *out);
};

/* The first field of that name in the answer, any letter case; p NULL: absent. */
static inline struct ch_str ch_http_field(const struct ch_http_result *r, const char *name)
{
	struct ch_str none = { NULL, 0 };
	size_t n = strlen(name);
	for (size_t i = 0; i < r->nfields; i++) {
		const struct ch_str *f = &r->fields[i].name;
		size_t k = f->n == n ? 0 : n + 1;
		while (k < n && (f->p[k] == name[k] || ((f->p[k] ^ name[k]) == 32 && (f->p[k] | 32) >= 'a' && (f->p[k] | 32) <= 'z')))
			k++;
		if (k == n)
			return r->fields[i].value;
	}
	return none;
}

#ifdef __cplusplus
}
#endif
#endif
