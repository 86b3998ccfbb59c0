/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_door.h - a plugin whose routes say who has come: /in, /open, /premium, /ops, /admin; /ask/MODEL asks a backend, /models lists.
 * Included once by a test program, behind <cmocka.h>.
 */
#ifndef AUTH_TEST_DOOR_H
#define AUTH_TEST_DOOR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <chimera/backend.h>
#include <chimera/keys.h>
#include <chimera/kit/hash.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(auth);

struct door_conf { const struct ch_svc *backend; };
struct door_call {
	struct ch_inference_call call;
	struct ch_inference_result out;
};

/* "key owner tier role limits" */
static int door_in(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_facts *f = ch_facts(c);
	char *s = ch_print(c, "%s %s %s %d %s", f->key ? f->key : "-", f->owner ? f->owner : "-", f->tier ? f->tier : "-", f->role,
		f->limits && *f->limits ? f->limits : "-");

	(void)self;
	return s ? ch_respond(c, 200, "text/plain", s, strlen(s)) : ch_refuse(c, CH_E_OVERLOADED, 0, "no memory");
}

static int door_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	struct door_call *d = data;
	char *s = ch_print(c, "%.*s", (int)d->out.text.n, d->out.text.p ? d->out.text.p : "");

	(void)why, (void)result;
	if (d->out.code)
		return ch_refuse_as(c, &(struct ch_refusal){ .size = sizeof(struct ch_refusal), .code = d->out.code, .detail = d->out.detail,
			.error = d->out.error });
	for (size_t i = 0; s && i < d->out.nmodels; i++)
		s = ch_print(c, "%s%.*s;", s, (int)d->out.models[i].id.n, d->out.models[i].id.p);
	return s ? ch_respond(c, 200, "text/plain", s, strlen(s)) : ch_refuse(c, CH_E_OVERLOADED, 0, "no memory");
}

static int door_ask(struct ch_self *self, struct ch_ctx *c)
{
	const struct door_conf *conf = self->conf;
	struct door_call *d = ch_alloc(c, sizeof(*d));
	struct ch_str model = ch_param(c, "model");
	static const struct ch_message hello = { .role = { "user", 4 }, .content = { "hi", 2 } };

	if (!d)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "no memory");
	d->out.size = sizeof(d->out);
	d->call = (struct ch_inference_call){ .size = sizeof(d->call), .svc = conf->backend, .out = &d->out, .fn = door_answer, .data = d };
	d->call.args = (struct ch_inference_args){ .size = sizeof(d->call.args), .op = model.p ? CH_I_CHAT : CH_I_MODELS, .temperature = -1,
		.top_p = -1, .messages = &hello, .nmessages = 1 };
	if (model.n && (model.n != 4 || memcmp(model.p, "none", 4)))
		d->call.args.model = model;
	return ch_infer(c, &d->call) == CH_AGAIN ? CH_AGAIN : door_answer(c, d, CH_READY, NULL);
}

static const struct ch_option door_options[] = {
	CH_OPT(struct door_conf, backend, SERVICE, .iface = "inference/1", .help = "Whom /ask asks"),
};
static const struct ch_route door_routes[] = {
	{ .method = "GET", .pattern = "/in", .fn = door_in },
	{ .method = "GET", .pattern = "/open", .cls = CH_OPEN, .fn = door_in },
	{ .method = "GET", .pattern = "/premium", .tier = "premium", .fn = door_in },
	{ .method = "GET", .pattern = "/basic", .tier = "anonymous", .fn = door_in },
	{ .method = "GET", .pattern = "/ops", .cls = CH_OPS, .fn = door_in },
	{ .method = "GET", .pattern = "/admin", .cls = CH_ADMIN, .fn = door_in },
	{ .method = "GET", .pattern = "/models", .fn = door_ask },
	{ .method = "GET", .pattern = "/ask/{model...}", .fn = door_ask },
};
static const struct ch_plugin door_plugin = {
	.size = sizeof(door_plugin), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "door", .version = "0", .summary = "who comes",
	.conf_size = sizeof(struct door_conf), .options = CH_TABLE(door_options), .routes = CH_TABLE(door_routes),
};

CH_PLUGIN(door, door_plugin)
CH_TEST_PLUGIN(door);

/* ---- a keys file ---- */

static char door_folder[64], door_file[96];

static void door_write(const char *text)
{
	char other[112];
	FILE *f;

	snprintf(other, sizeof(other), "%s.x", door_file);
	f = fopen(other, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(other, door_file), 0);
}

static inline int door_setup(void **state)
{
	(void)state;
	snprintf(door_folder, sizeof(door_folder), "/tmp/chimera-auth-XXXXXX");
	if (!mkdtemp(door_folder))
		return -1;
	snprintf(door_file, sizeof(door_file), "%s/keys.ini", door_folder);
	return 0;
}

static inline int door_teardown(void **state)
{
	(void)state;
	unlink(door_file);
	return rmdir(door_folder);
}

/* "[id]\nhash = sha256:…\nmore\n"; lives until the next call but three. */
static const char *door_section(const char *id, const char *key, const char *more)
{
	static char texts[4][2048];
	static unsigned next;
	char *out = texts[next++ % 4], hex[2 * CH_SHA256 + 1];
	unsigned char sha256[CH_SHA256];
	struct ch_str s = { key, strlen(key) };

	ch_sha256(&s, 1, sha256);
	ch_hex(sha256, CH_SHA256, hex);
	snprintf(out, sizeof(texts[0]), "[%s]\nhash = sha256:%s\n%s\n", id, hex, more);
	return out;
}

/* auth with these lines in its section, and the door. */
static inline struct ch_test *door_begin(const char *lines)
{
	struct ch_test *t = ch_test_new();
	static char ini[4096];

	ch_test_plugin(t, CH_TEST_ENTRY(auth));
	ch_test_plugin(t, CH_TEST_ENTRY(door));
	snprintf(ini, sizeof(ini), "[auth]\n%s\n[door]\n", lines);
	ch_test_config(t, ini);
	return t;
}

static inline struct ch_test *door_open(const char *lines)
{
	struct ch_test *t = door_begin(lines);

	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	return t;
}

/* With the keys file as it is written. */
static inline struct ch_test *door_with_file(const char *lines)
{
	struct ch_test *t;
	char all[2048];

	snprintf(all, sizeof(all), "keys_file = %s\n%s", door_file, lines);
	t = door_open(all);
	ch_test_sweep_off(t); /* a copy of the process has no thread that watches the file, and would wait for its end */
	return t;
}

static inline int door_status(struct ch_test *t, const char *path, const char *headers)
{
	return ch_test_request(t, "GET", path, headers, NULL, 0)->status;
}

static inline const char *door_body(struct ch_test *t, const char *path, const char *headers)
{
	return ch_test_request(t, "GET", path, headers, NULL, 0)->body;
}

#endif
