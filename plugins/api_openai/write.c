/* SPDX-License-Identifier: Apache-2.0 */
/* write.c - see write.h. Outside of all containers the writer puts nothing between values, so chunks are put together of raw pieces. */
#include <endian.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "write.h"

#define RAW(w, text) ch_jw_raw(w, "" text, sizeof(text) - 1)

static char *put_hex(char *at, uint64_t v)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[v >> shift & 15];
	return at;
}

void api_stamp(struct api_stamp *s, bool chat, int64_t created, uint64_t random1, uint64_t random2)
{
	const char *prefix = chat ? "chatcmpl-" : "cmpl-";
	size_t n = strlen(prefix);

	s->chat = chat;
	s->created = created;
	memcpy(s->id, prefix, n);
	*put_hex(put_hex(s->id + n, random1), random2) = 0;
}

static void write_usage(struct ch_jw *w, const struct ch_inference_result *r, bool completion)
{
	ch_jw_object(w);
	ch_jw_key(w, "prompt_tokens");
	ch_jw_uint(w, r->tokens_in);
	if (completion) {
		ch_jw_key(w, "completion_tokens");
		ch_jw_uint(w, r->tokens_out);
	}
	ch_jw_key(w, "total_tokens");
	ch_jw_uint(w, r->tokens_in + r->tokens_out);
	ch_jw_object_end(w);
}

static const char *reason_of(const struct ch_inference_result *r)
{
	return r->finish_reason ? r->finish_reason : "stop";
}

/* ---- whole answers ---- */

static void write_message(struct ch_jw *w, const struct ch_inference_result *r)
{
	ch_jw_object(w);
	ch_jw_key(w, "role");
	ch_jw_cstr(w, "assistant");
	ch_jw_key(w, "content");
	if (r->text.n || !r->tool_calls.n)
		ch_jw_string(w, r->text.n ? r->text.p : "", r->text.n);
	else
		ch_jw_null(w);
	ch_jw_key(w, "refusal");
	ch_jw_null(w);
	if (r->tool_calls.n) {
		ch_jw_key(w, "tool_calls");
		ch_jw_raw(w, r->tool_calls.p, r->tool_calls.n);
	}
	ch_jw_object_end(w);
}

void api_write_answer(struct ch_jw *w, const struct api_stamp *s, const struct ch_inference_result *r)
{
	ch_jw_object(w);
	ch_jw_key(w, "id");
	ch_jw_cstr(w, s->id);
	ch_jw_key(w, "object");
	ch_jw_cstr(w, s->chat ? "chat.completion" : "text_completion");
	ch_jw_key(w, "created");
	ch_jw_int(w, s->created);
	ch_jw_key(w, "model");
	ch_jw_cstr(w, r->model ? r->model : "");
	ch_jw_key(w, "choices");
	ch_jw_array(w);
	ch_jw_object(w);
	ch_jw_key(w, "index");
	ch_jw_uint(w, 0);
	if (s->chat) {
		ch_jw_key(w, "message");
		write_message(w, r);
	} else {
		ch_jw_key(w, "text");
		ch_jw_string(w, r->text.n ? r->text.p : "", r->text.n);
	}
	ch_jw_key(w, "logprobs");
	ch_jw_null(w);
	ch_jw_key(w, "finish_reason");
	ch_jw_cstr(w, reason_of(r));
	ch_jw_object_end(w);
	ch_jw_array_end(w);
	ch_jw_key(w, "usage");
	write_usage(w, r, true);
	ch_jw_object_end(w);
}

/* ---- embeddings ---- */

/*
 * Nine significant digits read back as the same float, whichever they are, so double arithmetic is exact enough to find them. Numbers
 * outside of what embeddings are made of go the slow way.
 */
size_t api_float(char *out, float v)
{
	static const double up[] = { 1e9, 1e10, 1e11, 1e12, 1e13, 1e14 };
	double a = fabs((double)v);
	char *at = out;
	uint64_t digits;
	size_t places = 9, i = 0;

	if (!isfinite(v)) {
		memcpy(out, "null", 4);
		return 4;
	}
	if (a == 0) {
		*out = '0';
		return 1;
	}
	if (a < 1e-5 || a >= 1)
		return (size_t)snprintf(out, 24, "%.9g", (double)v);
	for (double limit = 0.1; a < limit; limit /= 10)
		i++;
	digits = (uint64_t)(a * up[i] + 0.5);
	places += i;
	if (v < 0)
		*at++ = '-';
	*at++ = digits >= (uint64_t)up[i] ? '1' : '0';
	digits = digits >= (uint64_t)up[i] ? 0 : digits;
	while (digits && digits % 10 == 0) {
		digits /= 10;
		places--;
	}
	if (!digits)
		return (size_t)(at - out);
	*at++ = '.';
	for (size_t k = places; k; k--, digits /= 10)
		at[k - 1] = (char)('0' + digits % 10);
	return (size_t)(at + places - out);
}

static void write_floats(struct ch_jw *w, const float *v, size_t n)
{
	char text[4096];
	size_t len = 0;

	RAW(w, "[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			text[len++] = ',';
		len += api_float(text + len, v[i]);
		if (len > sizeof(text) - 32) {
			ch_jw_raw(w, text, len);
			len = 0;
		}
	}
	ch_jw_raw(w, text, len);
	RAW(w, "]");
}

#define GROUP 768 /* floats at a time: 3,072 bytes are 4,096 characters */

static void write_base64(struct ch_jw *w, const float *v, size_t n)
{
	static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char in[4 * GROUP + 2];
	char text[16 * GROUP / 3];

	RAW(w, "\"");
	for (size_t at = 0; at < n; at += GROUP) {
		size_t floats = n - at < GROUP ? n - at : GROUP, bytes = 4 * floats, len = 0;

		for (size_t i = 0; i < floats; i++) {
			uint32_t bits;

			memcpy(&bits, &v[at + i], 4);
			bits = htole32(bits);
			memcpy(in + 4 * i, &bits, 4);
		}
		in[bytes] = in[bytes + 1] = 0;
		for (size_t i = 0; i < bytes; i += 3) {
			text[len++] = abc[in[i] >> 2];
			text[len++] = abc[(in[i] & 3) << 4 | in[i + 1] >> 4];
			text[len++] = abc[(in[i + 1] & 15) << 2 | in[i + 2] >> 6];
			text[len++] = abc[in[i + 2] & 63];
		}
		if (bytes % 3)
			memset(text + len - (3 - bytes % 3), '=', 3 - bytes % 3);
		ch_jw_raw(w, text, len);
	}
	RAW(w, "\"");
}

void api_write_embeddings(struct ch_jw *w, const struct ch_inference_result *r, struct ch_str model, bool base64)
{
	RAW(w, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < r->nvectors; i++) {
		const float *v = r->vectors + i * r->dimensions;

		if (i)
			RAW(w, ",");
		RAW(w, "{\"object\":\"embedding\",\"index\":");
		ch_jw_uint(w, i);
		RAW(w, ",\"embedding\":");
		if (base64)
			write_base64(w, v, r->dimensions);
		else
			write_floats(w, v, r->dimensions);
		RAW(w, "}");
	}
	RAW(w, "],\"model\":");
	if (r->model)
		ch_jw_cstr(w, r->model);
	else
		ch_jw_string(w, model.n ? model.p : "", model.n);
	RAW(w, ",\"usage\":");
	write_usage(w, r, false);
	RAW(w, "}");
}

/* ---- models ---- */

void api_write_model(struct ch_jw *w, const struct ch_model *m)
{
	ch_jw_object(w);
	ch_jw_key(w, "id");
	ch_jw_string(w, m->id.p, m->id.n);
	ch_jw_key(w, "object");
	ch_jw_cstr(w, "model");
	ch_jw_key(w, "created");
	ch_jw_int(w, m->created);
	ch_jw_key(w, "owned_by");
	ch_jw_string(w, m->owned_by.n ? m->owned_by.p : "", m->owned_by.n);
	if (m->context > 0) {
		ch_jw_key(w, "context_length");
		ch_jw_int(w, m->context);
	}
	ch_jw_object_end(w);
}

void api_write_models(struct ch_jw *w, const struct ch_model *m, size_t n)
{
	ch_jw_object(w);
	ch_jw_key(w, "object");
	ch_jw_cstr(w, "list");
	ch_jw_key(w, "data");
	ch_jw_array(w);
	for (size_t i = 0; i < n; i++)
		api_write_model(w, &m[i]);
	ch_jw_array_end(w);
	ch_jw_object_end(w);
}

/* ---- chunks ---- */

void api_write_head(struct ch_jw *w, const struct api_stamp *s, const char *model)
{
	RAW(w, "{\"id\":");
	ch_jw_cstr(w, s->id);
	RAW(w, ",\"object\":");
	ch_jw_cstr(w, s->chat ? "chat.completion.chunk" : "text_completion");
	RAW(w, ",\"created\":");
	ch_jw_int(w, s->created);
	RAW(w, ",\"model\":");
	ch_jw_cstr(w, model ? model : "");
	RAW(w, ",\"choices\":[");
}

/* One choice around its delta; the end of the chunk with it. */
static void write_choice(struct ch_jw *w, const struct api_stamp *s, struct ch_str head, bool first, struct ch_str text,
	struct ch_str tool_calls, const char *reason)
{
	bool comma = false;

	ch_jw_raw(w, head.p, head.n);
	if (s->chat) {
		RAW(w, "{\"index\":0,\"delta\":{");
		if (first)
			RAW(w, "\"role\":\"assistant\"");
		comma = first;
		if (text.n || (first && !reason && !tool_calls.n)) {
			if (comma)
				RAW(w, ",");
			RAW(w, "\"content\":");
			ch_jw_string(w, text.n ? text.p : "", text.n);
			comma = true;
		}
		if (tool_calls.n) {
			if (comma)
				RAW(w, ",");
			RAW(w, "\"tool_calls\":");
			ch_jw_raw(w, tool_calls.p, tool_calls.n);
		}
		RAW(w, "},\"logprobs\":null,\"finish_reason\":");
	} else {
		RAW(w, "{\"index\":0,\"text\":");
		ch_jw_string(w, text.n ? text.p : "", text.n);
		RAW(w, ",\"logprobs\":null,\"finish_reason\":");
	}
	ch_jw_cstr(w, reason);
	RAW(w, "}]");
	if (s->usage)
		RAW(w, ",\"usage\":null");
	RAW(w, "}");
}

void api_write_delta(
	struct ch_jw *w, const struct api_stamp *s, struct ch_str head, bool first, struct ch_str text, struct ch_str tool_calls)
{
	write_choice(w, s, head, first, text, tool_calls, NULL);
}

void api_write_finish(struct ch_jw *w, const struct api_stamp *s, struct ch_str head, bool first, const char *reason)
{
	struct ch_str none = { NULL, 0 };

	write_choice(w, s, head, first, none, none, reason ? reason : "stop");
}

void api_write_usage(struct ch_jw *w, struct ch_str head, const struct ch_inference_result *r)
{
	ch_jw_raw(w, head.p, head.n);
	RAW(w, "],\"usage\":");
	write_usage(w, r, true);
	RAW(w, "}");
}
