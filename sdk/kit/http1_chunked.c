/* SPDX-License-Identifier: MIT */
/*
 * Chunked bodies, as a machine that takes one framing byte at a time: a chunk's framing is a few bytes, so speed comes from
 * handing out the data between in one piece, and a byte at a time needs no memory of what was before a split.
 */
#include "chimera/kit/http1.h"
#include "http1_chars.h"

#define OVERHEAD_FREE (16 * 1024) /* framing bytes that need no body to pay for them */
#define SECTION_MAX (8 * 1024)    /* one extension, or all trailers */
#define DIGITS_MAX 16

enum state {
	SIZE_FIRST, /* zero: where a new decoder begins */
	SIZE,
	EXT_NAME_FIRST,
	EXT_NAME,
	EXT_VALUE_FIRST,
	EXT_VALUE,
	QUOTED,
	QUOTED_PAIR,
	QUOTED_END,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_FIRST,
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
	END,
	NOWHERE /* no state: the byte is not allowed */
};

/* What may follow a size, a name or a value of an extension: another extension or the line end. */
static enum state after_part(char c)
{
	return c == ';' ? EXT_NAME_FIRST : c == '\r' ? SIZE_LF : NOWHERE;
}

static enum state size_digit(struct ch_h1_chunked *c, char byte)
{
	int digit = ch_h1_hex(byte);

	if (digit < 0)
		return c->digits ? after_part(byte) : NOWHERE;
	if (c->digits == DIGITS_MAX || c->left > INT64_MAX >> 4) /* before the shift, so that it cannot overflow */
		return NOWHERE;
	c->digits++;
	c->left = c->left << 4 | (unsigned)digit;
	return SIZE;
}

static enum state next_state(struct ch_h1_chunked *c, char byte)
{
	int token = ch_h1_is(byte, CH_H1_C_TOKEN);

	switch ((enum state)c->state) {
	case SIZE_FIRST:
		c->left = 0;
		c->digits = 0;
		c->line = 0;
		return size_digit(c, byte);
	case SIZE:
		return size_digit(c, byte);
	case EXT_NAME_FIRST:
		return token ? EXT_NAME : NOWHERE;
	case EXT_NAME:
		return token ? EXT_NAME : byte == '=' ? EXT_VALUE_FIRST : after_part(byte);
	case EXT_VALUE_FIRST:
		return token ? EXT_VALUE : byte == '"' ? QUOTED : NOWHERE;
	case EXT_VALUE:
		return token ? EXT_VALUE : after_part(byte);
	case QUOTED:
		return byte == '"' ? QUOTED_END : byte == '\\' ? QUOTED_PAIR : ch_h1_is(byte, CH_H1_C_VALUE) ? QUOTED : NOWHERE;
	case QUOTED_PAIR:
		return ch_h1_is(byte, CH_H1_C_VALUE) ? QUOTED : NOWHERE;
	case QUOTED_END:
		return after_part(byte);
	case SIZE_LF:
		c->line = 0;
		return byte != '\n' ? NOWHERE : c->left ? DATA : TRAILER_FIRST;
	case DATA_CR:
		return byte == '\r' ? DATA_LF : NOWHERE;
	case DATA_LF:
		return byte == '\n' ? SIZE_FIRST : NOWHERE;
	case TRAILER_FIRST:
		return token ? TRAILER_NAME : byte == '\r' ? END_LF : NOWHERE;
	case TRAILER_NAME:
		return token ? TRAILER_NAME : byte == ':' ? TRAILER_VALUE : NOWHERE;
	case TRAILER_VALUE:
		return ch_h1_is(byte, CH_H1_C_VALUE) ? TRAILER_VALUE : byte == '\r' ? TRAILER_LF : NOWHERE;
	case TRAILER_LF:
		return byte == '\n' ? TRAILER_FIRST : NOWHERE;
	case END_LF:
		return byte == '\n' ? END : NOWHERE;
	case DATA:
	case END:
	case NOWHERE:
		break;
	}
	return NOWHERE;
}

/* Which part of the framing the byte at fault was in. */
static const char *error_in(enum state state)
{
	if (state <= SIZE)
		return "a chunk size is malformed or too large";
	if (state <= QUOTED_END)
		return "a chunk extension is malformed";
	if (state == SIZE_LF)
		return "a chunk size does not end in CRLF";
	if (state <= DATA_LF)
		return "a chunk's data is not followed by CRLF";
	return "a trailer line is malformed";
}

/* Takes one framing byte. Returns 0 after an error. */
static int take(struct ch_h1_chunked *c, char byte)
{
	enum state from = (enum state)c->state;
	enum state state = next_state(c, byte);

	if (state == NOWHERE) {
		c->error = error_in(from);
		return 0;
	}
	c->state = (uint8_t)state;
	c->overhead++;
	if (c->overhead > OVERHEAD_FREE && c->overhead - OVERHEAD_FREE > c->body) {
		c->error = "the chunk framing is more than 16 KiB and the body together";
		return 0;
	}
	if ((state >= EXT_NAME_FIRST && state <= QUOTED_END) || from >= TRAILER_FIRST)
		c->line++;
	if (c->line > SECTION_MAX) {
		c->error = "a chunk extension or the trailer section is over 8 KiB";
		return 0;
	}
	return 1;
}

enum ch_h1_rc ch_h1_chunked_next(struct ch_h1_chunked *c, const char *p, size_t n, size_t *used, const char **data, size_t *len)
{
	size_t i = 0;

	*used = 0;
	*data = p;
	*len = 0;
	if (c->error)
		return CH_H1_ERROR;
	while (i < n && c->state != DATA && c->state != END)
		if (!take(c, p[i++]))
			return CH_H1_ERROR;
	if (c->state == DATA && i < n) {
		*data = p + i;
		*len = n - i < c->left ? n - i : (size_t)c->left;
		i += *len;
		c->body += *len;
		c->left -= *len;
		if (c->left == 0)
			c->state = DATA_CR;
	}
	*used = i;
	return c->state == END ? CH_H1_DONE : CH_H1_MORE;
}
