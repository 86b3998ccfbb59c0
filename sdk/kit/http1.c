/* SPDX-License-Identifier: MIT */
/*
 * Message heads. The parser keeps no state between calls: it starts at the first byte every time and goes strictly from left
 * to right, and no check looks past the point that it judges. So what it says of some bytes it says of them with any more
 * behind, which is why the outcome does not depend on how they were split. Limits follow the same rule: each bounds how far a
 * scan may look, so a line that is too long is too long whatever stands in its unread part.
 */
#include <arpa/inet.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "chimera/kit/http1.h"
#include "http1_chars.h"

#define METHOD_MAX 32
#define VERSION_LEN 8 /* "HTTP/1.1" */

#define T CH_H1_C_TOKEN
#define V CH_H1_C_VALUE
#define G CH_H1_C_TARGET
#define H CH_H1_C_HOST

const uint8_t ch_h1_class[256] = {
	['\t'] = V, [' '] = V,
	['!'] = T | V | G | H, ['"'] = V | G, ['#'] = T | V, ['$'] = T | V | G | H, ['%'] = T | V | G,
	['&' ... '\''] = T | V | G | H, ['(' ... ')'] = V | G | H, ['*' ... '+'] = T | V | G | H, [','] = V | G,
	['-' ... '.'] = T | V | G | H, ['/'] = V | G, ['0' ... '9'] = T | V | G | H, [':'] = V | G, [';'] = V | G | H,
	['<'] = V | G, ['='] = V | G | H, ['>' ... '@'] = V | G, ['A' ... 'Z'] = T | V | G | H, ['['] = V | G, ['\\'] = V,
	[']'] = V | G, ['^'] = T | V | G, ['_'] = T | V | G | H, ['`'] = T | V | G, ['a' ... 'z'] = T | V | G | H,
	['{'] = V | G, ['|'] = T | V | G, ['}'] = V | G, ['~'] = T | V | G | H, [0x80 ... 0xff] = V
};

#undef T
#undef V
#undef G
#undef H

enum { /* what the head has said so far */
	SEEN_HOST = 1,
	SEEN_LENGTH = 2,
	SEEN_CODING = 4,
	SEEN_CLOSE = 8,
	SEEN_KEEP_ALIVE = 16
};

struct parse {
	struct ch_h1_head *head;
	const struct ch_h1_limits *limits;
	const char *base; /* the first byte of the message */
	const char *end;  /* no byte at or behind it is read: the last one given, or max_head */
	int full;         /* end is max_head: more bytes would not help */
	int response;
	unsigned seen;
	enum ch_h1_rc rc; /* why a step returned NULL */
};

/* ---- outcomes: every step returns where the next one begins, or NULL ---- */

__attribute__((cold, noinline)) static const char *fail(struct parse *ps, int status, const char *error)
{
	ps->head->status = ps->response ? 502 : (uint16_t)status;
	ps->head->error = error;
	ps->rc = CH_H1_ERROR;
	return NULL;
}

static const char *incomplete(struct parse *ps)
{
	if (ps->full)
		return fail(ps, 431, "the head is over the limit");
	ps->rc = CH_H1_MORE;
	return NULL;
}

/* Where a scan of a line that begins at `line` stops: one byte over the limit, so that reaching it means too long. */
static const char *line_stop(const struct parse *ps, const char *line, size_t max)
{
	return (size_t)(ps->end - line) > max ? line + max + 1 : ps->end;
}

/* ---- scanning: each returns the first byte that is not of the kind, or stop ---- */

static const char *skip(const char *s, const char *stop, int class)
{
	while (s < stop && ch_h1_is(*s, class))
		s++;
	return s;
}

#ifdef __SSE2__
/* Bytes of v that are <= max, as unsigned numbers. */
static inline __m128i at_most(__m128i v, char max)
{
	return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(max)), v);
}

static inline __m128i equal(__m128i v, char c)
{
	return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

static inline unsigned bits(__m128i v)
{
	return (unsigned)_mm_movemask_epi8(v);
}

static inline __m128i load(const char *s)
{
	return _mm_loadu_si128((const __m128i *)(const void *)s);
}

/* All of 4 to 15 bytes, some of them twice. */
static inline __m128i load_few(const char *s, size_t n)
{
	return n >= 8 ? _mm_set_epi64x((int64_t)ch_h1_load(s + n - 8, 8), (int64_t)ch_h1_load(s, 8))
	              : _mm_set1_epi64x((int64_t)(ch_h1_load(s, 4) | ch_h1_load(s + n - 4, 4) << 32));
}

/* A bit for each byte that is neither a letter nor '-'. */
static inline unsigned unusual(__m128i v)
{
	__m128i letter = at_most(_mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a')), 25);

	return bits(_mm_or_si128(letter, equal(v, '-'))) ^ 0xffff;
}

/* A bit for each byte that may not stand in a value. */
static inline unsigned control(__m128i v)
{
	return bits(_mm_or_si128(_mm_andnot_si128(equal(v, '\t'), at_most(v, 0x1f)), equal(v, 0x7f)));
}
#endif

/* Nearly every field name is letters and '-'; the table decides about the rest. */
static const char *scan_name(const char *s, const char *stop)
{
#ifdef __SSE2__
	while (stop - s >= 16) {
		unsigned other = unusual(load(s));

		if (other) {
			s += __builtin_ctz(other);
			break;
		}
		s += 16;
	}
#endif
	return skip(s, stop, CH_H1_C_TOKEN);
}

static const char *scan_value(const char *s, const char *stop)
{
#ifdef __SSE2__
	for (; stop - s >= 16; s += 16) {
		unsigned bad = control(load(s));

		if (bad)
			return s + __builtin_ctz(bad);
	}
#endif
	return skip(s, stop, CH_H1_C_VALUE);
}

/*
 * Of a whole text it is known where it ends, so its last block may overlap the one before: no byte is looked at alone, if there are four.
 */
int ch_h1_token(const char *p, size_t n)
{
#ifdef __SSE2__
	if (n >= 16 && n <= 32 && !unusual(load(p)) && !unusual(load(p + n - 16)))
		return 1;
	if (n >= 4 && n < 16 && !unusual(load_few(p, n)))
		return 1;
#endif
	return n > 0 && scan_name(p, p + n) == p + n;
}

int ch_h1_value(const char *p, size_t n)
{
#ifdef __SSE2__
	if (n >= 4 && n < 16)
		return !control(load_few(p, n));
	if (n >= 16) {
		unsigned bad = control(load(p + n - 16));

		for (size_t i = 0; i + 16 < n; i += 16)
			bad |= control(load(p + i));
		return !bad;
	}
#endif
	return n == 0 || scan_value(p, p + n) == p + n;
}

static const char *scan_target(const char *s, const char *stop)
{
#ifdef __SSE2__
	for (; stop - s >= 16; s += 16) {
		__m128i v = load(s);
		__m128i high = equal(_mm_max_epu8(v, _mm_set1_epi8(0x7f)), 0x7f); /* v <= 0x7f */
		__m128i bad_low = _mm_or_si128(at_most(v, 0x20), equal(v, 0x7f));
		unsigned bad = bits(_mm_or_si128(bad_low, _mm_or_si128(equal(v, '#'), equal(v, '\\')))) | (bits(high) ^ 0xffff);

		if (bad)
			return s + __builtin_ctz(bad);
	}
#endif
	return skip(s, stop, CH_H1_C_TARGET);
}

static int is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static struct ch_h1_span span(const struct parse *ps, const char *from, const char *to)
{
	return (struct ch_h1_span){ (uint32_t)(from - ps->base), (uint32_t)(to - from) };
}

/* ---- lists ---- */

/* The next member of a comma-separated list, without the blanks around it. *s is NULL behind the last. */
static int next_member(const char **s, const char *end, const char **member, size_t *len)
{
	const char *from = *s;
	const char *to;

	if (!from)
		return 0;
	to = memchr(from, ',', (size_t)(end - from));
	*s = to ? to + 1 : NULL;
	if (!to)
		to = end;
	while (from < to && is_blank(*from))
		from++;
	while (to > from && is_blank(to[-1]))
		to--;
	*member = from;
	*len = (size_t)(to - from);
	return 1;
}

int ch_h1_list_has(const char *value, size_t n, const char *token)
{
	size_t token_len = strlen(token);
	const char *s = value;
	const char *member;
	size_t len;

	if (n == 0)
		return 0;
	while (next_member(&s, value + n, &member, &len))
		if (len == token_len && ch_h1_same(member, token, len))
			return 1;
	return 0;
}

/* ---- authorities ---- */

static int ipv6_ok(const char *s, size_t n)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (n >= sizeof(text) || memchr(s, 0, n))
		return 0;
	memcpy(text, s, n);
	text[n] = 0;
	return inet_pton(AF_INET6, text, &addr) == 1;
}

static int port_ok(const char *s, const char *end)
{
	unsigned port = 0;

	if (end - s > 5)
		return 0;
	for (; s < end; s++) {
		if (!is_digit(*s))
			return 0;
		port = port * 10 + (unsigned)(*s - '0');
	}
	return port <= 65535;
}

/* host [":" port] with a host that is not empty. The grammar lets a port be empty, except in a CONNECT target. */
static int authority_ok(const char *s, const char *end, int need_port)
{
	const char *host = s;

	if (s < end && *s == '[') {
		const char *close = memchr(s, ']', (size_t)(end - s));

		if (!close || !ipv6_ok(s + 1, (size_t)(close - s - 1)))
			return 0;
		s = close + 1;
	} else {
		s = skip(s, end, CH_H1_C_HOST);
	}
	if (s == host)
		return 0;
	if (s == end)
		return !need_port;
	return *s == ':' && !(need_port && s + 1 == end) && port_ok(s + 1, end);
}

/* ---- framing fields ---- */

static const char *host_field(struct parse *ps, const char *v, const char *end)
{
	struct ch_h1_span *host = &ps->head->host;

	if (ps->seen & SEEN_HOST)
		return fail(ps, 400, "Host is given twice");
	ps->seen |= SEEN_HOST;
	if (!authority_ok(v, end, 0))
		return fail(ps, 400, "Host is not a host and an optional port");
	if (!host->len)
		*host = span(ps, v, end);
	else if (host->len != (size_t)(end - v) || !ch_h1_same(ps->base + host->off, v, host->len))
		return fail(ps, 400, "Host differs from the authority in the request target");
	return end;
}

static const char *length_field(struct parse *ps, const char *v, const char *end)
{
	uint64_t length = 0;

	if (ps->seen & SEEN_LENGTH)
		return fail(ps, 400, "Content-Length is given twice");
	if (ps->seen & SEEN_CODING)
		return fail(ps, 400, "Content-Length stands beside Transfer-Encoding");
	ps->seen |= SEEN_LENGTH;
	if (v == end || end - v > 19) /* 19 digits cannot overflow 64 bits */
		return fail(ps, 400, "Content-Length is empty or too large");
	if (*v == '0' && end - v > 1)
		return fail(ps, 400, "Content-Length has a leading zero");
	for (const char *s = v; s < end; s++) {
		if (!is_digit(*s))
			return fail(ps, 400, "Content-Length is not a plain decimal number");
		length = length * 10 + (unsigned)(*s - '0');
	}
	if (length > INT64_MAX)
		return fail(ps, 400, "Content-Length is too large");
	ps->head->content_length = length;
	return end;
}

static const char *coding_field(struct parse *ps, const char *v, const char *end)
{
	if (ps->seen & SEEN_CODING)
		return fail(ps, 400, "Transfer-Encoding is given twice");
	if (ps->seen & SEEN_LENGTH)
		return fail(ps, 400, "Transfer-Encoding stands beside Content-Length");
	ps->seen |= SEEN_CODING;
	if (ps->head->minor == 0)
		return fail(ps, 400, "Transfer-Encoding is not part of HTTP/1.0");
	if (end - v != 7 || !ch_h1_text_is(v, "chunked", 7))
		return fail(ps, 400, "Transfer-Encoding is not exactly \"chunked\"");
	return end;
}

static const char *connection_field(struct parse *ps, const char *v, const char *end)
{
	const char *s = v;
	const char *member;
	size_t len;

	while (next_member(&s, end, &member, &len)) {
		if (len == 5 && ch_h1_text_is(member, "close", 5))
			ps->seen |= SEEN_CLOSE;
		else if (len == 10 && ch_h1_text_is(member, "keep-alive", 10))
			ps->seen |= SEEN_KEEP_ALIVE;
		else if (len == 7 && ch_h1_text_is(member, "upgrade", 7))
			ps->head->has_upgrade = 1;
	}
	return end;
}

static const char *expect_field(struct parse *ps, const char *v, const char *end)
{
	if (ps->head->minor == 0) /* RFC 9110, section 10.1.1: ignored there */
		return end;
	if (end - v != 12 || !ch_h1_text_is(v, "100-continue", 12))
		return fail(ps, 417, "Expect asks for something else than 100-continue");
	ps->head->expect_continue = 1;
	return end;
}

/*
 * Looks at the fields that say how the message is delimited. CGI-like code reads '_' and '-' as the same, so a name that is a
 * framing field's but for that is as dangerous as a second one. Returns NULL after an error.
 */
static const char *framing_field(struct parse *ps, const char *name, size_t len, const char *v, const char *end)
{
	switch (len) {
	case 4:
		if (!ps->response && ch_h1_text_is(name, "host", 4))
			return host_field(ps, v, end);
		break;
	case 6:
		if (!ps->response && ch_h1_text_is(name, "expect", 6))
			return expect_field(ps, v, end);
		break;
	case 10:
		if (ch_h1_text_is(name, "connection", 10))
			return connection_field(ps, v, end);
		break;
	case 14:
		if (!ch_h1_text_is(name, "content", 7) || !ch_h1_text_is(name + 8, "length", 6))
			break;
		if (name[7] == '_')
			return fail(ps, 400, "a field name reads like Content-Length but has an underscore");
		if (name[7] == '-')
			return length_field(ps, v, end);
		break;
	case 17:
		if (!ch_h1_text_is(name, "transfer", 8) || !ch_h1_text_is(name + 9, "encoding", 8))
			break;
		if (name[8] == '_')
			return fail(ps, 400, "a field name reads like Transfer-Encoding but has an underscore");
		if (name[8] == '-')
			return coding_field(ps, v, end);
		break;
	}
	return end;
}

/* ---- lines ---- */

/* The CRLF at s; a step before has found that the line can only end there. */
static inline const char *line_end(struct parse *ps, const char *s)
{
	if (s == ps->end)
		return incomplete(ps);
	if (*s == '\n')
		return fail(ps, 400, "a line ends in LF without CR");
	if (*s != '\r')
		return fail(ps, 400, "a byte stands where it is not allowed");
	if (s + 1 == ps->end)
		return incomplete(ps);
	if (s[1] != '\n')
		return fail(ps, 400, "a CR stands without its LF");
	return s + 2;
}

static const char *bad_name(struct parse *ps, const char *line, char c)
{
	if (is_blank(c))
		return fail(ps, 400, *line == c ? "a header line begins with a blank" : "a blank stands before the colon of a header line");
	if (c == ':')
		return fail(ps, 400, "a header line has no name");
	if (c == '\r' || c == '\n')
		return fail(ps, 400, "a header line has no colon");
	return fail(ps, 400, "a field name holds a byte that is not allowed");
}

static const char *field_line(struct parse *ps, const char *line)
{
	struct ch_h1_head *head = ps->head;
	const char *stop = line_stop(ps, line, ps->limits->max_field);
	const char *colon = scan_name(line, stop);
	const char *value;
	const char *to;
	const char *next;

	if (colon < stop && (*colon != ':' || colon == line))
		return bad_name(ps, line, *colon);
	value = colon < stop ? colon + 1 : stop;
	while (value < stop && is_blank(*value))
		value++;
	to = scan_value(value, stop);
	if (to == stop)
		return (size_t)(stop - line) > ps->limits->max_field ? fail(ps, 431, "a header line is over the limit") : incomplete(ps);
	next = line_end(ps, to);
	if (!next)
		return NULL;
	while (to > value && is_blank(to[-1]))
		to--;
	head->fields[head->nfields].name = span(ps, line, colon);
	head->fields[head->nfields].value = span(ps, value, to);
	head->nfields++;
	return framing_field(ps, line, (size_t)(colon - line), value, to) ? next : NULL;
}

/* All field lines and the empty line behind them. */
static const char *field_lines(struct parse *ps, const char *s)
{
	struct ch_h1_head *head = ps->head;
	uint32_t max = ps->limits->max_fields < head->fields_cap ? ps->limits->max_fields : head->fields_cap;

	while (s && s < ps->end && *s != '\r') {
		if (head->nfields == max)
			return fail(ps, 431, "there are more header fields than the limit");
		s = field_line(ps, s);
	}
	return s ? line_end(ps, s) : NULL;
}

/* "HTTP/1.0" and "HTTP/1.1"; a higher minor version counts as 1.1 (RFC 9110, section 2.5). */
static const char *version(struct parse *ps, const char *s)
{
	static const char form[] = "HTTP/1.1";

	if (ps->end - s >= VERSION_LEN && !memcmp(s, form, VERSION_LEN)) {
		ps->head->minor = 1;
		return s + VERSION_LEN;
	}
	for (int i = 0; i < VERSION_LEN; i++) {
		if (s + i == ps->end)
			return incomplete(ps);
		if (i == 5 || i == 7 ? !is_digit(s[i]) : s[i] != form[i])
			return fail(ps, 400, "the HTTP version is malformed");
	}
	if (s[5] != '1')
		return fail(ps, 505, "the HTTP version is not 1.0 or 1.1");
	ps->head->minor = s[7] != '0';
	return s + VERSION_LEN;
}

static uint8_t method_of(const char *s, size_t n)
{
	switch (n) {
	case 3:
		return !memcmp(s, "GET", 3) ? CH_H1_GET : !memcmp(s, "PUT", 3) ? CH_H1_PUT : CH_H1_OTHER;
	case 4:
		return !memcmp(s, "POST", 4) ? CH_H1_POST : !memcmp(s, "HEAD", 4) ? CH_H1_HEAD : CH_H1_OTHER;
	case 5:
		return !memcmp(s, "PATCH", 5) ? CH_H1_PATCH : !memcmp(s, "TRACE", 5) ? CH_H1_TRACE : CH_H1_OTHER;
	case 6:
		return !memcmp(s, "DELETE", 6) ? CH_H1_DELETE : CH_H1_OTHER;
	case 7:
		return !memcmp(s, "OPTIONS", 7) ? CH_H1_OPTIONS : !memcmp(s, "CONNECT", 7) ? CH_H1_CONNECT : CH_H1_OTHER;
	}
	return CH_H1_OTHER;
}

/* The four forms of a target (RFC 9112, section 3.2). Returns NULL after an error. */
static const char *target_form(struct parse *ps, const char *s, const char *end)
{
	const char *from;

	if (ps->head->method == CH_H1_CONNECT)
		return authority_ok(s, end, 1) ? end : fail(ps, 400, "the target of CONNECT is not a host and a port");
	if (*s == '/')
		return end;
	if (*s == '*' && end - s == 1)
		return ps->head->method == CH_H1_OPTIONS ? end : fail(ps, 400, "the target * goes with OPTIONS only");
	from = end - s >= 7 && ch_h1_text_is(s, "http://", 7) ? s + 7 : end - s >= 8 && ch_h1_text_is(s, "https://", 8) ? s + 8 : NULL;
	if (!from)
		return fail(ps, 400, "the request target is neither a path nor an http URI");
	for (s = from; s < end && *s != '/' && *s != '?'; s++)
		;
	if (!authority_ok(from, s, 0))
		return fail(ps, 400, "the authority in the request target is malformed");
	ps->head->host = span(ps, from, s);
	return end;
}

static const char *bad_target(struct parse *ps, char c)
{
	if (c == '\r' || c == '\n')
		return fail(ps, 400, "the request line has no HTTP version");
	if (c == '#')
		return fail(ps, 400, "the request target has a fragment");
	return fail(ps, 400, "the request target holds a byte that is not allowed");
}

static const char *request_line(struct parse *ps, const char *line)
{
	size_t max = ps->limits->max_line;
	const char *stop = line_stop(ps, line, METHOD_MAX);
	const char *blank = skip(line, stop, CH_H1_C_TOKEN);
	const char *target;
	const char *to;
	const char *s;

	if (blank == stop)
		return stop - line > METHOD_MAX ? fail(ps, 400, "the method is too long") : incomplete(ps);
	if (*blank != ' ' || blank == line)
		return fail(ps, 400, "the request line does not begin with a method and a blank");
	target = blank + 1;
	stop = line_stop(ps, line, max);
	to = scan_target(target, stop);
	if (to >= stop)
		return (size_t)(stop - line) > max ? fail(ps, 414, "the request line is over the limit") : incomplete(ps);
	if (*to != ' ')
		return bad_target(ps, *to);
	if (to == target)
		return fail(ps, 400, "the request line has no target");
	if ((size_t)(to + 1 - line) + VERSION_LEN > max)
		return fail(ps, 414, "the request line is over the limit");
	s = version(ps, to + 1);
	if (s)
		s = line_end(ps, s);
	if (!s)
		return NULL;
	ps->head->method = method_of(line, (size_t)(blank - line));
	ps->head->method_name = span(ps, line, blank);
	ps->head->target = span(ps, target, to);
	return target_form(ps, target, to) ? s : NULL;
}

/* SP and three digits. */
static const char *status_code(struct parse *ps, const char *s)
{
	unsigned status = 0;

	for (int i = 0; i < 4; i++, s++) {
		if (s == ps->end)
			return incomplete(ps);
		if (i == 0 ? *s != ' ' : !is_digit(*s))
			return fail(ps, 502, "the status line has no status of three digits");
		if (i > 0)
			status = status * 10 + (unsigned)(*s - '0');
	}
	if (status < 100 || status > 599)
		return fail(ps, 502, "the status is not within 100 to 599");
	ps->head->status = (uint16_t)status;
	return s;
}

static const char *status_line(struct parse *ps, const char *line)
{
	const char *stop = line_stop(ps, line, ps->limits->max_line);
	const char *s = version(ps, line);
	const char *reason;

	if (s)
		s = status_code(ps, s);
	if (!s)
		return NULL;
	if (s < ps->end && *s == ' ') {
		reason = s + 1;
		s = scan_value(reason, stop);
		ps->head->reason = span(ps, reason, s);
	}
	if (s >= stop)
		return (size_t)(stop - line) > ps->limits->max_line ? fail(ps, 502, "the status line is over the limit") : incomplete(ps);
	return line_end(ps, s);
}

/* ---- whole heads ---- */

static void begin(struct parse *ps, struct ch_h1_head *head, const struct ch_h1_limits *limits, int response, const char *p, size_t n)
{
	*head = (struct ch_h1_head){ .fields = head->fields, .fields_cap = head->fields_cap };
	*ps = (struct parse){ .head = head, .limits = limits, .base = p, .response = response, .rc = CH_H1_DONE };
	ps->full = n >= limits->max_head;
	ps->end = p + (ps->full ? limits->max_head : n);
}

static void keep_alive(struct parse *ps)
{
	unsigned wish = ps->seen & (SEEN_CLOSE | SEEN_KEEP_ALIVE);

	ps->head->keep_alive = ps->head->minor ? !(wish & SEEN_CLOSE) : wish == SEEN_KEEP_ALIVE;
}

enum ch_h1_rc ch_h1_parse_request(struct ch_h1_head *head, const struct ch_h1_limits *limits, const char *p, size_t n)
{
	struct parse ps;
	const char *s = p;

	begin(&ps, head, limits, 0, p, n);
	if (n && *p == '\r')
		s = line_end(&ps, p);
	if (s)
		s = request_line(&ps, s);
	if (s)
		s = field_lines(&ps, s);
	if (s && head->minor == 1 && !(ps.seen & SEEN_HOST))
		s = fail(&ps, 400, "Host is missing");
	if (!s)
		return ps.rc;
	head->head_len = (uint32_t)(s - p);
	if (ps.seen & SEEN_CODING)
		head->body = CH_H1_BODY_CHUNKED;
	else if (ps.seen & SEEN_LENGTH)
		head->body = CH_H1_BODY_LENGTH;
	keep_alive(&ps);
	return CH_H1_DONE;
}

/* RFC 9112, section 6.3, rules 1 to 8. Returns the body, or -1 after an error. */
static int response_body(struct parse *ps, int request_method)
{
	unsigned status = ps->head->status;

	if (status < 200 || status == 204) {
		if (!(ps->seen & SEEN_CODING))
			return CH_H1_BODY_NONE;
		fail(ps, 502, "Transfer-Encoding in an answer that has no body");
		return -1;
	}
	if (status == 304 || request_method == CH_H1_HEAD || (request_method == CH_H1_CONNECT && status < 300))
		return CH_H1_BODY_NONE;
	if (ps->seen & SEEN_CODING)
		return CH_H1_BODY_CHUNKED;
	return ps->seen & SEEN_LENGTH ? CH_H1_BODY_LENGTH : CH_H1_BODY_CLOSE;
}

enum ch_h1_rc ch_h1_parse_response(struct ch_h1_head *head, const struct ch_h1_limits *limits, int request_method,
                                   const char *p, size_t n)
{
	struct parse ps;
	const char *s;
	int body;

	begin(&ps, head, limits, 1, p, n);
	s = status_line(&ps, p);
	if (s)
		s = field_lines(&ps, s);
	if (!s)
		return ps.rc;
	body = response_body(&ps, request_method);
	if (body < 0)
		return CH_H1_ERROR;
	head->head_len = (uint32_t)(s - p);
	head->body = (uint8_t)body;
	keep_alive(&ps);
	if (body == CH_H1_BODY_CLOSE)
		head->keep_alive = 0;
	return CH_H1_DONE;
}

const struct ch_h1_field *ch_h1_find(const struct ch_h1_head *head, const char *p, const char *name, size_t name_len)
{
	for (uint32_t i = 0; i < head->nfields; i++) {
		const struct ch_h1_field *f = &head->fields[i];

		if (f->name.len == name_len && ch_h1_same(p + f->name.off, name, name_len))
			return f;
	}
	return NULL;
}
