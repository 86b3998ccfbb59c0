/* SPDX-License-Identifier: Apache-2.0 */
/* test_log.c - the log: one event is one line, no caller ever waits, what is lost is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "chimera/kit/json.h"
#include "core/log/log.h"
#include "core/metrics/metrics.h"

#define PATIENCE_MS 20000 /* how long a condition may take before the test fails */

static char folder[] = "/tmp/chimera-test-log-XXXXXX";
static char path[64], err[300];
static int real_stderr;

/* ---- help ---- */

static void start(const char *target, int format, size_t ring)
{
	struct chi_log_setup conf = { .level = CH_INFO, .format = format, .target = target, .ring = ring };

	if (!chi_log_start(&conf, err, sizeof(err)))
		fail_msg("%s", err);
}

/* The whole file, to be freed; its length in *n. */
static char *read_all(const char *name, size_t *n)
{
	int fd = open(name, O_RDONLY);
	char *p = malloc(1 << 22);
	ssize_t got;

	assert_true(fd >= 0 && p);
	for (*n = 0; (got = read(fd, p + *n, (1 << 22) - 1 - *n)) > 0; *n += (size_t)got)
		;
	close(fd);
	p[*n] = '\0';
	return p;
}

/* Stops the log and gives what the file holds. */
static char *finish(size_t *n)
{
	assert_true(chi_log_flush(PATIENCE_MS));
	chi_log_stop(PATIENCE_MS);
	return read_all(path, n);
}

static size_t count_lines(const char *p)
{
	size_t n = 0;

	for (; (p = strchr(p, '\n')); p++)
		n++;
	return n;
}

/* The value of a member of the first line, as it is written there without quotes; "" if it is not there. */
static const char *member(const char *line, const char *name)
{
	static char value[2048];
	struct ch_json j;
	struct ch_json_tok tok;

	value[0] = '\0';
	ch_json_init(&j, line, strcspn(line, "\n"), 0, 0);
	while (ch_json_next(&j, &tok) > 0) {
		if (tok.type != CH_JSON_KEY || !ch_json_eq(&tok, name))
			continue;
		ch_json_next(&j, &tok);
		snprintf(value, sizeof(value), "%.*s", (int)tok.len, tok.s);
		return value;
	}
	return value;
}

static double dropped_now;

static void see_dropped(void *arg, const struct ch_sample *s)
{
	(void)arg;
	if (!strcmp(s->family->name, "chimera_log_dropped_total"))
		dropped_now = s->value;
}

static double dropped(void)
{
	chi_metrics_walk(see_dropped, NULL);
	return dropped_now;
}

/* Puts fd in the place of stderr until normal_stderr. */
static void other_stderr(int fd)
{
	if (fd >= 0)
		assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	else
		close(STDERR_FILENO);
}

static void normal_stderr(void)
{
	dup2(real_stderr, STDERR_FILENO);
}

static int fresh(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

/* ---- the line ---- */

static void a_json_line_has_the_fields_in_their_order(void **state)
{
	const struct chi_log_kv kv[] = { { "http.route", CHI_LOG_STR, { .s = CH_STR("/v1/{id}") } }, { "tries", CHI_LOG_INT,
		{ .i = INT64_MIN } },
		{ "load", CHI_LOG_DOUBLE, { .d = 0.1 } }, { "ok", CHI_LOG_BOOL, { .b = true } }, { "empty", CHI_LOG_STR, { .s = { NULL,
			0 } } } };
	const struct chi_log_fields fields = { .plugin = "auth", .req_id = "r-1", .trace_id = "00ff", .kv = kv, .nkv = 5 };
	struct tm tm = { 0 };
	int used = 0;
	char *text, *after;
	size_t n;

	(void)state;
	start(path, CHI_LOG_JSON, 0);
	chi_log(CH_WARN, &fields, "say \"%s\"", "a\\b");
	text = finish(&n);
	assert_int_equal(sscanf(text, "{\"ts\":\"%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		&tm.tm_sec,
				&used), 6);
	tm.tm_year -= 1900;
	tm.tm_mon--;
	after = text + used;
	assert_true(llabs((long long)timegm(&tm) - (long long)time(NULL)) < 60);
	assert_true(after[0] == '.' && strspn(after + 1, "0123456789") == 6);
	assert_string_equal(after + 7,
		"Z\",\"lvl\":\"warn\",\"msg\":\"say \\\"a\\\\b\\\"\",\"plugin\":\"auth\",\"req_id\":\"r-1\",\"trace_id\":\"00ff\","
			    "\"http.route\":\"/v1/{id}\",\"tries\":-9223372036854775808,\"load\":0.1,\"ok\":true}\n");
	free(text);
}

static void a_text_line_reads_like_a_sentence(void **state)
{
	const struct chi_log_kv kv[] = { { "key", CHI_LOG_STR, { .s = CH_STR("value") } }, { "said", CHI_LOG_STR,
		{ .s = CH_STR("a \"b\"\n") } } };
	const struct chi_log_fields fields = { .plugin = "auth", .kv = kv, .nkv = 2 };
	char *text, *second;
	size_t n;

	(void)state;
	start(path, CHI_LOG_TEXT, 0);
	chi_log(CH_INFO, &fields, "message");
	chi_log(CH_ERR, NULL, "bad");
	text = finish(&n);
	assert_true(strspn(text, "0123456789:.") == 12 && text[2] == ':' && text[5] == ':' && text[8] == '.');
	second = strchr(text, '\n') + 1;
	assert_true(strspn(second, "0123456789:.") == 12);
	assert_string_equal(second + 12, " ERROR bad\n");
	*second = '\0';
	assert_string_equal(text + 12, " INFO  auth: message key=value said=\"a \\\"b\\\"\\n\"\n");
	free(text);
}

static void a_line_by_hand_is_the_same_line(void **state)
{
	struct chi_line l;
	char *text;
	size_t n;

	(void)state;
	start(path, CHI_LOG_JSON, 0);
	chi_line_begin(&l, CH_INFO, NULL, "access", 6);
	chi_line_micros(&l, "duration_s", 1234);
	chi_line_micros(&l, "long_s", 61000001);
	chi_line_micros(&l, "back_s", -1);
	chi_line_int(&l, "http.response.status_code", 200);
	chi_line_end(&l);
	text = finish(&n);
	assert_string_equal(strchr(text, 'Z'),
		"Z\",\"lvl\":\"info\",\"msg\":\"access\",\"duration_s\":0.001234,\"long_s\":61.000001,\"back_s\":-0.000001,"
			    "\"http.response.status_code\":200}\n");
	free(text);
}

static void one_event_is_one_line_whatever_the_bytes(void **state)
{
	struct chi_log_kv kv = { "path", CHI_LOG_STR, { .s = { NULL, 0 } } };
	const struct chi_log_fields fields = { .plugin = "x", .kv = &kv, .nkv = 1 };
	char bytes[256 * 3], *text, *line, *end;
	unsigned lines = 0, format, i;
	size_t n, pos;
	const char *why;

	(void)state;
	for (format = CHI_LOG_JSON; format <= CHI_LOG_TEXT; format++) {
		unlink(path);
		start(path, (int)format, 0);
		for (i = 0; i < 256; i++) {
			memset(bytes, (int)i, 3);
			bytes[3] = (char)(i * 7);
			kv.s = (struct ch_str){ bytes, 4 };
			chi_log(CH_INFO, &fields, "%c\r\n\x1b[31m%c", (int)i, (int)i);
		}
		for (i = 0; i < sizeof(bytes); i++)
			bytes[i] = (char)(i % 256);
		kv.s = (struct ch_str){ bytes, sizeof(bytes) };
		chi_log(CH_INFO, &fields, "%.*s", 255, bytes + 1);
		text = finish(&n);
		assert_int_equal(count_lines(text), 257);
		assert_int_equal(strlen(text), n); /* no NUL */
		for (line = text; *line; line = end + 1) {
			end = strchr(line, '\n');
			for (i = 0; line + i < end; i++)
				assert_true((unsigned char)line[i] >= 0x20);
			if (format == CHI_LOG_JSON && !ch_json_valid(line, (size_t)(end - line), 0, 0, &pos, &why))
				fail_msg("%s at %zu of %.*s", why, pos, (int)(end - line), line);
			lines++;
		}
		free(text);
	}
	assert_int_equal(lines, 514);
}

static void invalid_utf8_is_replaced_and_terminal_controls_are_escaped(void **state)
{
	char *text;
	size_t n;

	(void)state;
	start(path, CHI_LOG_JSON, 0);
	chi_log(CH_INFO, NULL, "é\xff\xc0\xaf\xe2\x82|\xc2\x9b" "31m\x1b\xf0\x9f\x90\x89");
	text = finish(&n);
	assert_string_equal(member(text, "msg"),
		"é\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\\u009b31m\\u001b\xf0\x9f\x90\x89");
	free(text);
}

static void a_field_is_cut_at_1024_bytes_between_characters(void **state)
{
	char many[4000], want[1100];
	struct chi_log_kv kv = { "v", CHI_LOG_STR, { .s = { many, 3001 } } };
	const struct chi_log_fields fields = { .kv = &kv, .nkv = 1 };
	char *text, *line;
	size_t n;
	int i;

	(void)state;
	start(path, CHI_LOG_JSON, 0);
	memset(many, 'a', sizeof(many));
	many[3999] = '\0';
	kv.s.n = 1024;
	chi_log(CH_INFO, &fields, "%s", many); /* the message is cut, the field fits */
	for (i = 0; i < 3000; i += 3)
		memcpy(many + i, "€", 3); /* 1,024 is no multiple of 3 */
	kv.s.n = 3000;
	chi_log(CH_INFO, &fields, "m");
	memset(many, 1, sizeof(many)); /* written as \u0001: 170 of them are 1,020 bytes */
	chi_log(CH_INFO, &fields, "m");
	text = line = finish(&n);

	memset(want, 'a', 1024);
	strcpy(want + 1024, "…");
	assert_string_equal(member(line, "msg"), want);
	want[1024] = '\0';
	assert_string_equal(member(line, "v"), want);
	line = strchr(line, '\n') + 1;
	for (i = 0; i < 341 * 3; i += 3)
		memcpy(want + i, "€", 3);
	strcpy(want + 341 * 3, "…");
	assert_string_equal(member(line, "v"), want);
	line = strchr(line, '\n') + 1;
	for (i = 0; i < 170 * 6; i += 6)
		memcpy(want + i, "\\u0001", 6);
	strcpy(want + 170 * 6, "…");
	assert_string_equal(member(line, "v"), want);
	free(text);
}

static void a_line_with_too_much_says_that_it_is_cut(void **state)
{
	static char many[1500];
	struct chi_log_kv kv[20];
	const struct chi_log_fields fields = { .kv = kv, .nkv = 20 };
	const char *why;
	char *text;
	size_t n, pos;
	int i;

	(void)state;
	memset(many, 'b', sizeof(many));
	for (i = 0; i < 20; i++)
		kv[i] = (struct chi_log_kv){ "v", CHI_LOG_STR, { .s = { many, sizeof(many) } } };
	start(path, CHI_LOG_JSON, 0);
	chi_log(CH_INFO, &fields, "m");
	text = finish(&n);
	assert_int_equal(count_lines(text), 1);
	assert_true(n <= CHI_LINE_MAX);
	assert_true(ch_json_valid(text, n - 1, 0, 0, &pos, &why));
	assert_string_equal(member(text, "cut"), "true");
	free(text);
}

static void levels_below_are_not_written_and_change_at_run_time(void **state)
{
	char *text;
	size_t n;

	(void)state;
	start(path, CHI_LOG_JSON, 0);
	assert_false(chi_log_on(CH_DEBUG));
	chi_log(CH_DEBUG, NULL, "no");
	chi_log(CH_INFO, NULL, "one");
	chi_log_level_set(CH_ERR);
	chi_log(CH_WARN, NULL, "no");
	chi_log(CH_ERR, NULL, "two");
	chi_log_level_set(CH_DEBUG);
	chi_log(CH_DEBUG, NULL, "three");
	text = finish(&n);
	assert_int_equal(count_lines(text), 3);
	assert_null(strstr(text, "\"no\""));
	assert_non_null(strstr(text, "\"one\""));
	assert_non_null(strstr(text, "\"two\""));
	assert_non_null(strstr(text, "\"three\""));
	free(text);
}

/* ---- the way ---- */

static void *log_many(void *arg)
{
	int i;

	for (i = 0; i < 5000; i++)
		chi_log(CH_INFO, NULL, "line %d of %s, and then some text that makes it longer", i, (char *)arg);
	return NULL;
}

static void lines_of_many_threads_arrive_whole(void **state)
{
	static char *const names[] = { "a", "b", "c", "d" };
	double before = dropped();
	pthread_t t[4];
	char *text, *line, *end;
	const char *why;
	size_t n, pos, lines = 0, notices = 0;
	int i;

	(void)state;
	start(path, CHI_LOG_JSON, 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, log_many, names[i]), 0);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	text = finish(&n);
	for (line = text; *line; line = end + 1) {
		end = strchr(line, '\n');
		assert_true(ch_json_valid(line, (size_t)(end - line), 0, 0, &pos, &why));
		lines++;
		notices += strcmp(member(line, "dropped"), "") != 0;
	}
	assert_true((double)(lines - notices) + dropped() - before == 20000);
	free(text);
}

static void after_a_rename_reopen_goes_on_under_the_name(void **state)
{
	char old[80], *text;
	size_t n;

	(void)state;
	snprintf(old, sizeof(old), "%s.1", path);
	start(path, CHI_LOG_JSON, 0);
	chi_log(CH_INFO, NULL, "before");
	assert_true(chi_log_flush(PATIENCE_MS));
	assert_int_equal(rename(path, old), 0);
	chi_log(CH_INFO, NULL, "between");
	assert_true(chi_log_flush(PATIENCE_MS));
	chi_log_reopen();
	chi_log(CH_INFO, NULL, "behind");
	text = finish(&n);
	assert_string_equal(member(text, "msg"), "behind");
	assert_int_equal(count_lines(text), 1);
	free(text);
	text = read_all(old, &n);
	assert_int_equal(count_lines(text), 2);
	free(text);
	unlink(old);
}

static void a_file_that_cannot_be_opened_again_keeps_the_old_one(void **state)
{
	char old[80], *text;
	size_t n;

	(void)state;
	snprintf(old, sizeof(old), "%s.1", path);
	start(path, CHI_LOG_JSON, 0);
	chi_log(CH_INFO, NULL, "before");
	assert_true(chi_log_flush(PATIENCE_MS));
	assert_int_equal(rename(path, old), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	chi_log_reopen();
	chi_log(CH_INFO, NULL, "behind");
	assert_true(chi_log_flush(PATIENCE_MS));
	chi_log_stop(PATIENCE_MS);
	assert_int_equal(rmdir(path), 0);
	text = read_all(old, &n);
	assert_non_null(strstr(text, "\"behind\""));
	assert_non_null(strstr(text, "could not be opened again"));
	free(text);
	unlink(old);
}

static void a_target_in_no_folder_is_refused_in_one_sentence(void **state)
{
	struct chi_log_setup conf = { .target = "/no/such/folder/chimera.log" };

	(void)state;
	assert_false(chi_log_start(&conf, err, sizeof(err)));
	assert_non_null(strstr(err, "\"/no/such/folder/chimera.log\" cannot be opened for writing: No such file"));
}

static void when_the_reader_stops_nobody_waits_and_the_lost_are_counted(void **state)
{
	static char text[1 << 22];
	double before = dropped(), lost, told = 0;
	size_t n = 0, notices = 0;
	ssize_t got;
	unsigned lines = 0;
	int fds[2], i;
	char *line;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	other_stderr(fds[1]);
	start("stderr", CHI_LOG_JSON, 64 * 1024);
	normal_stderr();
	do /* the pipe takes 64 KiB, and nobody reads */
		chi_log(CH_INFO, NULL, "line %u", ++lines);
	while (chi_log_flush(1) && lines < 10000);
	assert_true(lines < 10000);
	for (i = 0; i < 5000; i++) /* 400 KB more than writer and ring can hold: each call returns all the same */
		chi_log(CH_INFO, NULL, "line %u", ++lines);
	lost = dropped() - before;
	assert_true(lost > 1000 && lost < 5000);

	fcntl(fds[0], F_SETFL, O_NONBLOCK); /* the reader is back */
	for (;;) {
		bool flushed = chi_log_flush(1);

		while ((got = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0)
			n += (size_t)got;
		if (flushed)
			break;
	}
	chi_log_stop(PATIENCE_MS);
	close(fds[1]);
	while ((got = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	close(fds[0]);
	text[n] = '\0';
	for (line = text; *line; line = strchr(line, '\n') + 1) {
		if (!strstr(member(line, "msg"), "log lines were dropped"))
			continue;
		notices++; /* a second one if the first was on its way already while lines were dropped */
		told += atof(member(line, "dropped"));
	}
	assert_true(notices == 1 || notices == 2);
	assert_true(told == lost);
	assert_true((double)(count_lines(text) - notices) + lost == lines);
}

static void stop_returns_although_the_pipe_is_full(void **state)
{
	double before = dropped();
	int fds[2], i;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	other_stderr(fds[1]);
	start("stderr", CHI_LOG_JSON, 0);
	normal_stderr();
	for (i = 0; i < 5000; i++)
		chi_log(CH_INFO, NULL, "line %d", i);
	chi_log_stop(1);
	assert_true(dropped() > before);
	close(fds[0]);
	close(fds[1]);
}

static void a_reader_that_left_and_a_closed_stderr_are_survived(void **state)
{
	double before = dropped();
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	other_stderr(fds[1]);
	start("stderr", CHI_LOG_JSON, 0);
	close(fds[0]);
	other_stderr(-1);
	close(fds[1]);
	chi_log(CH_INFO, NULL, "into the void");
	assert_true(chi_log_flush(PATIENCE_MS));
	chi_log_stop(PATIENCE_MS);

	start("stderr", CHI_LOG_JSON, 0);
	chi_log(CH_INFO, NULL, "into nothing at all");
	assert_true(chi_log_flush(PATIENCE_MS));
	chi_log_stop(PATIENCE_MS);
	normal_stderr();
	assert_true(dropped() == before + 2);
}

static void a_full_disk_is_survived_and_counted(void **state)
{
	double before = dropped();

	(void)state;
	start("/dev/full", CHI_LOG_JSON, 0);
	chi_log(CH_INFO, NULL, "one");
	assert_true(chi_log_flush(PATIENCE_MS));
	chi_log(CH_INFO, NULL, "two");
	assert_true(chi_log_flush(PATIENCE_MS));
	chi_log_stop(PATIENCE_MS);
	assert_true(dropped() == before + 2);
}

static void a_line_torn_by_a_full_disk_ends_before_the_next(void **state)
{
	struct rlimit all, little;
	double before = dropped();
	char *text, *line;
	size_t n, pos;
	const char *why;
	int i;

	(void)state;
	getrlimit(RLIMIT_FSIZE, &all);
	little = all;
	little.rlim_cur = 1000;
	start(path, CHI_LOG_JSON, 0);
	setrlimit(RLIMIT_FSIZE, &little);
	for (i = 0; i < 30; i++)
		chi_log(CH_INFO, NULL, "line %02d", i);
	chi_log_flush(PATIENCE_MS);
	setrlimit(RLIMIT_FSIZE, &all);
	chi_log(CH_INFO, NULL, "room again");
	text = finish(&n);
	line = strstr(text, "room again");
	assert_non_null(line);
	while (line[-1] != '\n')
		line--;
	assert_true(ch_json_valid(line, strcspn(line, "\n"), 0, 0, &pos, &why));
	assert_true(text[999] == '\n' || text[1000] == '\n'); /* 1,000 bytes had room */
	assert_true(dropped() > before && dropped() < before + 30);
	line = strstr(text, "log lines were dropped");
	assert_non_null(line);
	while (line[-1] != '\n')
		line--;
	assert_true(atof(member(line, "dropped")) == dropped() - before);
	free(text);
}

static void before_start_lines_go_straight_to_stderr(void **state)
{
	char text[200];
	int fds[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	other_stderr(fds[1]);
	chi_log(CH_ERR, NULL, "no such file");
	normal_stderr();
	n = read(fds[0], text, sizeof(text) - 1);
	assert_int_equal(n, 12 + 20);
	text[n] = '\0';
	assert_string_equal(text + 12, " ERROR no such file\n");
	close(fds[0]);
	close(fds[1]);
}

static void the_journal_gets_its_own_datagrams(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct chi_log_setup conf = { .level = CH_INFO, .target = "stderr", .journal = at.sun_path };
	const struct chi_log_kv kv = { "http.route", CHI_LOG_STR, { .s = CH_STR("/a\nPRIORITY=0") } };
	const struct chi_log_fields fields = { .plugin = "auth", .req_id = "r-1", .trace_id = "00ff", .kv = &kv, .nkv = 1 };
	int sock = socket(AF_UNIX, SOCK_DGRAM, 0), fds[2];
	char stream[60], text[1000];
	struct stat st;
	ssize_t n;

	(void)state;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/journal", folder);
	assert_int_equal(bind(sock, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fstat(fds[1], &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	other_stderr(fds[1]);
	assert_true(chi_log_start(&conf, err, sizeof(err)));
	normal_stderr();
	chi_log(CH_WARN, &fields, "two\nlines");
	chi_log(CH_INFO, NULL, "next");
	n = recv(sock, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text,
		"PRIORITY=4\nSYSLOG_IDENTIFIER=chimerad\nMESSAGE=auth: two\\nlines\nCHIMERA_PLUGIN=auth\nCHIMERA_REQUEST_ID=r-1\n"
			    "CHIMERA_TRACE_ID=00ff\nCHIMERA_HTTP_ROUTE=/a\\nPRIORITY=0\n");
	n = recv(sock, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, "PRIORITY=6\nSYSLOG_IDENTIFIER=chimerad\nMESSAGE=next\n");
	chi_log_stop(PATIENCE_MS);

	setenv("JOURNAL_STREAM", "1:1", 1); /* somebody else's */
	other_stderr(fds[1]);
	assert_true(chi_log_start(&conf, err, sizeof(err)));
	normal_stderr();
	chi_log(CH_INFO, NULL, "plain");
	chi_log_stop(PATIENCE_MS);
	n = read(fds[0], text, sizeof(text) - 1);
	assert_true(n > 0 && text[0] == '{');
	unsetenv("JOURNAL_STREAM");
	unlink(at.sun_path);
	close(sock);
	close(fds[0]);
	close(fds[1]);
}

/* Not a test: what an access line costs its caller, see COST.md (33 ns without the clock). */
static void cost(void **state)
{
	struct timespec a, b;
	struct chi_line l;
	double ns = 0;
	int round, i;

	(void)state;
	start("/dev/null", CHI_LOG_JSON, 0);
	for (round = 0; round < 5; round++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		for (i = 0; i < 1000; i++) {
			chi_line_begin(&l, CH_INFO, NULL, "access", 6);
			chi_line_str(&l, "req_id", "0190c6a5-7d3e-7c1b-9f00-0123456789ab", 36);
			chi_line_str(&l, "http.request.method", "POST", 4);
			chi_line_str(&l, "http.route", "/v1/chat/completions", 20);
			chi_line_int(&l, "http.response.status_code", 200);
			chi_line_micros(&l, "duration_s", i);
			chi_line_end(&l);
		}
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns += (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
		assert_true(chi_log_flush(PATIENCE_MS));
	}
	print_message("an access line of %zu bytes, clock and ring included: %.0f ns\n", l.n, ns / (round * 1000));
	chi_log_stop(PATIENCE_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(before_start_lines_go_straight_to_stderr, fresh),
		cmocka_unit_test_setup(a_json_line_has_the_fields_in_their_order, fresh),
		cmocka_unit_test_setup(a_text_line_reads_like_a_sentence, fresh),
		cmocka_unit_test_setup(a_line_by_hand_is_the_same_line, fresh),
		cmocka_unit_test_setup(one_event_is_one_line_whatever_the_bytes, fresh),
		cmocka_unit_test_setup(invalid_utf8_is_replaced_and_terminal_controls_are_escaped, fresh),
		cmocka_unit_test_setup(a_field_is_cut_at_1024_bytes_between_characters, fresh),
		cmocka_unit_test_setup(a_line_with_too_much_says_that_it_is_cut, fresh),
		cmocka_unit_test_setup(levels_below_are_not_written_and_change_at_run_time, fresh),
		cmocka_unit_test_setup(lines_of_many_threads_arrive_whole, fresh),
		cmocka_unit_test_setup(after_a_rename_reopen_goes_on_under_the_name, fresh),
		cmocka_unit_test_setup(a_file_that_cannot_be_opened_again_keeps_the_old_one, fresh),
		cmocka_unit_test_setup(a_target_in_no_folder_is_refused_in_one_sentence, fresh),
		cmocka_unit_test_setup(when_the_reader_stops_nobody_waits_and_the_lost_are_counted, fresh),
		cmocka_unit_test_setup(stop_returns_although_the_pipe_is_full, fresh),
		cmocka_unit_test_setup(a_reader_that_left_and_a_closed_stderr_are_survived, fresh),
		cmocka_unit_test_setup(a_full_disk_is_survived_and_counted, fresh),
		cmocka_unit_test_setup(a_line_torn_by_a_full_disk_ends_before_the_next, fresh),
		cmocka_unit_test_setup(the_journal_gets_its_own_datagrams, fresh),
		cmocka_unit_test_setup(cost, fresh),
	};
	int failed;

	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/log", folder);
	real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
	unsetenv("JOURNAL_STREAM");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	rmdir(folder);
	return failed;
}
