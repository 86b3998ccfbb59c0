/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kv_redis.c - the plugin over the harness, whose clock stands still, and a Redis that this program plays itself over a unix socket:
 * what a call comes to when its answer is late, lost, or nonsense. What real servers do is tested end to end (tests/e2e/kv).
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <chimera/kv.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(kv_redis);

/* ---- Redis ---- */

enum { PEERS = 16, FDS = 256 };

static struct {
	char folder[32], path[64];
	int listener;
	struct { int fd; char in[1 << 16]; size_t n; } peers[PEERS];
	size_t npeers;
	bool mute;                        /* commands are read and not answered, the handshake's neither */
	const char *says;                 /* to a call; NULL: nothing */
	unsigned calls, evals;            /* commands that are no handshake; those of them that came as text */
} redis;

static void redis_up(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", redis.path);
	redis.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(redis.listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(redis.listener, PEERS), 0);
}

static void redis_hang_up(void)
{
	for (size_t i = 0; i < redis.npeers; i++)
		close(redis.peers[i].fd);
	redis.npeers = 0;
}

static void redis_down(void)
{
	redis_hang_up();
	close(redis.listener);
	unlink(redis.path);
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* One command that is there whole: its length, 0 if none is. */
static size_t command(const char *p, size_t n)
{
	char *at = memchr(p, '\n', n);
	long words = n && *p == '*' ? atol(p + 1) : 0;

	for (; at && words; words--) {
		char *line = at + 1;
		size_t left = n - (size_t)(line - p), len;

		at = memchr(line, '\n', left);
		if (!at)
			return 0;
		len = (size_t)atol(line + 1) + 2;
		if (n - (size_t)(at + 1 - p) < len)
			return 0;
		at += len;
	}
	return at ? (size_t)(at + 1 - p) : 0;
}

static void answer(int fd, const char *p, size_t n)
{
	bool trial = memmem(p, n, "kv_redis:trial", 14);

	if (!trial && !memmem(p, n, "\nROLE", 5)) {
		redis.calls++;
		redis.evals += memmem(p, n, "\nEVAL\r", 6) != NULL;
		if (!redis.mute && redis.says)
			say(fd, redis.says);
	} else if (!redis.mute) {
		say(fd, trial ? "$1\r\n0\r\n" : "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
	}
}

static bool serve(void)
{
	bool progress = false;
	int fd;

	while (redis.npeers < PEERS && (fd = accept4(redis.listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		redis.peers[redis.npeers].n = 0;
		redis.peers[redis.npeers++].fd = fd;
		progress = true;
	}
	for (size_t i = 0; i < redis.npeers; i++) {
		char *in = redis.peers[i].in;
		ssize_t got = recv(redis.peers[i].fd, in + redis.peers[i].n, sizeof(redis.peers[i].in) - redis.peers[i].n, 0);
		size_t n;

		if (got <= 0)
			continue;
		progress = true;
		redis.peers[i].n += (size_t)got;
		while ((n = command(in, redis.peers[i].n))) {
			answer(redis.peers[i].fd, in, n);
			redis.peers[i].n -= n;
			memmove(in, in + n, redis.peers[i].n);
		}
	}
	return progress;
}

/* Both sides work until nothing is left to be done. */
static void pump(struct ch_test *t)
{
	bool progress;

	do {
		progress = serve();
		for (int fd = 0; fd < FDS; fd++) {
			int events = ch_test_fd_watched(t, fd);
			struct pollfd p = { .fd = fd, .events = (short)((events & CH_READ ? POLLIN : 0) | (events & CH_WRITE ? POLLOUT : 0)) };

			if (!events || poll(&p, 1, 0) != 1)
				continue;
			events = (p.revents & (POLLIN | POLLHUP | POLLERR) ? CH_READ : 0) | (p.revents & POLLOUT ? CH_WRITE : 0);
			progress = ch_test_fd_ready(t, fd, events) || progress;
		}
	} while (progress);
}

/* ---- a plugin that fills the seam ---- */

static struct ch_fault fault;

static bool strike(struct ch_self *self, struct ch_ctx *c, struct ch_fault *out)
{
	(void)self, (void)c;
	out->delay_ms = fault.delay_ms;
	out->fail = fault.fail;
	return fault.delay_ms || fault.fail;
}

static const struct ch_seam seams[] = { { .seam = CH_S_KV, .fn = strike } };
static const struct ch_plugin striker = {
	.size = sizeof(striker), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "striker", .version = "0",
	.summary = "Faults", .seams = CH_TABLE(seams),
};

static const struct ch_plugin *striker_entry(const struct ch_host *host)
{
	(void)host;
	return &striker;
}

/* ---- one operation ---- */

enum which { GET, ADD, LOOK, TAKE };

struct op {
	const struct ch_svc *svc;
	enum which which;
	bool nobody;
	struct ch_ctx *c;
	struct ch_kv_result *out;
	int rc, error, why;
	bool over, done, cancel;
	int64_t left;
};

static void note(struct op *op)
{
	op->over = true;
	op->error = op->out->error;
	op->done = op->out->done;
	op->left = ch_kv_level_at(op->out, 0) ? ch_kv_level_at(op->out, 0)->left : -1;
	assert_true((op->out->error != 0) == (op->out->detail != NULL));
}

static void cancel(void *data)
{
	struct op *op = data;

	((const struct ch_kv_v1 *)op->svc->vt)->cancel(op->svc, op->c, op->out);
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct op *op = data;

	assert_true(!result && c == op->c && !op->over);
	op->why = why;
	if (why != CH_READY)
		cancel(op);
	note(op);
	return CH_DONE;
}

static int do_op(struct ch_ctx *c, void *data)
{
	struct op *op = data;
	const struct ch_kv_v1 *kv = op->svc->vt;
	struct ch_kv_args a = { .size = sizeof(a), .key = CH_STR("a"), .delta = op->which == ADD };
	struct ch_kv_bucket b[1] = { { .key = CH_STR("a"), .burst = 10, .count = 1, .period_ms = 3600000, .cost = 1 } };
	struct ch_kv_take_args take = { sizeof(take), CH_TABLE(b), 0 };
	ch_ticket t = op->nobody ? 0 : ch_suspend(c, 0, on_resumed, op);

	op->c = c;
	op->out = ch_alloc(c, sizeof(*op->out));
	if (!op->out || (!op->nobody && !t)) {
		ch_unsuspend(t);
		return CH_DONE;
	}
	op->out->size = sizeof(*op->out);
	switch (op->which) {
	case GET: op->rc = kv->get(op->svc, c, &a, op->nobody ? NULL : op->out, t); break;
	case ADD: case LOOK: op->rc = kv->add(op->svc, c, &a, op->nobody ? NULL : op->out, t); break;
	case TAKE: op->rc = kv->take(op->svc, c, &take, op->nobody ? NULL : op->out, t); break;
	}
	if (op->rc == CH_AGAIN && op->cancel)
		cancel(op);
	if (op->rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(t);
	note(op);
	return CH_DONE;
}

static void run(struct ch_test *t, struct op *op, enum which which)
{
	*op = (struct op){ .svc = ch_test_provided(t, "kv_redis", "kv/1"), .which = which, .cancel = op->cancel, .nobody = op->nobody };
	assert_true(ch_test_task(t, NULL, 0, do_op, op));
	pump(t);
}

/* ---- the world ---- */

static struct ch_test *begin(const char *more)
{
	struct ch_test *t = ch_test_new();
	char ini[300];

	ch_test_sweep_off(t); /* copies of this process would share its connections */
	memset(&redis, 0, sizeof(redis));
	fault = (struct ch_fault){ 0 };
	snprintf(redis.folder, sizeof(redis.folder), "/tmp/kv_redis-XXXXXX");
	assert_non_null(mkdtemp(redis.folder));
	snprintf(redis.path, sizeof(redis.path), "%s/s", redis.folder);
	redis_up();
	snprintf(ini, sizeof(ini), "[striker]\n[kv_redis]\nurl = unix://%s\n%s", redis.path, more);
	ch_test_plugin(t, CH_TEST_ENTRY(kv_redis));
	ch_test_plugin(t, striker_entry);
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	return t;
}

static struct ch_test *begin_connected(void)
{
	struct ch_test *t = begin("");

	ch_test_advance(t, 1);
	pump(t);
	assert_true(ch_test_metric(t, "chimera_kv_connects_total", "kv_redis", "ok", NULL) == 2); /* one for each loop */
	return t;
}

static void end(struct ch_test *t)
{
	ch_test_free(t);
	redis_down();
	rmdir(redis.folder);
}

static double errors(struct ch_test *t, const char *reason)
{
	return ch_test_metric(t, "chimera_kv_errors_total", "kv_redis", reason, NULL);
}

#define TAKEN "$14\r\n11 9 0 3600000\r\n" /* as take answers: done, then passes, left, wait, full */

/* ---- tests ---- */

static void a_call_is_one_command_and_is_answered(void **state)
{
	struct ch_test *t = begin_connected();
	struct op op = { 0 };

	(void)state;
	redis.says = TAKEN;
	run(t, &op, TAKE);
	assert_true(op.rc == CH_AGAIN && op.over && op.why == CH_READY && op.done && op.left == 9 && !op.error);
	assert_int_equal(redis.calls, 1);
	assert_int_equal(redis.evals, 1); /* the first one brings the script … */
	run(t, &op, TAKE);
	assert_true(op.done && redis.calls == 2 && redis.evals == 1); /* … the next ones name it */
	assert_true(ch_test_metric(t, "chimera_kv_latency_seconds", "kv_redis", "take", NULL) == 2);
	assert_true(ch_test_metric(t, "chimera_kv_calls", "kv_redis", NULL) == 0);
	end(t);
}

static void a_call_that_was_sent_and_not_answered_in_time_may_have_happened(void **state)
{
	struct ch_test *t = begin_connected();
	struct op op = { 0 }, look = { 0 }, get = { 0 };

	(void)state;
	run(t, &op, TAKE);
	run(t, &look, LOOK);
	run(t, &get, GET);
	assert_int_equal(redis.calls, 3);
	ch_test_advance(t, 19);
	assert_false(op.over);
	ch_test_advance(t, 1);
	assert_true(op.over && op.error == CH_KV_UNKNOWN);
	assert_true(look.error == CH_KV_UNAVAILABLE && get.error == CH_KV_UNAVAILABLE); /* they change nothing */
	assert_true(errors(t, "timeout") == 3);
	end(t);
}

static void a_late_answer_is_nobody_elses(void **state)
{
	struct ch_test *t = begin_connected();
	struct op op = { 0 }, next = { 0 };

	(void)state;
	run(t, &op, TAKE);
	ch_test_advance(t, 20);
	assert_int_equal(op.error, CH_KV_UNKNOWN);
	run(t, &next, TAKE);
	redis.says = TAKEN;
	run(t, &op, TAKE);
	assert_false(next.over); /* what Redis said belongs to the first of them */
	ch_test_advance(t, 20);
	assert_true(next.over && op.over);
	end(t);
}

static void five_that_fail_open_the_circuit_and_a_handshake_closes_it(void **state)
{
	struct ch_test *t = begin_connected();
	struct op op = { 0 };

	(void)state;
	for (int i = 0; i < 5; i++) {
		run(t, &op, TAKE);
		assert_int_equal(op.rc, CH_AGAIN);
		ch_test_advance(t, 20);
		assert_int_equal(op.error, CH_KV_UNKNOWN);
	}
	assert_true(ch_test_metric(t, "chimera_kv_breaker_open", "kv_redis", "small", NULL) == 1);
	assert_true(ch_test_logged(t, "redis is degraded now: Redis did not answer in time"));
	redis.mute = true;
	for (int i = 0; i < 3; i++) {
		run(t, &op, TAKE);
		assert_true(op.rc == CH_OK && op.error == CH_KV_UNAVAILABLE); /* at once */
		ch_test_advance(t, 40);
		pump(t);
	}
	ch_test_advance(t, 1000); /* an attempt that is not answered: connect_timeout */
	pump(t);
	run(t, &op, TAKE);
	assert_true(op.rc == CH_OK && op.error == CH_KV_UNAVAILABLE);
	redis.mute = false;
	redis.says = TAKEN;
	for (int i = 0; i < 100 && ch_test_metric(t, "chimera_kv_breaker_open", "kv_redis", "small", NULL) != 0; i++) {
		ch_test_advance(t, 100);
		pump(t);
	}
	run(t, &op, TAKE);
	assert_true(op.done && !op.error);
	end(t);
}

static void a_lost_connection_ends_what_was_sent_and_is_made_anew(void **state)
{
	struct ch_test *t = begin_connected();
	struct op op = { 0 };

	(void)state;
	ch_test_advance(t, 2000); /* it has served for a while */
	run(t, &op, ADD);
	redis_hang_up();
	pump(t);
	assert_true(op.over && op.error == CH_KV_UNKNOWN);
	ch_test_advance(t, 1);
	redis.says = "$3\r\n17:\r\n";
	pump(t);
	assert_true(ch_test_metric(t, "chimera_kv_connects_total", "kv_redis", "ok", NULL) == 4);
	redis.says = "$4\r\n17:0\r\n";
	run(t, &op, ADD);
	assert_true(op.done && !op.error);
	end(t);
}

static void what_was_never_sent_did_not_happen(void **state)
{
	struct ch_test *t = begin("");
	struct op op = { 0 };

	(void)state;
	redis.mute = true; /* so that the handshake does not end */
	ch_test_advance(t, 1);
	run(t, &op, TAKE);
	assert_true(op.rc == CH_AGAIN && !op.over);
	ch_test_advance(t, 20);
	assert_true(op.over && op.error == CH_KV_UNAVAILABLE && redis.calls == 0);
	end(t);
}

static void a_call_waits_for_the_connection(void **state)
{
	struct ch_test *t = begin("");
	struct op op = { 0 };

	(void)state;
	redis.says = TAKEN;
	run(t, &op, TAKE); /* nobody has connected yet */
	assert_true(op.over && op.rc == CH_AGAIN && op.done);
	end(t);
}

static void a_cancel_is_over_in_the_same_turn(void **state)
{
	struct ch_test *t = begin_connected();
	struct op op = { .cancel = true };

	(void)state;
	run(t, &op, TAKE);
	assert_true(op.over && op.error == CH_KV_UNKNOWN); /* it lies with hiredis */
	run(t, &op, GET);
	assert_true(op.over && op.error == CH_KV_CANCELLED);
	redis.says = TAKEN;
	op.cancel = false;
	run(t, &op, TAKE);
	ch_test_advance(t, 20);
	assert_true(errors(t, "cancelled") == 2);
	end(t);
}

static void nobody_waits_for_a_call_without_a_ticket(void **state)
{
	struct ch_test *t = begin_connected();
	struct op op = { .nobody = true };

	(void)state;
	redis.says = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
	run(t, &op, ADD);
	assert_true(op.rc == CH_OK && redis.calls == 1 && errors(t, "oom") == 1);
	assert_true(ch_test_metric(t, "chimera_kv_breaker_open", "kv_redis", "small", NULL) == 0);
	end(t);
}

static void a_script_that_is_not_known_is_sent_once_more_and_not_again(void **state)
{
	struct ch_test *t = begin_connected();
	struct op op = { 0 };

	(void)state;
	redis.says = "-NOSCRIPT No matching script.\r\n";
	run(t, &op, TAKE);
	assert_true(op.over && op.error == CH_KV_UNAVAILABLE && redis.calls == 2 && redis.evals == 2);
	end(t);
}

static void nonsense_ends_the_connection(void **state)
{
	static const char *const texts[] = { "$3\r\n1xy\r\n", ":7\r\n", "+OK\r\n", "*1\r\n:1\r\n", "hello\r\n", "$1\r\nB\r\n", "$2\r\n1 \r\n" };
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ch_test *t = begin_connected();
		struct op op = { 0 };

		redis.says = texts[i];
		run(t, &op, TAKE);
		if (*texts[i] == '$' && texts[i][4] == 'B') { /* "too long" leads to the other lane, where it is said again */
			ch_test_advance(t, 1);
			pump(t);
			ch_test_advance(t, 300);
		}
		assert_true(op.over && (op.error == CH_KV_UNKNOWN || op.error == CH_KV_UNAVAILABLE));
		assert_true(errors(t, "garbage") + errors(t, "timeout") + errors(t, "lost") >= 1);
		end(t);
	}
}

static void a_fault_waits_and_strikes(void **state)
{
	struct ch_test *t = begin_connected();
	struct op op = { 0 };

	(void)state;
	redis.says = TAKEN;
	fault.fail = true;
	run(t, &op, TAKE);
	assert_true(op.rc == CH_OK && op.error == CH_KV_UNAVAILABLE && redis.calls == 0 && errors(t, "fault") == 1);
	fault = (struct ch_fault){ .delay_ms = 10 };
	run(t, &op, TAKE);
	assert_false(op.over);
	ch_test_advance(t, 10);
	pump(t);
	assert_true(op.over && op.done && redis.calls == 1);
	fault.delay_ms = 500; /* longer than a call may take */
	run(t, &op, TAKE);
	ch_test_advance(t, 20);
	assert_true(op.over && op.error == CH_KV_UNAVAILABLE && redis.calls == 1 && errors(t, "timeout") == 1);
	end(t);
}

static void its_health_is_a_round_trip(void **state)
{
	struct ch_test *t = begin_connected();
	struct ch_check_result r = { .size = sizeof(r) };

	(void)state;
	ch_test_check(t, "kv_redis", &r);
	pump(t);
	redis_down();
	pump(t);
	ch_test_advance(t, 200);
	assert_true(ch_test_check(t, "kv_redis", &r));
	assert_int_equal(r.health, CH_UNHEALTHY);
	assert_non_null(strstr(r.message, "Redis"));
	redis_up();
	end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_is_one_command_and_is_answered),
		cmocka_unit_test(a_call_that_was_sent_and_not_answered_in_time_may_have_happened),
		cmocka_unit_test(a_late_answer_is_nobody_elses),
		cmocka_unit_test(five_that_fail_open_the_circuit_and_a_handshake_closes_it),
		cmocka_unit_test(a_lost_connection_ends_what_was_sent_and_is_made_anew),
		cmocka_unit_test(what_was_never_sent_did_not_happen),
		cmocka_unit_test(a_call_waits_for_the_connection),
		cmocka_unit_test(a_cancel_is_over_in_the_same_turn),
		cmocka_unit_test(nobody_waits_for_a_call_without_a_ticket),
		cmocka_unit_test(a_script_that_is_not_known_is_sent_once_more_and_not_again),
		cmocka_unit_test(nonsense_ends_the_connection),
		cmocka_unit_test(a_fault_waits_and_strikes),
		cmocka_unit_test(its_health_is_a_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
