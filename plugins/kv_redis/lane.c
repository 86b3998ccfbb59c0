/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane.c - a connection with its circuit breaker.
 *
 *   IDLE        no connection, and none is wanted (big), or it is made anew at once (small)
 *   CONNECTING  calls wait, each for its own time; when the circuit was open they do not
 *   READY       calls are written
 *   DOWN        the circuit is open: calls are refused at once; when its cooldown is over, an attempt to connect is the probe
 *
 * The circuit opens by calls that fail, one after the other or too many of all, and by whatever shows that the server is of no use: it
 * cannot be connected to, or it says so. It is closed by a handshake that has succeeded. An open circuit has no connection: what is
 * written to a server that hangs would only be done late.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kv_redis.h"

enum { FAILURES = 5, STEADY_US = 1000000 };

static const struct ch_breaker_conf breaker_conf = {
	.failures = FAILURES, .error_rate = 0.5, .min_requests = 20, .window_us = 1000000, .cooldown_us = 100000, .cooldown_max_us = 2000000,
	.jitter = 0.25,
};

/* ---- the circuit ---- */

/*
 * The metric and what is told to people: for all lanes of the instance together. That one is down is told with every attempt, since another
 * loop may just now say that all are well.
 */
static void tell_state(struct kr_lane *lane, bool down)
{
	struct kr_loop *l = lane->l;
	int n = down;

	if (lane->told != down) {
		lane->told = down;
		ch_add(l->series.open[lane->big], down ? 1 : -1);
		n = atomic_fetch_add(&kr_state_of(l)->down, down ? 1 : -1) + (down ? 1 : -1);
	} else if (!down) {
		return;
	}
	if (down || !n)
		ch_degraded(l->self, "redis", down, "%s", down ? lane->why : "Redis answers again.");
}

static void report(struct kr_lane *lane, uint32_t pass, enum ch_breaker_outcome outcome)
{
	ch_breaker_report(&lane->breaker, &breaker_conf, pass, outcome, ch_now(), (uint32_t)ch_random());
}

/* Opens it, whatever was before. */
static void trip(struct kr_lane *lane)
{
	if (lane->probe)
		report(lane, lane->probe, CH_BREAKER_FAILED);
	lane->probe = 0;
	for (int i = 0; i < FAILURES && lane->breaker.state == CH_BREAKER_CLOSED; i++)
		report(lane, ch_breaker_allow(&lane->breaker, &breaker_conf, ch_now()), CH_BREAKER_FAILED);
}

void kr_lane_report(struct kr_lane *lane, uint32_t pass, enum kr_trouble t)
{
	if (!pass)
		return;
	if (t == KR_CANCELLED || t == KR_FAULT || t == KR_DOWN || t == KR_CROWDED) {
		ch_breaker_cancelled(&lane->breaker, pass);
		return;
	}
	report(lane, pass, kr_troubles[t].fails ? CH_BREAKER_FAILED : CH_BREAKER_OK);
	if (lane->breaker.state == CH_BREAKER_OPEN && (lane->state == KR_READY || lane->state == KR_CONNECTING))
		kr_lane_fall(lane, t, "%s", kr_troubles[t].detail);
}

/* ---- falling and rising ---- */

static void refuse_queue(struct kr_lane *lane)
{
	while (kr_linked(&lane->queue))
		kr_call_fail(KR_OF(lane->queue.next, struct kr_call, link), KR_DOWN, NULL);
}

static void go_down(struct kr_lane *lane)
{
	int64_t wait = ch_breaker_wait(&lane->breaker, &breaker_conf, ch_now());

	lane->state = KR_DOWN_NOW;
	ch_timer_set(lane->timer, wait > 0 ? (wait + 999) / 1000 : 1);
	tell_state(lane, true);
	refuse_queue(lane);
}

void kr_lane_fall(struct kr_lane *lane, enum kr_trouble t, const char *fmt, ...)
{
	int was = lane->state;
	va_list ap;

	if (was == KR_DOWN_NOW || was == KR_IDLE) {
		kr_drop(&lane->wire);
		return;
	}
	va_start(ap, fmt);
	vsnprintf(lane->why, sizeof(lane->why), fmt, ap);
	va_end(ap);
	if (was == KR_CONNECTING)
		ch_add(lane->l->series.connects[0], 1);
	kr_lookup_forget(lane);
	kr_sentinel_forget(lane);
	lane->state = KR_IDLE;
	kr_drop(&lane->wire);
	/* One that served for a while and is lost is made anew at once; else the circuit says when. */
	if (was == KR_CONNECTING || kr_troubles[t].ends || ch_now() - lane->ready_at < STEADY_US)
		trip(lane);
	if (lane->breaker.state != CH_BREAKER_CLOSED)
		go_down(lane);
	else
		ch_timer_set(lane->timer, lane->big && !kr_linked(&lane->queue) ? -1 : 0);
}

static void write_call(struct kr_lane *lane, struct kr_call *call);

void kr_lane_ready(struct kr_lane *lane)
{
	lane->state = KR_READY;
	lane->ready_at = ch_now();
	ch_timer_set(lane->timer, -1);
	ch_add(lane->l->series.connects[1], 1);
	if (lane->probe)
		report(lane, lane->probe, CH_BREAKER_OK);
	lane->probe = 0;
	tell_state(lane, false);
	while (kr_linked(&lane->queue) && lane->state == KR_READY) {
		struct kr_call *call = KR_OF(lane->queue.next, struct kr_call, link);

		kr_unlink(&call->link);
		write_call(lane, call);
		if (!call->sent)
			kr_call_fail(call, KR_LOST, NULL);
	}
}

void kr_lane_wake(struct kr_lane *lane)
{
	struct kr_loop *l = lane->l;
	const struct kr_url *url;

	if (!l->self || lane->wire.ac || (lane->state != KR_IDLE && lane->state != KR_DOWN_NOW))
		return;
	url = &kr_state_of(l)->url;
	lane->state = KR_CONNECTING;
	ch_timer_set(lane->timer, kr_conf_of(l)->connect_timeout);
	if (kr_conf_of(l)->sentinels.n)
		kr_sentinel_ask(lane);
	else if (!*url->host)
		kr_hand_dial(lane, NULL, 0);
	else if (!kr_lookup(lane, url->host, url->port, kr_hand_found))
		kr_lane_fall(lane, KR_MEMORY, "No memory is left for a connection to Redis.");
}

static void on_timer(void *data)
{
	struct kr_lane *lane = data;

	if (lane->state == KR_CONNECTING) {
		kr_lane_fall(lane, KR_TIMEOUT, "Redis did not let us in within connect_timeout, %lld ms.",
			(long long)kr_conf_of(lane->l)->connect_timeout);
		return;
	}
	if (lane->state == KR_DOWN_NOW) {
		lane->probe = ch_breaker_allow(&lane->breaker, &breaker_conf, ch_now());
		if (!lane->probe) {
			ch_timer_set(lane->timer, 10);
			return;
		}
	}
	kr_lane_wake(lane);
}

/* ---- calls ---- */

bool kr_lane_give(struct kr_lane *lane, redisCallbackFn *fn, void *data, const char *p, size_t n)
{
	if (!lane->wire.ac || lane->wire.doomed || redisAsyncFormattedCommand(lane->wire.ac, fn, data, p, n) != REDIS_OK)
		return false;
	lane->wire.given += n;
	return true;
}

static void on_reply(redisAsyncContext *ac, void *reply, void *data)
{
	struct kr_lane *lane = KR_OF(ac->data, struct kr_lane, wire);
	struct kr_call *call = data;

	if (reply)
		kr_call_answered(call, reply);
	else
		kr_call_lost(call, call->begins < lane->wire.offered);
}

/* What a command before the call's own has come to. An upload that failed is why the script does not find it. */
static void on_before(redisAsyncContext *ac, void *reply, void *data)
{
	const redisReply *r = reply;
	struct kr_call *call = data;

	(void)ac;
	if (call && r && r->type == REDIS_REPLY_ERROR)
		call->uploaded = kr_error_read(r->str, r->len);
}

/* A script that this connection has not yet seen goes as its text, which Redis keeps, and the next time by its name. */
static bool give_script(struct kr_lane *lane, struct kr_call *call, redisCallbackFn *fn, void *data)
{
	const struct kr_script *s = &kr_scripts[call->script];
	size_t words = call->n - call->words, n;
	char *text;
	bool ok;

	if (lane->loaded[call->script])
		return kr_lane_give(lane, fn, data, call->text + call->upload, call->n - call->upload);
	text = malloc(s->n + words + 64);
	if (!text)
		return false;
	n = (size_t)snprintf(text, 64, "*%d\r\n$4\r\nEVAL\r\n$%zu\r\n", call->nwords, s->n);
	memcpy(text + n, s->text, s->n);
	n += s->n;
	memcpy(text + n, "\r\n", 2);
	memcpy(text + n + 2, call->text + call->words, words);
	text[n + 2 + words] = 0;
	ok = kr_lane_give(lane, fn, data, text, n + 2 + words);
	free(text);
	lane->loaded[call->script] = ok;
	return ok;
}

/* The script and, in one transaction with it, what stands at the key: a large value comes as it is, and not through Lua. */
static bool give_with_value(struct kr_lane *lane, struct kr_call *call)
{
	static const char multi[] = "*1\r\n$5\r\nMULTI\r\n", exec[] = "*1\r\n$4\r\nEXEC\r\n", get[] = "*2\r\n$3\r\nGET\r\n";
	char text[sizeof(get) + CH_KV_KEY_MAX + KR_PREFIX_MAX + 32];
	size_t n = call->key_end - call->key;

	memcpy(text, get, sizeof(get) - 1);
	memcpy(text + sizeof(get) - 1, call->text + call->key, n);
	text[sizeof(get) - 1 + n] = 0;
	return kr_lane_give(lane, on_before, NULL, multi, sizeof(multi) - 1) && give_script(lane, call, on_before, NULL) &&
		kr_lane_give(lane, on_before, NULL, text, sizeof(get) - 1 + n) && kr_lane_give(lane, on_reply, call, exec, sizeof(exec) - 1);
}

/* Sets call->sent. What cannot be given whole, for want of memory, ends the connection: half of it would confuse all that follows. */
static void write_call(struct kr_lane *lane, struct kr_call *call)
{
	bool ok = true;

	call->begins = lane->wire.given;
	call->text[call->n] = 0; /* hiredis looks for the command's name as in a string; call.c has left room */
	if (call->upload)
		ok = kr_lane_give(lane, on_before, call, call->text, call->upload);
	call->sent = ok && (call->fetches ? give_with_value(lane, call) : give_script(lane, call, on_reply, call));
	if (!call->sent && call->begins != lane->wire.given)
		kr_lane_fall(lane, KR_MEMORY, "No memory is left for what is to be sent to Redis.");
}

enum kr_trouble kr_lane_again(struct kr_lane *lane, struct kr_call *call)
{
	write_call(lane, call);
	return call->sent ? KR_FINE : KR_NOSCRIPT;
}

enum kr_trouble kr_lane_take(struct kr_lane *lane, struct kr_call *call)
{
	if (lane->state == KR_IDLE)
		kr_lane_wake(lane);
	if (!lane->l->self || lane->breaker.state != CH_BREAKER_CLOSED)
		return KR_DOWN;
	call->pass = ch_breaker_allow(&lane->breaker, &breaker_conf, ch_now());
	if (lane->state == KR_READY) {
		write_call(lane, call);
		return call->sent ? KR_FINE : KR_LOST;
	}
	kr_link_behind(&call->link, lane->queue.prev);
	return KR_FINE;
}

/* ---- life ---- */

static void lost(struct kr_wire *w, enum kr_trouble t)
{
	kr_lane_fall(KR_OF(w, struct kr_lane, wire), t, "%s", kr_troubles[t].detail);
}

bool kr_lane_init(struct kr_lane *lane, struct kr_loop *l, bool big)
{
	*lane = (struct kr_lane){ .l = l, .big = big, .wire = { .loop = l->loop, .lost = lost }, .asks = { .loop = l->loop } };
	lane->wire.most = KR_ROOM + (big ? CH_KV_VALUE_MAX : KR_SMALL);
	kr_link_init(&lane->queue);
	lane->timer = ch_timer(l->loop, on_timer, lane);
	return lane->timer;
}

void kr_lane_end(struct kr_lane *lane)
{
	kr_lookup_forget(lane);
	kr_sentinel_forget(lane);
	lane->state = KR_IDLE;
	kr_drop(&lane->wire);
	tell_state(lane, false);
	ch_timer_free(lane->timer);
	ch_timer_free(lane->patience);
	lane->timer = lane->patience = NULL;
	refuse_queue(lane);
}
