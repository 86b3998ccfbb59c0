/* SPDX-License-Identifier: Apache-2.0 */
/* fate.c - how calls go wrong, as the config says: see dryrun.h. */
#include "dryrun.h"
#include "words.h"

/* In the order of dryrun_fail_codes. status 0: no HTTP answer came. */
static const struct { enum ch_code code; int status; int64_t retry_after_ms; } failures[] = {
	{ CH_E_UPSTREAM_ERROR, 500, 0 },
	{ CH_E_UPSTREAM_INVALID, 200, 0 },
	{ CH_E_UPSTREAM_TIMEOUT, 0, 0 },
	{ CH_E_UPSTREAM_UNAVAILABLE, 0, 0 },
	{ CH_E_UPSTREAM_BUSY, 503, 1000 },
	{ CH_E_UPSTREAM_RATE_LIMITED, 429, 1000 },
	{ CH_E_UPSTREAM_AUTH, 401, 0 },
	{ CH_E_BAD_REQUEST, 400, 0 },
};
const char *const dryrun_fail_codes[] = { "upstream_error", "upstream_invalid", "upstream_timeout", "upstream_unavailable", "upstream_busy",
	"upstream_rate_limited", "upstream_auth", "bad_request", NULL };

static bool may_fail(const struct dryrun_conf *conf, const char *model)
{
	struct ch_str name = { model, strlen(model) };

	if (!conf->faulty_models.n)
		return true;
	for (size_t i = 0; i < conf->faulty_models.n; i++)
		if (ch_model_matches(conf->faulty_models.v[i], name))
			return true;
	return false;
}

struct dryrun_fate dryrun_draw(const struct ch_svc *svc, struct ch_ctx *c, const char *model)
{
	const struct dryrun_conf *conf = svc->self->conf;
	struct dryrun_state *state = svc->self->state;
	uint64_t number = atomic_fetch_add(&state->calls, 1);
	uint64_t luck = dryrun_mix((uint64_t)conf->seed, (const char *)&number, sizeof(number));
	double jitter = dryrun_share(dryrun_next(&luck)), hang = dryrun_share(dryrun_next(&luck)), fail = dryrun_share(dryrun_next(&luck));
	struct dryrun_fate fate = { .latency = conf->latency * 1000 + (int64_t)(jitter * (double)conf->latency_jitter * 1000) };
	struct ch_fault fault = { .size = sizeof(fault) };

	if (may_fail(conf, model)) {
		fate.hang = hang < conf->hang;
		if (fail < conf->fail) {
			fate.code = failures[conf->fail_code].code;
			fate.status = failures[conf->fail_code].status;
			fate.after = (uint64_t)conf->fail_after;
		}
	}
	if (ch_fault(c, CH_S_VENDOR, &fault)) {
		fate.latency += fault.delay_ms * 1000;
		if (fault.fail) {
			fate.code = CH_E_UPSTREAM_ERROR;
			fate.status = 500;
			fate.after = 0;
		}
	}
	return fate;
}

void dryrun_failed(const struct ch_svc *svc, struct ch_ctx *c, const struct dryrun_fate *fate, struct ch_inference_result *out)
{
	const struct dryrun_conf *conf = svc->self->conf;
	bool ours = fate->code == failures[conf->fail_code].code;

	ch_backend_refuse(out, fate->code, ours ? failures[conf->fail_code].retry_after_ms : 0,
		ch_print(c, "The backend %s fails some calls, as it was told to; this was one.", svc->id));
	out->status = fate->status;
}
