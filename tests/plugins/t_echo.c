/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_echo.c - a test plugin: what a handler sees, sent back. Everything on the request's loop, no state.
 *
 *   GET, POST /         200 and the request's body
 *   GET, POST /echo/…   the same, with the path, the part behind /echo/ and the query in fields of the answer
 *   GET /fields         the request's fields as the plugin sees them, one a line
 *   POST /reflect       sets a field of the answer from the body as it came; the body tells what ch_header_set said
 *   GET /nobody         a route that takes no body
 *   POST /small         a route that takes 16 bytes
 */
#include <chimera/plugin.h>

static int echo(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str body = ch_body(c);

	(void)self;
	return ch_respond(c, 200, "application/octet-stream", body.p, body.n);
}

static void set(struct ch_ctx *c, const char *name, struct ch_str v)
{
	const char *text = v.n ? ch_dup(c, v.p, v.n) : "";

	if (text)
		ch_header_set(c, name, text);
}

static int echo_path(struct ch_self *self, struct ch_ctx *c)
{
	set(c, "X-Path", ch_path(c));
	set(c, "X-Rest", ch_param(c, "rest"));
	set(c, "X-Query", ch_query(c));
	return echo(self, c);
}

static int fields(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str name, value;
	const char *text = "";

	(void)self;
	for (size_t i = 0; ch_header_at(c, i, &name, &value) && text; i++)
		text = ch_print(c, "%s%.*s: %.*s\n", text, (int)name.n, name.p, (int)value.n, value.p ? value.p : "");
	if (!text)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "the fields do not fit into the request's memory");
	return ch_respond(c, 200, "text/plain", text, strlen(text));
}

static int reflect(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str body = ch_body(c);
	const char *value = ch_dup(c, body.p, body.n);
	bool ok = value && ch_header_set(c, "X-Reflected", value) == CH_OK;

	(void)self;
	return ch_respond(c, 200, "text/plain", ok ? "set" : "refused", ok ? 3 : 7);
}

#define BYTES .response_type = "application/octet-stream"
#define TEXT .response_type = "text/plain"

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/", .body = CH_BODY_BUFFER, .fn = echo, BYTES, .summary = "Echo" },
	{ .method = "POST", .pattern = "/", .body = CH_BODY_BUFFER, .fn = echo, BYTES, .summary = "Echo" },
	{ .method = "GET", .pattern = "/echo/{rest...}", .fn = echo_path, BYTES, .summary = "Echo with the path" },
	{ .method = "POST", .pattern = "/echo/{rest...}", .body = CH_BODY_BUFFER, .fn = echo_path, BYTES, .summary = "Echo with the path" },
	{ .method = "GET", .pattern = "/fields", .fn = fields, TEXT, .summary = "The request's fields" },
	{ .method = "POST", .pattern = "/reflect", .body = CH_BODY_BUFFER, .fn = reflect, TEXT, .summary = "A field from the body" },
	{ .method = "GET", .pattern = "/nobody", .fn = echo, BYTES, .summary = "Takes no body" },
	{ .method = "POST", .pattern = "/small", .body = CH_BODY_BUFFER, .max_body = 16, .fn = echo, BYTES, .summary = "Takes 16 bytes" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_echo",
	.version = "0.1",
	.summary = "Test: echoes requests",
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_echo, plugin)
