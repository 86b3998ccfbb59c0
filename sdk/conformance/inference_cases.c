/* SPDX-License-Identifier: MIT */
/*
 * inference_cases.c - what a provider of "inference/1" must do. The comment above a group says which clauses of chimera/inference.h it
 * proves.
 */
#include "inference_cases.h"

#define TIMED_OUT .codes = CODE(CH_E_UPSTREAM_TIMEOUT)
#define REFUSED_NEED .codes = CODE(CH_E_BAD_REQUEST)
#define NO_SUCH_OP .codes = CODE(CH_E_NOT_IMPLEMENTED)
#define UPSTREAM \
	(CODE(CH_E_UPSTREAM_AUTH) | CODE(CH_E_UPSTREAM_RATE_LIMITED) | CODE(CH_E_UPSTREAM_ERROR) | CODE(CH_E_UPSTREAM_INVALID) | \
	 CODE(CH_E_UPSTREAM_TIMEOUT) | CODE(CH_E_UPSTREAM_UNAVAILABLE) | CODE(CH_E_UPSTREAM_BUSY))

const struct row rows[] = {

/* about/: what a provider says of itself holds for its life. */

{ "about/itself", .op = ABOUT },

/* op/: an op that is not in about->ops is NOT_IMPLEMENTED, with a sink or without. Those that it does are skipped. */

{ "op/no-such", .op = 31, NO_SUCH_OP },
{ "op/no-such-stream", .op = 31, .sink = true, NO_SUCH_OP },
{ "op/below-0", .op = -2, NO_SUCH_OP },
{ "op/completion", .op = CH_I_COMPLETION, NO_SUCH_OP },
{ "op/embeddings", .op = CH_I_EMBEDDINGS, NO_SUCH_OP },
{ "op/pass", .op = CH_I_PASS, NO_SUCH_OP },
{ "op/models", .op = CH_I_MODELS, NO_SUCH_OP },
{ "op/probe", .op = CH_I_PROBE, NO_SUCH_OP },

/* needs/: what is not in about->can is a BAD_REQUEST. What it can do is skipped. */

{ "needs/tools", .needs = CH_I_TOOLS, REFUSED_NEED },
{ "needs/images", .needs = CH_I_IMAGES, REFUSED_NEED },
{ "needs/format", .needs = CH_I_FORMAT, REFUSED_NEED },
{ "needs/logprobs", .needs = CH_I_LOGPROBS, .sink = true, REFUSED_NEED },
{ "needs/many", .needs = CH_I_MANY, REFUSED_NEED },
{ "needs/other", .needs = CH_I_OTHER, .sink = true, REFUSED_NEED },

/* model/: a model that is not served is MODEL_NOT_FOUND; none is the provider's own; a backend ignores args.backend. */

{ "model/unknown", .model = UNKNOWN, .codes = CODE(CH_E_MODEL_NOT_FOUND) },
{ "model/unknown-stream", .model = UNKNOWN, .sink = true, .codes = CODE(CH_E_MODEL_NOT_FOUND) },
{ "model/unknown-openai", .model = UNKNOWN, .openai = true, .codes = CODE(CH_E_MODEL_NOT_FOUND) },
{ "model/default", .model = DEFAULT },
{ "model/default-stream", .model = DEFAULT, .sink = true },
{ "model/backend-is-ignored", .somebody = true },

/* answer/: one end, with the whole answer in *out or, before it, all of it in the sink. */

{ "answer/whole", .op = CH_I_CHAT },
{ "answer/stream", .sink = true },
{ "answer/odd-text", .odd = true },
{ "answer/odd-text-stream", .odd = true, .sink = true },
{ "answer/many-messages", .messages = 101 },
{ "answer/completion", .op = CH_I_COMPLETION },
{ "answer/completion-stream", .op = CH_I_COMPLETION, .sink = true },

/* openai/: the same for a client's own JSON: frames and wholes are JSON, and usage is in the stream only for who asked. */

{ "openai/whole", .openai = true },
{ "openai/stream", .openai = true, .sink = true },
{ "openai/stream-usage", .openai = true, .usage = true, .sink = true },
{ "openai/odd-text", .openai = true, .odd = true, .sink = true },
{ "openai/many-messages", .openai = true, .messages = 101 },
{ "openai/tools", .openai = true, .needs = CH_I_TOOLS },
{ "openai/tools-stream", .openai = true, .needs = CH_I_TOOLS, .sink = true },
{ "openai/format", .openai = true, .needs = CH_I_FORMAT },
{ "openai/format-stream", .openai = true, .needs = CH_I_FORMAT, .sink = true },

/* embeddings/: a vector for each input, in order, all of the same length; or all of it as JSON. */

{ "embeddings/one", .op = CH_I_EMBEDDINGS, .model = EMBEDDING },
{ "embeddings/many", .op = CH_I_EMBEDDINGS, .model = EMBEDDING, .messages = 17 },
{ "embeddings/odd-text", .op = CH_I_EMBEDDINGS, .model = EMBEDDING, .odd = true },
{ "embeddings/openai", .op = CH_I_EMBEDDINGS, .model = EMBEDDING, .openai = true, .messages = 3 },

/* list/ and probe/: without a sink, and without a model. */

{ "list/models", .op = CH_I_MODELS, .model = DEFAULT },
{ "probe/lives", .op = CH_I_PROBE, .model = DEFAULT },

/* sink/: AGAIN is a pause until go_on; go_on without a pause does nothing. */

{ "sink/pause", .sink = true, .pause = ONCE },
{ "sink/pause-at-each", .sink = true, .pause = EACH },
{ "sink/pause-openai", .sink = true, .openai = true, .pause = ONCE },

/* cancel/: at any time; no delta follows, the ticket is resumed at once; twice is once; behind the end it does nothing (in every case). */

{ "cancel/whole-at-once", .cancel = AT_ONCE },
{ "cancel/stream-at-once", .sink = true, .cancel = AT_ONCE },
{ "cancel/openai-at-once", .openai = true, .sink = true, .cancel = AT_ONCE },
{ "cancel/whole-later", .model = HANGS, .cancel = LATER, .codes = ANY_CODE },
{ "cancel/stream-later", .model = HANGS, .sink = true, .cancel = LATER, .codes = ANY_CODE },
{ "cancel/in-sink", .sink = true, .cancel = IN_SINK },
{ "cancel/in-sink-openai", .openai = true, .sink = true, .cancel = IN_SINK },
{ "cancel/paused", .sink = true, .pause = ONCE, .cancel = PAUSED },
{ "cancel/embeddings", .op = CH_I_EMBEDDINGS, .model = EMBEDDING, .cancel = AT_ONCE },
{ "cancel/models", .op = CH_I_MODELS, .model = DEFAULT, .cancel = AT_ONCE },
{ "cancel/probe", .op = CH_I_PROBE, .model = DEFAULT, .cancel = AT_ONCE },

/* time/: the request's timeouts, and the ctx's deadline, of a model that never answers and of a sink that never takes more. */

{ "time/whole", .model = HANGS, .total = 300, TIMED_OUT, .least = 300 },
{ "time/stream", .model = HANGS, .sink = true, .total = 300, TIMED_OUT, .least = 300 },
{ "time/first-token", .model = HANGS, .sink = true, .first = 300, .total = 5000, TIMED_OUT, .least = 300 },
{ "time/deadline", .model = HANGS, .deadline = 300, .codes = ANY_CODE, .least = 300 },
{ "time/deadline-stream", .model = HANGS, .sink = true, .deadline = 300, .codes = ANY_CODE, .least = 300 },
{ "time/deadline-paused", .sink = true, .pause = ONCE, .deadline = 300, .codes = ANY_CODE, .least = 300 },

/* broken/: an upstream that fails in the middle: a code, whatever came before it. */

{ "broken/whole", .model = BREAKS, .codes = UPSTREAM },
{ "broken/stream", .model = BREAKS, .sink = true, .codes = UPSTREAM },
{ "broken/openai", .model = BREAKS, .openai = true, .sink = true, .codes = UPSTREAM },

/* many/: at once, on all loops. */

{ "many/whole", .at_once = 32 },
{ "many/stream", .sink = true, .at_once = 32 },
{ "many/pause", .sink = true, .pause = ONCE, .at_once = 32 },
{ "many/cancel-in-sink", .sink = true, .cancel = IN_SINK, .at_once = 32 },
{ "many/cancel", .sink = true, .cancel = AT_ONCE, .at_once = 32 },

/* memory/: what a call took is given back. */

{ "memory/whole", .at_once = 16, .rounds = 8 },
{ "memory/stream", .sink = true, .at_once = 16, .rounds = 8 },
{ "memory/cancel", .sink = true, .cancel = IN_SINK, .at_once = 16, .rounds = 8 },
{ "memory/refused", .model = UNKNOWN, .sink = true, .codes = CODE(CH_E_MODEL_NOT_FOUND), .at_once = 16, .rounds = 8 },

};
const size_t nrows = sizeof(rows) / sizeof(rows[0]);
