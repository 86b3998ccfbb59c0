/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_table.c - the routes /admin/users, /admin/keys and /admin/tokens with their schemas. Of class ADMIN: the core lets in whoever
 * holds the
 * control socket or an admin's key.
 */
#include "routes.h"

#define S(max) "{\"type\":\"string\",\"maxLength\":" #max "}"
#define NAME "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9._@:/-]{1,128}$\"}"
#define ROLE "{\"type\":\"string\",\"enum\":[\"none\",\"user\",\"admin\"]}"
#define BOOL "{\"type\":\"boolean\"}"
#define COUNT "{\"type\":\"integer\",\"minimum\":0}"
#define TIME "{\"type\":[\"string\",\"null\"],\"description\":\"RFC 3339; in requests also how long from now: 30d, 12h\"}"
#define OBJECT(members) "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{" members "}}"
#define NEEDS(required, members) "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[" required "],\"properties\":{" members "}}"
#define PAGE(row) "{\"type\":\"object\",\"properties\":{\"data\":{\"type\":\"array\",\"items\":" row "},\"next\":{\"type\":[\"string\",\"null\"]}}}"

#define USER_GIVEN "\"name\":" S(256) ",\"email\":{\"type\":[\"string\",\"null\"],\"maxLength\":254},\"role\":" ROLE ",\"disabled\":" BOOL
#define USER OBJECT("\"id\":" NAME "," USER_GIVEN ",\"created\":" TIME ",\"logins\":" COUNT ",\"requests\":" COUNT ",\"last_seen\":" TIME)
#define KEY_GIVEN "\"owner\":" NAME ",\"tier\":" S(64) ",\"role\":" ROLE ",\"limits\":" S(1024) ",\"models\":" S(4096) ",\"routes\":" S(4096) \
	",\"backends\":" S(4096) ",\"networks\":" S(4096) ",\"expires\":" TIME ",\"disabled\":" BOOL ",\"note\":" S(1024)
#define KEY_ASKED KEY_GIVEN ",\"any_owner\":" BOOL
#define KEY_HAS "\"id\":" NAME ",\"prefix\":" S(7) "," KEY_GIVEN ",\"created\":" TIME
#define KEY OBJECT(KEY_HAS)
#define NEW_KEY OBJECT("\"key\":" S(46) "," KEY_HAS)
#define TOKEN OBJECT("\"id\":" NAME ",\"family\":" NAME ",\"user\":" NAME ",\"provider\":" NAME ",\"key_id\":" S(16) ",\"expires\":" TIME \
	",\"created\":" TIME ",\"spent\":" TIME ",\"revoked\":" TIME)

#define ADMIN .cls = CH_ADMIN
#define BODY ADMIN, .body = CH_BODY_BUFFER, .max_body = 256 << 10

const struct ch_route id_routes[ID_ROUTES] = {
	{ .method = "GET", .pattern = "/admin/users", ADMIN, .fn = id_route_users_list, .response_schema = PAGE(USER),
		.summary = "Users in the order of their ids; limit, after" },
	{ .method = "POST", .pattern = "/admin/users", BODY, .fn = id_route_user_add, .request_schema = NEEDS("\"id\"",
	"\"id\":" NAME "," USER_GIVEN),
		.response_schema = USER, .summary = "Makes a user" },
	{ .method = "GET", .pattern = "/admin/users/{id...}", ADMIN, .fn = id_route_user_get, .response_schema = USER,
	.summary = "A user" },
	{ .method = "PATCH", .pattern = "/admin/users/{id...}", BODY, .fn = id_route_user_set, .request_schema = OBJECT(USER_GIVEN),
		.response_schema = USER, .summary = "Changes the fields that are named; disabled: with all keys" },
	{ .method = "DELETE", .pattern = "/admin/users/{id...}", ADMIN, .fn = id_route_user_remove,
	.summary = "Removes a user with all keys and tokens" },
	{ .method = "GET", .pattern = "/admin/keys", ADMIN, .fn = id_route_keys_list, .response_schema = PAGE(KEY),
		.summary = "API keys in the order of their ids; limit, after, owner" },
	{ .method = "POST", .pattern = "/admin/keys", BODY, .fn = id_route_key_add, .request_schema = NEEDS("\"owner\"", KEY_ASKED),
		.response_schema = NEW_KEY, .summary = "Makes a key for a user, which is shown this once; any_owner: for whoever is no user, too" },
	{ .method = "GET", .pattern = "/admin/keys/{id...}", ADMIN, .fn = id_route_key_get, .response_schema = KEY, .summary = "A key" },
	{ .method = "PATCH", .pattern = "/admin/keys/{id...}", BODY, .fn = id_route_key_set, .request_schema = OBJECT(KEY_ASKED),
	.response_schema = KEY,
		.summary = "Changes the fields that are named; disabled: revokes it" },
	{ .method = "POST", .pattern = "/admin/keys/{id...}", ADMIN, .body = CH_BODY_NONE, .fn = id_route_key_rotate,
	.response_schema = NEW_KEY,
		.summary = "Gives the key another secret, which is shown this once" },
	{ .method = "DELETE", .pattern = "/admin/keys/{id...}", ADMIN, .fn = id_route_key_remove, .summary = "Removes a key" },
	{ .method = "GET", .pattern = "/admin/tokens", ADMIN, .fn = id_route_tokens_list, .response_schema = PAGE(TOKEN),
		.summary = "Provider tokens, without their secrets; limit, after, user, provider" },
	{ .method = "POST", .pattern = "/admin/tokens", BODY, .fn = id_route_token_add,
		.request_schema = NEEDS("\"user\",\"provider\",\"access\"", "\"user\":" NAME ",\"provider\":" NAME ",\"access\":" S(16384)
			",\"refresh\":" S(16384) ",\"expires\":" TIME),
		.response_schema = TOKEN, .summary = "Keeps a provider's token for a user: it begins a family" },
	{ .method = "GET", .pattern = "/admin/tokens/{id...}", ADMIN, .fn = id_route_token_get, .response_schema = TOKEN,
		.summary = "A provider token, without its secrets" },
	{ .method = "PATCH", .pattern = "/admin/tokens/{id...}", BODY, .fn = id_route_token_revoke,
		.request_schema = NEEDS("\"revoked\"", "\"revoked\":{\"const\":true}"), .response_schema = TOKEN,
		.summary = "Revokes the family of a token" },
	{ .method = "DELETE", .pattern = "/admin/tokens/{id...}", ADMIN, .fn = id_route_token_remove,
	.summary = "Removes a provider token" },
};
