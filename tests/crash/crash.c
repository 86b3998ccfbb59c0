/* SPDX-License-Identifier: Apache-2.0 */
/* crash.c - see crash.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"

static void die(const char *what)
{
	perror(what);
	exit(2);
}

uint64_t crash_seed(void)
{
	static uint64_t seed;
	const char *text = getenv("CHIMERA_SEED");

	if (!seed) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		seed = text && *text ? strtoull(text, NULL, 10) : (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
		printf("CHIMERA_SEED=%" PRIu64 " repeats this\n", seed);
	}
	return seed;
}

bool crash_possible(void)
{
	const char *sanitizers = getenv("CHIMERA_SANITIZERS");

	return !sanitizers || !strstr(sanitizers, "thread");
}

void crash_remove(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	char path[PATH_MAX];

	while (dir && (e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (unlink(path))
			crash_remove(path);
	}
	if (dir)
		closedir(dir);
	rmdir(folder);
}

/* The folder of the run under way; a test that fails leaves nothing, but with CRASH_KEEP. */
static char base[128];

static void remove_base(void)
{
	if (base[0] && !getenv("CRASH_KEEP"))
		crash_remove(base);
	base[0] = 0;
}

/* ---- recording ---- */

static void own_path(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);

	if (n < 0)
		die("/proc/self/exe");
	out[n] = 0;
}

/* Beside this program, where libtool puts it. */
static void find_shim(char out[PATH_MAX + 32])
{
	char self[PATH_MAX];

	own_path(self);
	snprintf(out, PATH_MAX + 32, "%s/.libs/shim.so", dirname(self));
	if (access(out, R_OK))
		die(out);
}

static void set(const char *name, const char *value)
{
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

static void start_writer(const struct crash_plan *plan, uint64_t seed)
{
	char self[PATH_MAX], shim[PATH_MAX + 32], live[256], trace[256], number[32], fail[32], asan[512];
	const char *options = getenv("ASAN_OPTIONS");

	own_path(self);
	find_shim(shim);
	snprintf(live, sizeof(live), "%s/live", base);
	snprintf(trace, sizeof(trace), "%s/trace", base);
	snprintf(number, sizeof(number), "%" PRIu64, seed);
	snprintf(fail, sizeof(fail), "%u", plan->fail);
	snprintf(asan, sizeof(asan), "%s%sverify_asan_link_order=0", options ? options : "", options && *options ? ":" : "");
	set("ASAN_OPTIONS", asan);
	set("LD_PRELOAD", shim);
	set("CRASH_FOLDER", live);
	set("CRASH_TRACE", trace);
	set("CRASH_SKIP", plan->skip);
	set("CRASH_FAIL", plan->fail ? fail : NULL);
	execl(self, self, "write", live, number, plan->word, (char *)NULL);
	_exit(127);
}

static void record(const struct crash_plan *plan, uint64_t seed)
{
	char live[256];
	int status;
	pid_t child;

	snprintf(live, sizeof(live), "%s/live", base);
	if (mkdir(live, 0700))
		die(live);
	fflush(stdout);
	child = fork();
	if (child < 0)
		die("fork");
	if (!child)
		start_writer(plan, seed);
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "crash: the writer \"%s\" failed with status %x\n", plan->word, (unsigned)status);
		exit(2);
	}
}

/* ---- states ---- */

static struct crash_known known_at(const struct trace *t, size_t until)
{
	struct crash_known k = { 0 };

	for (size_t i = 0; i < until; i++) {
		const struct trace_event *e = &t->events[i];
		uint64_t *v = e->file == TRACE_TRIES ? &k.tries : e->file == TRACE_HAS ? &k.has : &k.passes;

		if (e->op == TRACE_MARK && e->at > *v)
			*v = e->at;
	}
	return k;
}

/* Half of the moments are right behind an acknowledgement, where a lie shows first. */
static size_t moment(const struct trace *t, uint64_t *seed)
{
	size_t at = (size_t)(crash_random(seed) % (t->n + 1));

	if (crash_random(seed) % 2)
		while (at < t->n && !(at && t->events[at - 1].op == TRACE_MARK && t->events[at - 1].file == TRACE_HAS))
			at++;
	return at;
}

/* Flips a bit of a file below what it holds; false: it holds nothing. */
static bool flip_bit(const char *path, uint64_t *seed)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	unsigned char *p;
	size_t n;
	bool done = false;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	n = (size_t)st.st_size;
	p = malloc(n + 1);
	if (!p || pread(fd, p, n, 0) != (ssize_t)n)
		die(path);
	while (n && !p[n - 1])
		n--;
	if (n) {
		size_t at = (size_t)(crash_random(seed) % n);

		p[at] ^= (unsigned char)(1u << crash_random(seed) % 8);
		done = pwrite(fd, p + at, 1, (off_t)at) == 1;
	}
	free(p);
	close(fd);
	return done;
}

/* One to three bits in one of the files. */
static bool flip(const struct crash_plan *plan, const char *folder, uint64_t *seed)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	char path[PATH_MAX] = "";
	unsigned n = 0;
	bool done = false;

	while (dir && (e = readdir(dir)))
		if (strstr(e->d_name, plan->flip_in) && crash_random(seed) % ++n == 0)
			snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
	if (dir)
		closedir(dir);
	for (uint64_t times = 1 + crash_random(seed) % 3; path[0] && times; times--)
		done |= flip_bit(path, seed);
	return done;
}

static void one_state(const struct crash_plan *plan, const struct trace *t, uint64_t *seed, struct crash_result *r)
{
	static const char *const modes[] = { "least", "prefix", "pages", "all" };
	enum state_mode mode = (enum state_mode)(crash_random(seed) % STATE_MODES);
	size_t until = moment(t, seed);
	struct crash_known known = known_at(t, until);
	char folder[256], why[400] = "";
	bool flipped;

	snprintf(folder, sizeof(folder), "%s/state", base);
	if (mkdir(folder, 0700))
		die(folder);
	state_make(t, until, mode, seed, folder);
	flipped = crash_random(seed) % 100 < plan->flips && flip(plan, folder, seed);
	r->flipped += flipped;
	if (!plan->judge(folder, &known, flipped, why, sizeof(why)) && !r->bad++)
		snprintf(r->first, sizeof(r->first), "state %u, after %zu of %zu events, mode %s%s: %s", r->states, until, t->n, modes[mode],
			 flipped ? ", flipped" : "", why);
	r->states++;
	if (getenv("CRASH_KEEP") && r->bad)
		exit(3); /* its folder stays, to be looked at */
	crash_remove(folder);
}

struct crash_result crash_run(const struct crash_plan *plan)
{
	const char *many = getenv("CHIMERA_CRASH_STATES");
	unsigned states = plan->states ? plan->states : many && *many ? (unsigned)atoi(many) : 150;
	static uint64_t runs;
	uint64_t seed = crash_seed() + runs * 1000003;
	struct crash_result r = { 0 };
	char path[256];
	struct trace t;

	if (!runs)
		atexit(remove_base);
	/* In memory: thousands of files, none of which must last. */
	snprintf(base, sizeof(base), "%s/crash.XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(base))
		die(base);
	runs++;
	record(plan, seed);
	snprintf(path, sizeof(path), "%s/trace", base);
	trace_load(&t, path);
	r.events = t.n;
	for (size_t i = 0; i < t.n; i++)
		r.synced += t.events[i].op == TRACE_SYNCED;
	r.acknowledged = known_at(&t, t.n).has;
	for (unsigned i = 0; i < states; i++)
		one_state(plan, &t, &seed, &r);
	trace_free(&t);
	remove_base();
	printf("%s%s%s%s%u: %zu events, %zu syncs, %" PRIu64 " acknowledged; %u states, %u flipped, %u bad%s%s\n", plan->word,
	       plan->skip ? " without syncs of kind " : "", plan->skip ? plan->skip : "", ", failing sync ", plan->fail, r.events, r.synced,
	       r.acknowledged, r.states, r.flipped, r.bad, r.bad ? ": " : "", r.first);
	return r;
}
