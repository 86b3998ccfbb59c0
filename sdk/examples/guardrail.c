/* SPDX-License-Identifier: MIT */
/*
 * guardrail.c - what this one teaches: hooks on questions to a model, whoever asks them: a route, a job, another plugin.
 *
 *     [guardrail]
 *     policy = Answer in one sentence.
 *     words = launch code
 *     deny_file = /etc/chimera/denied.txt
 *     [guardrail.gpt-4.1]             ; what this model may use up, in tokens of questions and answers
 *     tokens = 90000/min
 *     burst = 200000
 *
 * CALL runs before the question is asked. It lets it through (CH_OK), changes it, answers it itself (CH_DONE), or waits (CH_AGAIN).
 * CALL_END runs once for each CALL, when the answer is there or has failed; it looks and cannot wait.
 *
 * Threads and ownership: a question, its arguments and its result belong to the ctx that asks. Hooks run on its loop; the file is read on a
 * pool thread while the ctx is suspended. Budgets are shared by all loops, so each has a lock.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <chimera/inference.h>
#include <chimera/kit/bucket.h>

struct guard_conf {
	const char *policy, *deny_file;
	struct ch_list words;
	int64_t deny_timeout;
};

struct budget_conf {
	double tokens;
	int64_t burst;
};

struct budget {
	pthread_mutex_t lock; /* of the bucket */
	struct ch_bucket_rate rate;
	struct ch_bucket bucket;
};

enum { M_REFUSED };
enum { R_BUDGET, R_WORDS, R_FILE, REASONS };
static const char *const reasons[] = { "budget", "words", "file", NULL };

struct guard_state {
	struct budget *budgets; /* of the rows, in their order */
	unsigned refused[REASONS];
};

/* A look through the file, in memory of the ctx. */
struct look {
	struct ch_self *self;
	struct ch_str text;
	bool found, failed;
};

/* ---- refusing ---- */

/* A hook that answers fills *out and returns DONE. With a code it is a refusal; without one it would be an answer, in out->text. */
static int refuse(struct ch_self *self, struct ch_inference_call *call, int reason, int code, int64_t retry_ms, const char *detail)
{
	const struct guard_state *state = self->state;

	ch_add(state->refused[reason], 1);
	call->out->code = code;
	call->out->retry_after_ms = retry_ms;
	call->out->detail = detail;
	return CH_DONE;
}

/* ---- the file ---- */

static bool holds(struct ch_str text, const char *word, size_t n)
{
	return n && text.n >= n && memmem(text.p, text.n, word, n);
}

static struct ch_str last_message(const struct ch_inference_call *call)
{
	return call->args.messages[call->args.nmessages - 1].content;
}

/*
 * On a pool thread. What belongs to the ctx stays where it is until this has ended, also if nobody waits any more. It writes nothing but
 * `look`, which the loop leaves alone meanwhile.
 */
static void *look_through(void *data)
{
	struct look *look = data;
	const struct guard_conf *conf = look->self->conf;
	FILE *f = fopen(conf->deny_file, "re");
	size_t room = 0;
	char *line = NULL;
	ssize_t n;

	look->failed = !f;
	while (f && !look->found && (n = getline(&line, &room, f)) > 0)
		look->found = holds(look->text, line, (size_t)n - (line[n - 1] == '\n'));
	free(line);
	if (f)
		fclose(f);
	return look;
}

/* What this returns goes on where the hook that said AGAIN has stopped: OK is the next hook, or the question itself. */
static int on_looked(struct ch_ctx *c, void *data, int why, void *result)
{
	struct look *look = data;
	struct ch_inference_call *call = ch_inference_call(c);

	(void)result;
	if (why == CH_GONE)
		return CH_DONE;
	ch_degraded(look->self, "deny_file", why != CH_READY || look->failed, "%s",
		why != CH_READY ? "it is not read in time" : look->failed ? "it cannot be read" : "it can be read");
	/* What cannot be looked at is not let through: a guard that fails open is none. The client is told that trying again may help. */
	if (why != CH_READY || look->failed)
		return refuse(look->self, call, R_FILE, CH_E_UNAVAILABLE, 1000, "Questions cannot be checked now; try again later.");
	if (look->found)
		return refuse(look->self, call, R_FILE, CH_E_FORBIDDEN, 0, "The server's rules do not allow this question.");
	return CH_OK;
}

static int look_at_file(struct ch_self *self, struct ch_ctx *c, struct ch_inference_call *call)
{
	const struct guard_conf *conf = self->conf;
	struct look *look = ch_alloc(c, sizeof(*look));
	ch_ticket t;

	if (look)
		*look = (struct look){ .self = self, .text = last_message(call) };
	t = look ? ch_suspend(c, conf->deny_timeout, on_looked, look) : 0;
	if (t && ch_offload(self, look_through, look, t, NULL))
		return CH_AGAIN;
	ch_unsuspend(t);
	return refuse(self, call, R_FILE, CH_E_OVERLOADED, 1000, "Too much is waiting; try again.");
}

/* ---- the hooks ---- */

/* The budget of the model that is asked for; NULL: it has none. */
static struct budget *find_budget(struct ch_self *self, struct ch_str model)
{
	const struct guard_state *state = self->state;

	for (size_t i = 0; i < self->nrows; i++)
		if (strlen(self->rows[i].name) == model.n && !memcmp(self->rows[i].name, model.p, model.n))
			return &state->budgets[i];
	return NULL;
}

/*
 * What a question costs is known when it is answered. So one passes as long as no debt is left, and the next ones wait for what it has
 * used.
 */
static int64_t wait_for_budget(struct budget *b)
{
	int64_t us;

	pthread_mutex_lock(&b->lock);
	us = ch_bucket_wait(&b->bucket, &b->rate, 1, ch_now());
	pthread_mutex_unlock(&b->lock);
	return us;
}

/* The caller's messages stay as they are: they are the caller's. */
static bool add_policy(struct ch_ctx *c, struct ch_inference_args *args, const char *policy)
{
	struct ch_message *all = ch_alloc(c, (args->nmessages + 1) * sizeof(*all));

	if (!all)
		return false;
	all[0] = (struct ch_message){ .role = CH_STR("system"), .content = { policy, strlen(policy) } };
	memcpy(all + 1, args->messages, args->nmessages * sizeof(*all));
	args->openai = NULL; /* what the client said is no more what is asked */
	args->messages = all;
	args->nmessages++;
	return true;
}

static int on_call(struct ch_self *self, struct ch_ctx *c)
{
	const struct guard_conf *conf = self->conf;
	struct ch_inference_call *call = ch_inference_call(c);
	struct budget *b;
	int64_t us;

	if (!call || call->args.op == CH_I_MODELS)
		return CH_OK; /* a question to a service of another kind, or one that no model is asked */
	b = find_budget(self, call->args.model);
	us = b ? wait_for_budget(b) : 0;
	if (us)
		return refuse(self, call, R_BUDGET, CH_E_RATE_LIMITED, us > 0 ? us / 1000 + 1 : 0, "This model's token budget is used up.");
	*ch_slot(self, c) = b; /* for CALL_END, which may know the model by another name */
	for (size_t i = 0; i < conf->words.n; i++)
		if (holds(last_message(call), conf->words.v[i].p, conf->words.v[i].n))
			return refuse(self, call, R_WORDS, CH_E_FORBIDDEN, 0, "The server's rules do not allow this question.");
	if (*conf->policy && !add_policy(c, &call->args, conf->policy))
		return refuse(self, call, R_WORDS, CH_E_OVERLOADED, 1000, "No memory is left for this question; send a shorter one.");
	return *conf->deny_file ? look_at_file(self, c, call) : CH_OK;
}

static int on_call_end(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_inference_call *call = ch_inference_call(c);
	struct budget *b = *ch_slot(self, c);

	*ch_slot(self, c) = NULL; /* a ctx may ask again, and a hook before ours may answer then: CALL_END would come without our CALL */
	if (!call || !b)
		return CH_OK;
	/* Also of an answer that failed or that nobody waited for: what was used was used. */
	pthread_mutex_lock(&b->lock);
	ch_bucket_charge(&b->bucket, &b->rate, call->out->tokens_in + call->out->tokens_out, ch_now());
	pthread_mutex_unlock(&b->lock);
	return CH_OK;
}

/* ---- life ---- */

static int check(struct ch_self *self)
{
	int rc = CH_OK;

	for (size_t i = 0; i < self->nrows; i++) {
		const struct budget_conf *row = self->rows[i].conf;
		struct ch_bucket_rate rate;

		if (ch_bucket_rate_from(&rate, row->tokens, (uint64_t)row->burst))
			continue;
		ch_config_error(self, self->rows[i].name, "tokens", "is no rate that can be kept with this burst: take smaller numbers");
		rc = CH_ERROR;
	}
	return rc;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct guard_state *state = self->state;

	(void)prev;
	state->budgets = calloc(self->nrows + 1, sizeof(*state->budgets));
	if (!state->budgets)
		return CH_ERROR;
	for (size_t i = 0; i < self->nrows; i++) {
		const struct budget_conf *row = self->rows[i].conf;

		pthread_mutex_init(&state->budgets[i].lock, NULL);
		ch_bucket_rate_from(&state->budgets[i].rate, row->tokens, (uint64_t)row->burst);
	}
	for (int i = 0; i < REASONS; i++)
		state->refused[i] = ch_series(self, M_REFUSED, &reasons[i]);
	return CH_OK;
}

/*
 * A reload must not hand out the budgets anew. Each is carried over to its new rate. What the predecessor's last questions still use up is
 * charged to its own bucket and so forgiven: a handful at each reload that changes this section.
 */
static void adopt(struct ch_self *self, struct ch_self *prev)
{
	struct guard_state *state = self->state;

	for (size_t i = 0; i < self->nrows; i++) {
		struct budget *mine = &state->budgets[i];
		struct budget *old = find_budget(prev, (struct ch_str){ self->rows[i].name, strlen(self->rows[i].name) });

		if (!old)
			continue;
		pthread_mutex_lock(&old->lock);
		mine->bucket = old->bucket;
		ch_bucket_carry(&mine->bucket, &old->rate, &mine->rate, ch_now());
		pthread_mutex_unlock(&old->lock);
	}
}

static void stop(struct ch_self *self)
{
	struct guard_state *state = self->state;

	for (size_t i = 0; i < self->nrows; i++)
		pthread_mutex_destroy(&state->budgets[i].lock);
	free(state->budgets);
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct guard_conf, policy, STR, .help = "Stands before every question, as a message of the system"),
	CH_OPT(struct guard_conf, words, LIST, .help = "A question whose last message holds one of these is refused"),
	CH_OPT(struct guard_conf, deny_file, PATH, .help = "A file of such words, one a line, read for each question"),
	CH_OPT(struct guard_conf, deny_timeout, DURATION, .def = "2s", .min = "1ms", .help = "Time to read it"),
};

static const struct ch_option row_options[] = {
	CH_OPT(struct budget_conf, tokens, RATE, .flags = CH_O_REQUIRED, .min = "0/s", .help = "Tokens that flow into the model's budget"),
	CH_OPT(struct budget_conf, burst, INT, .def = "100000", .min = "1", .max = "1000000000000", .help = "Tokens that it holds at most"),
};

static const struct ch_metric metrics[] = {
	[M_REFUSED] = {
		.name = "guardrail_refused_total",
		.kind = CH_COUNTER,
		.labels = { { "reason", CH_L_FIXED, reasons } },
		.help = "Questions that were not asked.",
	},
};

/* Both in the band LATE: rules should see what other hooks have made of the question. */
static const struct ch_hook hooks[] = {
	{ .phase = CH_P_CALL, .band = CH_LATE, .fn = on_call },
	{ .phase = CH_P_CALL_END, .band = CH_LATE, .fn = on_call_end },
};

static const struct ch_plugin guardrail = {
	.size = sizeof(guardrail),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "guardrail",
	.version = "0.1",
	.summary = "Rules and budgets for questions to models",
	.conf_size = sizeof(struct guard_conf),
	.row_conf_size = sizeof(struct budget_conf),
	.state_size = sizeof(struct guard_state),
	.options = CH_TABLE(options),
	.row_options = CH_TABLE(row_options),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.check = check,
	.start = start,
	.adopt = adopt,
	.stop = stop,
};

CH_PLUGIN(guardrail, guardrail)
