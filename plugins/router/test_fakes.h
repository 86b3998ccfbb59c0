/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fakes.h - backends for the router's tests: what they say of themselves is data, and CH_I_MODELS and CH_I_PROBE do as they are told.
 * Included once by a test program, behind <cmocka.h>.
 */
#ifndef ROUTER_TEST_FAKES_H
#define ROUTER_TEST_FAKES_H

#include <string.h>

#include <chimera/test.h>

#include "table.h"

CH_TEST_PLUGIN(router);

#define FAKES 6
#define NAMES_MOST 8

struct fake {
	const char *id;
	struct ch_str models[NAMES_MOST];
	struct ch_backend_conf conf;
	struct ch_inference_about about;
	/* CH_I_MODELS and CH_I_PROBE */
	int rc, code;                     /* what submit returns; with CH_OK: a refusal, or 0 */
	struct ch_model reports[NAMES_MOST];
	size_t nreports;
	const struct ch_model *many;      /* in their place */
	unsigned asked, cancelled;
	ch_ticket ticket;
	struct ch_inference_result *out;
};

static void fake_fill(struct fake *f, struct ch_inference_result *out)
{
	out->models = f->many ? f->many : f->reports;
	out->nmodels = f->nreports;
	out->code = f->code;
	out->detail = f->code ? "The fake is not well." : NULL;
}

static int fake_submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args,
                       const struct ch_inference_sink *sink, struct ch_inference_result *out, ch_ticket ticket)
{
	struct fake *f = ch_test_data(svc);

	(void)c;
	(void)sink;
	f->asked++;
	out->backend = svc->id;
	if (args->op != CH_I_MODELS && args->op != CH_I_PROBE) {
		out->model = "m";
		out->text = (struct ch_str)CH_STR("text");
		return CH_OK;
	}
	if (f->rc == CH_OK)
		fake_fill(f, out);
	f->ticket = ticket;
	f->out = out;
	return f->rc;
}

static void fake_go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)svc;
	(void)c;
	(void)out;
}

static void fake_cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct fake *f = ch_test_data(svc);

	(void)c;
	(void)out;
	if (!f->ticket)
		return;
	f->cancelled++;
	ch_resume(f->ticket, NULL, NULL);
	f->ticket = 0;
}

/* On the loop: the answer that was waited for. */
static inline void fake_answers(void *data)
{
	struct fake *f = data;

	fake_fill(f, f->out);
	ch_resume(f->ticket, NULL, NULL);
	f->ticket = 0;
}

static const struct ch_inference_about *fake_about(const struct ch_svc *svc)
{
	return &((struct fake *)ch_test_data(svc))->about;
}

static const struct ch_inference_v1 fake_vt = { sizeof(fake_vt), fake_submit, fake_go_on, fake_cancel, fake_about };

/* models: by comma, without blanks. */
static void fake_is(struct fake *f, const char *id, const char *models, const char *standard)
{
	size_t n = 0;

	*f = (struct fake){ .id = id };
	for (const char *p = models; *p; n++) {
		size_t len = strcspn(p, ",");

		assert_true(n < NAMES_MOST);
		f->models[n] = (struct ch_str){ strndup(p, len), len };
		p += len + (p[len] == ',');
	}
	f->conf = (struct ch_backend_conf){ .models = { f->models, n }, .default_model = standard, .weight = 1 };
	f->about = (struct ch_inference_about){ .size = sizeof(f->about), .provider = "fake", .conf = &f->conf, .can = CH_I_TOOLS,
		.ops = 1u << CH_I_CHAT | 1u << CH_I_EMBEDDINGS | 1u << CH_I_MODELS | 1u << CH_I_PROBE };
}

static void fake_forget(struct fake *f)
{
	for (size_t i = 0; i < f->conf.models.n; i++)
		free((void *)f->models[i].p);
}

static inline struct ch_test *fakes_start(struct fake *f, size_t n, const char *ini)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, CH_TEST_ENTRY(router));
	for (size_t i = 0; i < n; i++)
		ch_test_service(t, f[i].id, "inference/1", &fake_vt, &f[i]);
	ch_test_config(t, ini);
	return t;
}

static inline void fakes_stop(struct ch_test *t, struct fake *f, size_t n)
{
	ch_test_free(t);
	for (size_t i = 0; i < n; i++)
		fake_forget(&f[i]);
}

#endif
