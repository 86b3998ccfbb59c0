/* SPDX-License-Identifier: MIT */
/*
 * http_cases.c - what a provider of "http/1" must do: one row a case, in groups. The comment above a group says which clauses of
 * chimera/http.h it proves.
 */
#include "http_cases.h"

#define FIELD(name, value) .odd_field = true, .fields = { { { "" name, sizeof(name) - 1 }, { "" value, sizeof(value) - 1 } } }

/* Whoever does not send it has nothing to do with any server: no connection, no byte, and says so. */
#define REFUSED(n, ...) { .name = "bad/" n, .error = IS(BAD_REQUEST), .status = NONE, .sent = NO, .requests = NONE, .connections = NONE, \
	.host = "", __VA_ARGS__ }
#define OWN_FIELD(name) REFUSED("own-field-" name, URL("/ok"), FIELD(name, "x"))
#define BAD_FIELD(n, name, value) REFUSED("field-" n, URL("/ok"), FIELD(name, value))
#define BAD_URL(n, url) REFUSED("url-" n, URL(url))
/* There, but not to be reached; some ways to write an address may be taken for a bad URL or for a name that does not exist. */
#define BLOCKED(n, url, more) { .name = "blocked/" n, URL(url Q), .port = "-", .error = IS(BLOCKED) | (more), .status = NONE, .sent = NO, \
	.host = "" }
/* Answered, though not by HTTP. */
#define INVALID(n, path) { .name = "invalid/" n, URL(path), .error = IS(INVALID) }
/* The same where RFC 9112 lets a client repair what came. */
#define DOUBTFUL(n, path) { .name = "invalid/" n, URL(path), .error = IS(INVALID) | IS(OK), .hasnt = "X-Forged" }
#define FLOOD (8 << 20) /* bytes that fit into buffers on the way of what nobody reads */

const struct row rows[] = {

/* request/: method, URL, fields and body arrive as they were given; Host and Content-Length are the provider's; it asks for identity. */

{ .name = "request/line", URL("/echo"), .error = IS(OK), .status = 200, .seen = "GET /echo" Q " HTTP/1.1\r\n", .sent = YES,
	.version = 11 },
{ .name = "request/host", URL("/echo"), .error = IS(OK), .seen = "\r\nHost: 127.0.0.1:{port}\r\n" },
{ .name = "request/asks-for-identity", URL("/echo"), .error = IS(OK), .seen = "\r\nAccept-Encoding: identity\r\n" },
{ .name = "request/no-body-no-length", URL("/echo"), .error = IS(OK), .unseen = "Content-Length" },
{ .name = "request/no-expect", URL("/echo"), .error = IS(OK), .unseen = "Expect:" },
{ .name = "request/no-chunks", URL("/echo"), .method = "POST", .body = 10, .error = IS(OK), .unseen = "Transfer-Encoding" },
{ .name = "request/no-path", URL(HOME), .error = IS(OK), .text = "ok" },
{ .name = "request/no-path-query", URL(HOME Q), .error = IS(OK), .text = "ok" },
{ .name = "request/other-method", URL("/echo"), .method = "PURGE", .error = IS(OK), .seen = "PURGE /echo" },
{ .name = "request/fields", URL("/echo"),
	.fields = { { CH_STR("X-One"), CH_STR("a; b=\"c\"") }, { CH_STR("x-two"), CH_STR("\xc3\xa9") } },
	.error = IS(OK), .seen = "\r\nX-One: a; b=\"c\"\r\n\nX-Two: \xc3\xa9\r\n" },
{ .name = "request/body", URL("/echo"), .method = "POST", .body = 1000, .error = IS(OK),
	.seen = "\r\nContent-Length: 1000\r\n\n\r\n\r\nxxxxxxxx" },
{ .name = "request/large-body", URL("/read-slowly/1"), .method = "PUT", .body = 4 << 20, .error = IS(OK), .text = "4194304" },
{ .name = "request/empty-post", URL("/echo"), .method = "POST", .error = IS(OK), .seen = "\r\nContent-Length: 0\r\n" },
{ .name = "request/empty-put", URL("/echo"), .method = "PUT", .error = IS(OK), .seen = "\r\nContent-Length: 0\r\n" },
{ .name = "request/empty-patch", URL("/echo"), .method = "PATCH", .error = IS(OK), .seen = "\r\nContent-Length: 0\r\n" },

/* bad/: args that are wrong are BAD_REQUEST, and nothing is sent. */

OWN_FIELD("Host"), OWN_FIELD("content-length"), OWN_FIELD("Transfer-Encoding"), OWN_FIELD("CONNECTION"), OWN_FIELD("Upgrade"),
OWN_FIELD("Accept-encoding"), OWN_FIELD("te"), OWN_FIELD("Trailer"), OWN_FIELD("expect"),
BAD_FIELD("value-crlf", "X-Bad", "a\r\nX-Forged: yes"), BAD_FIELD("value-lf", "X-Bad", "a\nb"), BAD_FIELD("value-cr", "X-Bad", "a\rb"),
BAD_FIELD("value-nul", "X-Bad", "a\0b"), BAD_FIELD("name-empty", "", "a"), BAD_FIELD("name-space", "X Bad", "a"),
BAD_FIELD("name-colon", "X-Bad: a", "a"), BAD_FIELD("name-crlf", "X-Bad: a\r\nX", "a"), BAD_FIELD("name-nul", "X\0Bad", "a"),
BAD_FIELD("name-not-ascii", "X-B\xc3\xa4" "d", "a"),
REFUSED("method-empty", URL("/ok"), .method = ""), REFUSED("method-space", URL("/ok"), .method = "GET /x"),
REFUSED("method-crlf", URL("/ok"), .method = "GET\r\nX-Bad: a"),
BAD_URL("empty", ""), BAD_URL("relative", "//127.0.0.1:{port}/ok"), BAD_URL("no-host", "http:///ok"),
BAD_URL("no-slashes", "http:127.0.0.1:{port}"),
BAD_URL("fragment", HOME "/ok#part"), BAD_URL("user", "http://user@127.0.0.1:{port}/ok"), BAD_URL("space", HOME "/o k"),
BAD_URL("password", "http://user:s3cret@127.0.0.1:{port}/ok"), BAD_URL("crlf", HOME "/ok HTTP/1.1\r\nX-Bad: a\r\n\r\n"),
BAD_URL("nul", HOME "/ok\0x"), BAD_URL("lf", HOME "/ok\n"), BAD_URL("port-text", "http://127.0.0.1:http/ok"),
BAD_URL("port-large", "http://127.0.0.1:65536/ok"), BAD_URL("open-bracket", "http://[::1:{port}/ok"),

/* blocked/: what is not http(s), and link-local addresses in every way to write them, are not reached. */

BLOCKED("file", "file:///etc/passwd", IS(BAD_REQUEST)), BLOCKED("ftp", "ftp://127.0.0.1/x", IS(BAD_REQUEST)),
BLOCKED("gopher", "gopher://127.0.0.1:25/x", IS(BAD_REQUEST)), BLOCKED("link-local", "http://169.254.169.254/latest", 0),
BLOCKED("link-local-https", "https://169.254.1.1/", 0), BLOCKED("link-local-v6", "http://[fe80::1]/", 0),
BLOCKED("link-local-mapped", "http://[::ffff:169.254.169.254]/", 0), BLOCKED("link-local-mapped-hex", "http://[::ffff:a9fe:a9fe]/", 0),
BLOCKED("link-local-hex", "http://0xa9fea9fe/", IS(BAD_REQUEST) | IS(RESOLVE)),
BLOCKED("link-local-number", "http://2852039166/", IS(BAD_REQUEST) | IS(RESOLVE)),
BLOCKED("link-local-octal", "http://0251.0376.0251.0376/", IS(BAD_REQUEST) | IS(RESOLVE)),
BLOCKED("link-local-short", "http://169.254.43518/", IS(BAD_REQUEST) | IS(RESOLVE)),
BLOCKED("link-local-zone", "http://[fe80::1%25lo]/", IS(BAD_REQUEST)),

/* answer/: every valid answer is OK; a body is unframed; fields as they came; no trailers, no 1xx; a status is no error. */

{ .name = "answer/empty", URL("/length/0"), .error = IS(OK), .status = 200, .text = "" },
{ .name = "answer/length", URL("/length/300000"), .error = IS(OK), .bytes = 300000 },
{ .name = "answer/chunked", URL("/chunked/300000/999"), .error = IS(OK), .bytes = 300000 },
{ .name = "answer/chunks-of-one", URL("/chunked/5000/1"), .error = IS(OK), .bytes = 5000 },
{ .name = "answer/byte-by-byte", URL("/split/100"), .error = IS(OK), .bytes = 100, .has = "X-Split: yes" },
{ .name = "answer/close-delimited", URL("/close-delimited/300000"), .error = IS(OK), .bytes = 300000 },
{ .name = "answer/http-1.0", URL("/http10/1000"), .error = IS(OK), .bytes = 1000, .version = 10 },
{ .name = "answer/204", URL("/status/204"), .error = IS(OK), .status = 204, .text = "" },
{ .name = "answer/304", URL("/status/304"), .error = IS(OK), .status = 304, .text = "" },
{ .name = "answer/404", URL("/status/404"), .error = IS(OK), .status = 404, .text = "" },
{ .name = "answer/500", URL("/status/500"), .error = IS(OK), .status = 500, .text = "" },
{ .name = "answer/599", URL("/status/599"), .error = IS(OK), .status = 599, .text = "" },
{ .name = "answer/head", URL("/length/100"), .method = "HEAD", .error = IS(OK), .status = 200, .text = "", .has = "Content-Length: 100" },
{ .name = "answer/fields", URL("/fields"), .error = IS(OK), .text = "ok",
	.has = "Content-Length: 2\nSet-Cookie: a=1\nset-cookie: b=2\nX-Empty: \nX-Padded: in\nX-High: caf\xe9" },
{ .name = "answer/trailers", URL("/trailers"), .error = IS(OK), .text = "ok", .has = "X-Head: yes", .hasnt = "X-Trailer" },
{ .name = "answer/chunk-extensions", URL("/chunk-ext"), .error = IS(OK), .text = "ok" },
{ .name = "answer/100", URL("/interim/100/1"), .error = IS(OK), .status = 200, .text = "ok", .hasnt = "X-Interim" },
{ .name = "answer/103-three-times", URL("/interim/103/3"), .error = IS(OK), .status = 200, .text = "ok", .hasnt = "X-Interim" },
{ .name = "answer/redirect-to-other-host", URL("/redirect/other-host"), .error = IS(OK), .status = 302, .text = "moved", .requests = 1,
	.connections = 1 },
{ .name = "answer/redirect-to-same-host", URL("/redirect/same"), .error = IS(OK), .status = 302, .has = "Location: /ok", .requests = 1 },
{ .name = "answer/before-the-body-is-read", URL("/early-answer"), .method = "POST", .body = 4 << 20, .error = IS(OK), .status = 413,
	.text = "too large" },
{ .name = "answer/late", URL("/slow-head/100"), .first = 1000, .error = IS(OK), .text = "ok" },
{ .name = "answer/slow-port", URL("/length/100"), .port = "slow", .error = IS(OK), .bytes = 100 },

/* coding/: a Content-Encoding is not decoded; an answer that has one is INVALID. identity is none. */

{ .name = "coding/identity", URL("/identity"), .error = IS(OK), .text = "ok" },
{ .name = "coding/gzip", URL("/gzip/1"), .error = IS(INVALID), .status = 200 },
{ .name = "coding/gzip-bomb", URL("/gzip/1024"), .error = IS(INVALID) },

/* cut/: an answer that is not whole is CLOSED; what came of it is told; over a connection of its own no request is repeated. */

{ .name = "cut/reset-before-head", URL("/reset-before-head"), .error = IS(CLOSED), .status = NONE, .sent = YES, .requests = 1 },
{ .name = "cut/close-before-head", URL("/close-before-head"), .error = IS(CLOSED), .status = NONE, .sent = YES, .requests = 1 },
{ .name = "cut/reset-in-head", URL("/reset-in-head"), .error = IS(CLOSED), .requests = 1 },
{ .name = "cut/close-in-head", URL("/close-in-head"), .error = IS(CLOSED), .requests = 1 },
{ .name = "cut/reset-in-body", URL("/reset-mid-body/500"), .error = IS(CLOSED), .status = 200, .requests = 1 },
{ .name = "cut/close-in-body", URL("/short-length"), .error = IS(CLOSED), .status = 200, .has = "Content-Length: 100", .requests = 1 },
{ .name = "cut/close-in-body-sink", URL("/short-length"), .sink = SINK, .error = IS(CLOSED), .status = 200, .bytes = 50 },
{ .name = "cut/reset-in-chunk", URL("/reset-in-chunk"), .error = IS(CLOSED), .requests = 1 },
{ .name = "cut/no-last-chunk", URL("/cut-chunked"), .error = IS(CLOSED), .status = 200, .requests = 1 },

/* invalid/: what is no valid HTTP is INVALID, at once, not when a timeout ends it: the server keeps these connections open. */

INVALID("garbage", "/garbage"), INVALID("http-0.9", "/http09"), INVALID("101", "/101"),
INVALID("status-two-digits", "/status-line/two-digits"), INVALID("status-four-digits", "/status-line/four-digits"),
INVALID("status-word", "/status-line/word"), INVALID("status-zero", "/status-line/zero"), INVALID("status-minus", "/status-line/minus"),
INVALID("status-missing", "/status-line/no-code"), INVALID("status-version", "/status-line/version"),
INVALID("status-lower-case", "/status-line/lower"), INVALID("status-name", "/status-line/name"), INVALID("status-nul", "/status-line/nul"),
INVALID("field-no-colon", "/bad-field/no-colon"), INVALID("field-no-name", "/bad-field/no-name"),
INVALID("field-space-in-name", "/bad-field/space-in-name"), INVALID("field-nul-in-name", "/bad-field/nul-in-name"),
DOUBTFUL("field-nul", "/bad-field/nul"), DOUBTFUL("field-cr", "/bad-field/cr"),
DOUBTFUL("field-space-before-colon", "/bad-field/space-before-colon"),
DOUBTFUL("field-first-folded", "/bad-field/first-folded"), DOUBTFUL("field-folded", "/obs-fold"), DOUBTFUL("lf-lines", "/no-crlf"),
INVALID("lengths-conflict", "/bad-length/conflict"), INVALID("length-list-conflict", "/bad-length/list-conflict"),
INVALID("length-minus", "/bad-length/minus"), INVALID("length-plus", "/bad-length/plus"), INVALID("length-hex", "/bad-length/hex"),
INVALID("length-words", "/bad-length/words"), INVALID("length-empty", "/bad-length/empty"), INVALID("length-text", "/bad-length/text"),
INVALID("length-over-64-bits", "/bad-length/over-64-bits"),
DOUBTFUL("lengths-equal", "/bad-length/equal"), DOUBTFUL("length-list-equal", "/bad-length/list-equal"),
DOUBTFUL("coding-and-length", "/te-and-cl"),
INVALID("coding-unknown", "/bad-coding/unknown"), INVALID("coding-twice", "/bad-coding/twice"), INVALID("coding-near", "/bad-coding/near"),
INVALID("coding-not-last", "/bad-coding/not-last"),
INVALID("chunk-text", "/bad-chunk/text"), INVALID("chunk-empty", "/bad-chunk/empty"), INVALID("chunk-minus", "/bad-chunk/minus"),
INVALID("chunk-plus", "/bad-chunk/plus"), INVALID("chunk-hex", "/bad-chunk/hex"), INVALID("chunk-over-64-bits", "/bad-chunk/over-64-bits"),
INVALID("chunk-longer", "/bad-chunk/longer"), INVALID("chunk-no-crlf", "/bad-chunk/no-crlf"), INVALID("chunk-space", "/bad-chunk/space"),
INVALID("chunk-nul", "/bad-chunk/nul"), INVALID("chunk-bare-cr", "/bad-chunk/bare-cr"),
{ .name = "invalid/http-on-a-tls-port", URL(HOME "/ok" Q), .port = "tls", .error = IS(INVALID) | IS(CLOSED), .alone = true },

/* behind/: what follows an answer is never taken for the next one. (The call that follows each case finds out.) */

{ .name = "behind/an-answer", URL("/extra-bytes-behind"), .error = IS(OK), .text = "ok", .hasnt = "X-Forged" },
{ .name = "behind/an-answer-later", URL("/extra-bytes-later/20"), .gap = 100, .error = IS(OK), .text = "ok" },
{ .name = "behind/more-bytes", URL("/long-length"), .error = IS(OK), .text = "ok" },
{ .name = "behind/204", URL("/204-with-body"), .error = IS(OK), .status = 204, .text = "" },
{ .name = "behind/head", URL("/head-with-body"), .method = "HEAD", .error = IS(OK), .text = "" },

/* limit/: a head, a line or a body over its cap is TOO_LARGE, and is not read on; `max_body` is inclusive. */

{ .name = "limit/body-fits", URL("/length/1000"), .max_body = 1000, .error = IS(OK), .bytes = 1000 },
{ .name = "limit/body", URL("/length/1001"), .max_body = 1000, .error = IS(TOO_LARGE), .status = 200 },
{ .name = "limit/chunked-fits", URL("/chunked/1000/10"), .max_body = 1000, .error = IS(OK), .bytes = 1000 },
{ .name = "limit/chunked", URL("/chunked/1001/10"), .max_body = 1000, .error = IS(TOO_LARGE), .status = 200 },
{ .name = "limit/close-delimited", URL("/close-delimited/1001"), .max_body = 1000, .error = IS(TOO_LARGE), .status = 200 },
{ .name = "limit/sink", URL("/chunked/5000/500"), .sink = SINK, .max_body = 1000, .error = IS(TOO_LARGE), .status = 200 },
{ .name = "limit/2^63-body", URL("/infinite-length"), .max_body = 100000, .error = IS(TOO_LARGE), .at_most = FLOOD },
{ .name = "limit/infinite-body", URL("/infinite-body"), .max_body = 100000, .error = IS(TOO_LARGE), .at_most = FLOOD },
{ .name = "limit/infinite-chunks", URL("/infinite-chunked"), .max_body = 100000, .error = IS(TOO_LARGE), .at_most = FLOOD },
{ .name = "limit/one-line-body", URL("/endless-line-body"), .max_body = 100000, .error = IS(TOO_LARGE), .at_most = FLOOD },
{ .name = "limit/more-than-a-ctx-holds", URL("/chunked/8000000/65536"), .max_body = 1 << 30, .error = IS(TOO_LARGE) | IS(BUSY) },
{ .name = "limit/chunks-of-one", URL("/chunk-flood"), .max_body = 100000, .error = IS(TOO_LARGE) | IS(INVALID), .at_most = FLOOD },
{ .name = "limit/chunk-extensions", URL("/chunk-ext-flood"), .max_body = 100000, .error = IS(TOO_LARGE) | IS(INVALID), .at_most = FLOOD },
{ .name = "limit/chunk-extension", URL("/endless-chunk-ext"), .error = IS(TOO_LARGE) | IS(INVALID), .at_most = FLOOD },
{ .name = "limit/trailers", URL("/endless-trailers"), .error = IS(TOO_LARGE) | IS(INVALID), .at_most = FLOOD },
{ .name = "limit/status-line", URL("/endless-status-line"), .error = IS(TOO_LARGE), .status = NONE, .at_most = FLOOD },
{ .name = "limit/header-line", URL("/endless-header-line"), .error = IS(TOO_LARGE), .at_most = FLOOD },
{ .name = "limit/header-lines", URL("/endless-headers"), .error = IS(TOO_LARGE), .at_most = FLOOD },
{ .name = "limit/100-without-end", URL("/interim/100/0"), .error = IS(TOO_LARGE) | IS(INVALID), .at_most = FLOOD },

/* reach/: names and connections that cannot be had. */

{ .name = "reach/refused", URL("/ok"), .port = "refuse", .error = IS(CONNECT), .status = NONE, .sent = NO, .alone = true },
{ .name = "reach/refused-v6", URL("http://[::1]:{port}/ok" Q), .error = IS(CONNECT), .status = NONE, .sent = NO, .host = "::1" },
{ .name = "reach/name", URL("http://localhost:{port}/length/9" Q), .error = IS(OK), .bytes = 9 },
{ .name = "reach/no-such-name", URL("http://nosuch.invalid/" Q), .port = "-", .error = IS(RESOLVE) | IS(TIMEOUT_CONNECT), .status = NONE,
	.sent = NO, .ms = 0, .host = "nosuch.invalid" },
{ .name = "reach/name-too-long", URL("http://xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.invalid/" Q),
	.port = "-", .error = IS(RESOLVE) | IS(BAD_REQUEST), .status = NONE, .sent = NO, .host = "" },

/* time/: each timeout ends its part of the call, in time and not before; the idle one does not run while the sink has said AGAIN. */

{ .name = "time/connect", URL("/ok"), .port = "hole", .connect = 150, .error = IS(TIMEOUT_CONNECT), .ms = 150, .status = NONE, .sent = NO,
	.alone = true },
{ .name = "time/connect-tls", URL("https://127.0.0.1:{port}/ok" Q), .port = "mute", .connect = 150, .error = IS(TIMEOUT_CONNECT),
	.ms = 150, .status = NONE, .sent = NO, .alone = true },
{ .name = "time/connect-total", URL("/ok"), .port = "hole", .total = 150, .error = IS(TIMEOUT_TOTAL), .ms = 150, .status = NONE,
	.alone = true },
{ .name = "time/first-byte", URL("/stall-head"), .first = 150, .error = IS(TIMEOUT_FIRST_BYTE), .ms = 150, .status = NONE, .sent = YES,
	.requests = 1 },
{ .name = "time/first-byte-half-a-head", URL("/stall-in-head"), .first = 150, .error = IS(TIMEOUT_FIRST_BYTE), .ms = 150, .requests = 1 },
{ .name = "time/first-byte-endless-head", URL("/drip-head/10"), .first = 150, .error = IS(TIMEOUT_FIRST_BYTE), .ms = 150 },
{ .name = "time/idle", URL("/stall-body"), .idle = 150, .error = IS(TIMEOUT_IDLE), .ms = 150, .status = 200 },
{ .name = "time/idle-sink", URL("/stall-body"), .sink = SINK, .idle = 150, .error = IS(TIMEOUT_IDLE), .ms = 150, .bytes = 50 },
{ .name = "time/idle-chunked", URL("/stall-chunk"), .idle = 150, .error = IS(TIMEOUT_IDLE), .ms = 150, .status = 200 },
{ .name = "time/idle-begins-anew", URL("/drip/10/40"), .idle = 250, .error = IS(OK), .bytes = 10 },
{ .name = "time/idle-while-paused", URL("/length/1000"), .sink = SINK, .pause = IN_HEAD, .go_on = 400, .idle = 150, .error = IS(OK),
	.bytes = 1000 },
{ .name = "time/idle-after-pause", URL("/stall-body"), .sink = SINK, .pause = IN_HEAD, .go_on = 100, .idle = 150,
	.error = IS(TIMEOUT_IDLE), .ms = 250, .bytes = 50 },
{ .name = "time/total-body", URL("/drip-forever/20"), .total = 300, .error = IS(TIMEOUT_TOTAL), .ms = 300, .status = 200 },
{ .name = "time/total-head", URL("/stall-head"), .total = 200, .error = IS(TIMEOUT_TOTAL), .ms = 200, .status = NONE },
{ .name = "time/total-upload", URL("/never-reads"), .method = "POST", .body = 8 << 20, .total = 300, .error = IS(TIMEOUT_TOTAL),
	.ms = 300, .status = NONE },
{ .name = "time/total-paused", URL("/length/1000"), .sink = SINK, .pause = IN_HEAD, .total = 300, .error = IS(TIMEOUT_TOTAL), .ms = 300 },
{ .name = "time/deadline", URL("/stall-head"), .deadline = 150, .error = IS(TIMEOUT_TOTAL), .ms = 150, .status = NONE },
{ .name = "time/deadline-connect", URL("/ok"), .port = "hole", .deadline = 150, .error = IS(TIMEOUT_TOTAL), .ms = 150, .alone = true },
{ .name = "time/mute-port", URL("/ok"), .port = "mute", .first = 150, .error = IS(TIMEOUT_FIRST_BYTE), .ms = 150, .alone = true },

/* sink/: the head once, then the body's bytes in order, n > 0; the sink is copied; an error comes behind what was delivered. */

{ .name = "sink/length", URL("/length/300000"), .sink = SINK, .error = IS(OK), .status = 200, .bytes = 300000 },
{ .name = "sink/chunked", URL("/chunked/300000/777"), .sink = SINK, .error = IS(OK), .bytes = 300000 },
{ .name = "sink/close-delimited", URL("/close-delimited/300000"), .sink = SINK, .error = IS(OK), .bytes = 300000 },
{ .name = "sink/byte-by-byte", URL("/split/100"), .sink = SINK, .error = IS(OK), .bytes = 100 },
{ .name = "sink/no-body", URL("/status/204"), .sink = SINK, .error = IS(OK), .status = 204, .text = "" },
{ .name = "sink/deaf-to-the-head", URL("/length/1000"), .sink = DEAF_SINK, .error = IS(OK), .status = 200, .bytes = 1000 },
{ .name = "sink/interim", URL("/interim/103/2"), .sink = SINK, .error = IS(OK), .status = 200, .text = "ok" },

/* pause/: after AGAIN nothing comes until go_on, which delivers what waits; the server is held up, not buffered. */

{ .name = "pause/head", URL("/length/1000"), .sink = SINK, .pause = IN_HEAD, .go_on = 50, .error = IS(OK), .bytes = 1000 },
{ .name = "pause/data", URL("/length/300000"), .sink = SINK, .pause = IN_DATA, .go_on = 50, .error = IS(OK), .bytes = 300000 },
{ .name = "pause/every-piece", URL("/length/300000"), .sink = SINK, .pause = IN_DATA, .every = true, .go_on = 1, .error = IS(OK),
	.bytes = 300000 },
{ .name = "pause/every-chunk", URL("/chunked/20000/999"), .sink = SINK, .pause = IN_DATA, .every = true, .go_on = 1, .error = IS(OK),
	.bytes = 20000 },
{ .name = "pause/what-waits-comes", URL("/stall-body"), .sink = SINK, .pause = IN_HEAD, .go_on = 50, .cancel = LATER, .after = 150,
	.error = IS(CANCELLED), .bytes = 50 },
{ .name = "pause/closed-meanwhile", URL("/close-delimited/1000"), .sink = SINK, .pause = IN_HEAD, .go_on = 100, .error = IS(OK),
	.bytes = 1000 },
{ .name = "pause/no-body", URL("/status/204"), .sink = SINK, .pause = IN_HEAD, .go_on = 50, .error = IS(OK), .text = "" },
{ .name = "pause/flood", URL("/infinite-body"), .sink = SINK, .pause = IN_DATA, .max_body = 1 << 30, .cancel = LATER, .after = 300,
	.error = IS(CANCELLED), .at_most = FLOOD, .closed = true },

/* cancel/: in every stage: CANCELLED, the ticket resumed and the connection closed within the turn, nothing called any more. */

{ .name = "cancel/at-once", URL("/length/1000"), .sink = SINK, .cancel = AT_ONCE, .error = IS(CANCELLED), .text = "", .closed = true },
{ .name = "cancel/at-once-twice", URL("/length/1000"), .cancel = AT_ONCE, .twice = true, .error = IS(CANCELLED), .closed = true },
{ .name = "cancel/resolving", URL("http://nosuch.invalid/" Q), .port = "-", .cancel = AT_ONCE, .error = IS(CANCELLED), .host = "" },
{ .name = "cancel/connecting", URL("/ok"), .port = "hole", .cancel = LATER, .after = 50, .error = IS(CANCELLED), .sent = NO,
	.alone = true },
{ .name = "cancel/handshaking", URL("https://127.0.0.1:{port}/ok" Q), .port = "mute", .cancel = LATER, .after = 50,
	.error = IS(CANCELLED), .sent = NO, .closed = true, .alone = true },
{ .name = "cancel/sending", URL("/never-reads"), .method = "POST", .body = 8 << 20, .cancel = LATER, .after = 50,
	.error = IS(CANCELLED) },
{ .name = "cancel/waiting", URL("/stall-head"), .cancel = LATER, .after = 50, .error = IS(CANCELLED), .status = NONE, .sent = YES,
	.closed = true },
{ .name = "cancel/in-a-body", URL("/drip-forever/10"), .sink = SINK, .cancel = LATER, .after = 100, .error = IS(CANCELLED), .status = 200,
	.closed = true },
{ .name = "cancel/in-a-gathered-body", URL("/drip-forever/10"), .cancel = LATER, .after = 100, .error = IS(CANCELLED), .closed = true },
{ .name = "cancel/twice", URL("/drip-forever/10"), .sink = SINK, .cancel = LATER, .after = 50, .twice = true, .error = IS(CANCELLED),
	.closed = true },
{ .name = "cancel/paused", URL("/length/1000"), .sink = SINK, .pause = IN_HEAD, .cancel = LATER, .after = 50, .error = IS(CANCELLED),
	.text = "", .closed = true },
{ .name = "cancel/inside-head", URL("/length/1000"), .sink = SINK, .cancel = IN_HEAD, .error = IS(CANCELLED), .status = 200, .text = "",
	.closed = true },
{ .name = "cancel/inside-data", URL("/infinite-body"), .sink = SINK, .cancel = IN_DATA, .error = IS(CANCELLED), .status = 200,
	.closed = true },
{ .name = "cancel/done-with-the-head", URL("/length/1000"), .sink = SINK, .done = IN_HEAD, .error = IS(CANCELLED), .status = 200,
	.text = "", .closed = true },
{ .name = "cancel/done-with-data", URL("/infinite-body"), .sink = SINK, .done = IN_DATA, .error = IS(CANCELLED), .status = 200,
	.closed = true },

/* pool/: connections are kept, and used again only if they can be; only a stale one's request is repeated, and only if that is safe. */

{ .name = "pool/reused", URL("/length/9"), .warm = "/ok", .error = IS(OK), .bytes = 9, .reused = YES, .requests = 2, .connections = 1 },
{ .name = "pool/first-is-not-reused", URL("/ok"), .error = IS(OK), .reused = NO, .connections = 1 },
{ .name = "pool/reused-after-chunks", URL("/length/9"), .warm = "/trailers", .error = IS(OK), .bytes = 9, .reused = YES,
	.connections = 1 },
{ .name = "pool/reused-after-204", URL("/length/9"), .warm = "/status/204", .error = IS(OK), .bytes = 9, .reused = YES,
	.connections = 1 },
{ .name = "pool/reused-after-304", URL("/length/9"), .warm = "/status/304", .error = IS(OK), .bytes = 9, .reused = YES,
	.connections = 1 },
{ .name = "pool/reused-after-100", URL("/length/9"), .warm = "/interim/100/2", .error = IS(OK), .bytes = 9, .reused = YES,
	.connections = 1 },
{ .name = "pool/reused-for-a-post", URL("/echo"), .method = "POST", .body = 9, .warm = "/ok", .error = IS(OK), .seen = "xxxxxxxxx",
	.reused = YES },
{ .name = "pool/fresh-after-connection-close", URL("/ok"), .warm = "/close-header", .error = IS(OK), .reused = NO, .connections = 2 },
{ .name = "pool/fresh-after-http-1.0", URL("/ok"), .warm = "/http10/9", .error = IS(OK), .reused = NO, .connections = 2 },
{ .name = "pool/fresh-after-more-bytes", URL("/length/9"), .warm = "/long-length", .error = IS(OK), .bytes = 9, .reused = NO,
	.connections = 2 },
{ .name = "pool/stale-get-is-repeated", URL("/length/9"), .warm = "/die-on-next/close", .error = IS(OK), .bytes = 9, .requests = 3,
	.connections = 2, .reused = NO },
{ .name = "pool/stale-get-reset-is-repeated", URL("/length/9"), .warm = "/die-on-next/reset", .error = IS(OK), .bytes = 9, .requests = 3,
	.connections = 2 },
{ .name = "pool/stale-put-is-repeated", URL("/read-slowly/0"), .method = "PUT", .body = 9, .warm = "/die-on-next/close", .error = IS(OK),
	.text = "9", .requests = 3 },
{ .name = "pool/stale-post-is-not", URL("/ok"), .method = "POST", .body = 9, .warm = "/die-on-next/close", .error = IS(CLOSED),
	.status = NONE, .sent = YES, .reused = YES, .requests = 2, .connections = 1 },
{ .name = "pool/stale-post-reset-is-not", URL("/ok"), .method = "POST", .body = 9, .warm = "/die-on-next/reset", .error = IS(CLOSED),
	.status = NONE, .requests = 2 },
{ .name = "pool/idle-closed-before-a-post", URL("/ok"), .method = "POST", .body = 9, .warm = "/keepalive-then-close/20", .gap = 150,
	.error = IS(OK), .text = "ok", .requests = 2, .connections = 2 },
{ .name = "pool/half-an-answer-is-not-repeated", URL("/close-in-head"), .warm = "/ok", .error = IS(CLOSED), .requests = 2 },
{ .name = "pool/half-a-body-is-not-repeated", URL("/short-length"), .warm = "/ok", .error = IS(CLOSED), .requests = 2 },
{ .name = "pool/timeout-is-not-repeated", URL("/stall-head"), .warm = "/ok", .first = 150, .error = IS(TIMEOUT_FIRST_BYTE), .ms = 150,
	.requests = 2 },

/* tls/: certificates are verified, for the host too; an end without TLS's own is a cut. */

{ .name = "tls/self-signed", URL("/ok"), .port = "tls-selfsigned", .error = IS(TLS), .status = NONE, .sent = NO, .requests = NONE,
	.alone = true },
{ .name = "tls/expired", URL("/ok"), .port = "tls-expired", .error = IS(TLS), .status = NONE, .sent = NO, .requests = NONE,
	.alone = true },
{ .name = "tls/wrong-host", URL("/ok"), .port = "tls-wronghost", .error = IS(TLS), .status = NONE, .sent = NO, .requests = NONE,
	.alone = true },
{ .name = "tls/closed-in-handshake", URL("/ok"), .port = "tls-close", .error = IS(TLS) | IS(CLOSED), .status = NONE, .sent = NO,
	.alone = true },
{ .name = "tls/no-tls-there", URL("/ok"), .port = "tls-plain", .error = IS(TLS), .status = NONE, .sent = NO, .alone = true },
{ .name = "tls/ok", URL("/length/300000"), .port = "tls", .trusted = true, .error = IS(OK), .status = 200, .bytes = 300000,
	.version = 11 },
{ .name = "tls/by-name", URL("https://localhost:{port}/length/9" Q), .port = "tls", .trusted = true, .error = IS(OK), .bytes = 9 },
{ .name = "tls/body", URL("/read-slowly/1"), .port = "tls", .trusted = true, .method = "PUT", .body = 1 << 20, .error = IS(OK),
	.text = "1048576" },
{ .name = "tls/pause", URL("/length/300000"), .port = "tls", .trusted = true, .sink = SINK, .pause = IN_DATA, .every = true, .go_on = 1,
	.error = IS(OK), .bytes = 300000 },
{ .name = "tls/reused", URL("/length/9"), .port = "tls", .trusted = true, .warm = "/ok", .error = IS(OK), .bytes = 9, .reused = YES,
	.connections = 1 },
{ .name = "tls/stale-get-is-repeated", URL("/ok"), .port = "tls", .trusted = true, .warm = "/die-on-next/close", .error = IS(OK),
	.requests = 3 },
{ .name = "tls/redirect-to-http", URL("/redirect/downgrade"), .port = "tls", .trusted = true, .error = IS(OK), .status = 302,
	.requests = 1, .connections = 1 },
{ .name = "tls/close-in-body", URL("/short-length"), .port = "tls", .trusted = true, .error = IS(CLOSED), .status = 200 },
{ .name = "tls/close-delimited", URL("/close-delimited/1000"), .port = "tls", .trusted = true, .error = IS(OK), .bytes = 1000 },
{ .name = "tls/truncated", URL("/truncated/1000"), .port = "tls", .trusted = true, .error = IS(CLOSED) },
{ .name = "tls/behind-an-answer", URL("/extra-bytes-behind"), .port = "tls", .trusted = true, .error = IS(OK), .text = "ok" },
{ .name = "tls/behind-an-answer-later", URL("/extra-bytes-later/20"), .port = "tls", .trusted = true, .gap = 100, .error = IS(OK),
	.text = "ok" },
{ .name = "tls/stall", URL("/stall-body"), .port = "tls", .trusted = true, .idle = 150, .error = IS(TIMEOUT_IDLE), .ms = 150 },
{ .name = "tls/cancel", URL("/drip-forever/10"), .port = "tls", .trusted = true, .sink = SINK, .cancel = LATER, .after = 50,
	.error = IS(CANCELLED), .closed = true },
};

const size_t nrows = sizeof(rows) / sizeof(rows[0]);
