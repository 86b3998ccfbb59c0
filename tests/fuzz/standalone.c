/* SPDX-License-Identifier: MIT */
/*
 * Drives a fuzz harness without libFuzzer, so that every `make check` fuzzes, with any compiler:
 *
 *   fuzz_x SEED_FOLDER [DICTIONARY]   FUZZ_ITERATIONS (default 50000) mutations of the seeds, then the seeds as they are
 *   fuzz_x FILE...                    those inputs only: replays a crash
 *
 * The same FUZZ_SEED (default 1) gives the same inputs. After a crash the input is in crash-<name> in the current folder.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX 4096

struct input {
	size_t len;
	uint8_t *bytes;
};

struct inputs {
	size_t n;
	struct input *all;
};

/* What runs now, for the crash handler. */
static struct {
	char name[128];
	char file[160];
	uint64_t seed;
	uint64_t iteration;
	const uint8_t *bytes;
	size_t len;
} now;

/* ---- crashes ---- */

/* Called by a signal or by a sanitizer on its way out: no allocation and no stdio streams. */
static void save_input(void)
{
	static volatile sig_atomic_t saved;
	char text[512];
	int len;
	int fd;

	if (saved || !now.bytes)
		return;
	saved = 1;
	fd = open(now.file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0) {
		for (size_t done = 0; done < now.len;) {
			ssize_t n = write(fd, now.bytes + done, now.len - done);

			if (n <= 0)
				break;
			done += (size_t)n;
		}
		close(fd);
	}
	len = snprintf(text, sizeof(text), "fuzz %s: crash in iteration %" PRIu64 ", seed %" PRIu64 ": input of %zu bytes is in %s\n",
		       now.name, now.iteration, now.seed, now.len, fd >= 0 ? now.file : "no file (cannot be written)");
	if (len > 0 && write(STDERR_FILENO, text, (size_t)len) < 0)
		_exit(1);
}

static void on_signal(int sig)
{
	save_input();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* Only there in a program built with a sanitizer, which then reports SIGSEGV and its like better than we would. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void catch_crashes(void)
{
	static const int fatal[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGALRM };
	size_t n = sizeof(fatal) / sizeof(fatal[0]);

	if (__sanitizer_set_death_callback) {
		__sanitizer_set_death_callback(save_input);
		n = 1; /* SIGABRT: FUZZ_CHECK */
	}
	for (size_t i = 0; i < n; i++)
		signal(fatal[i], on_signal);
	signal(SIGALRM, on_signal); /* an input that takes a minute is a crash too */
}

static void run(const uint8_t *bytes, size_t len)
{
	char *copy = fuzz_copy(bytes, len);

	now.bytes = bytes;
	now.len = len;
	LLVMFuzzerTestOneInput((const uint8_t *)copy, len);
	now.bytes = NULL;
	free(copy);
}

/* ---- reading ---- */

static void *must(void *p)
{
	if (!p) {
		perror("fuzz");
		exit(2);
	}
	return p;
}

static void add(struct inputs *list, const void *bytes, size_t len)
{
	list->all = must(realloc(list->all, (list->n + 1) * sizeof(list->all[0])));
	list->all[list->n++] = (struct input){ len, (uint8_t *)fuzz_copy(bytes, len) };
}

static void forget(struct inputs *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->all[i].bytes);
	free(list->all);
}

static void add_file(struct inputs *list, const char *path)
{
	FILE *f = must(fopen(path, "rb"));
	char *bytes = NULL;
	size_t len = 0;
	size_t got;

	do {
		bytes = must(realloc(bytes, len + INPUT_MAX));
		got = fread(bytes + len, 1, INPUT_MAX, f);
		len += got;
	} while (got);
	fclose(f);
	add(list, bytes, len);
	free(bytes);
}

static int is_seed(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* In the order of names, so that a seed number means the same inputs everywhere. */
static void add_folder(struct inputs *list, const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, is_seed, alphasort);

	if (n < 0)
		must(NULL);
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		add_file(list, file);
		free(entries[i]);
	}
	free(entries);
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* One line of a libFuzzer dictionary: [name=]"text", with \\, \" and \xAB in the text. Returns 0 if it is malformed. */
static int add_token(struct inputs *list, const char *line)
{
	uint8_t token[256];
	size_t len = 0;
	const char *s = strchr(line, '"');

	line += strspn(line, " \t\r\n");
	if (*line == '#' || *line == 0)
		return 1;
	if (!s)
		return 0;
	for (s++; *s && *s != '"' && len < sizeof(token); s++) {
		if (*s != '\\') {
			token[len++] = (uint8_t)*s;
		} else if (s[1] == 'x' && isxdigit((unsigned char)s[2]) && isxdigit((unsigned char)s[3])) {
			token[len++] = (uint8_t)(hex_digit(s[2]) << 4 | hex_digit(s[3]));
			s += 3;
		} else if (s[1] == '\\' || s[1] == '"') {
			token[len++] = (uint8_t)*++s;
		} else {
			return 0;
		}
	}
	if (*s != '"' || len == 0)
		return 0;
	add(list, token, len);
	return 1;
}

static void add_dictionary(struct inputs *list, const char *path)
{
	FILE *f = must(fopen(path, "r"));
	char line[1024];
	int number = 0;

	while (fgets(line, sizeof(line), f)) {
		number++;
		if (!add_token(list, line)) {
			fprintf(stderr, "%s:%d: not a dictionary line: [name=]\"text\" expected\n", path, number);
			exit(2);
		}
	}
	fclose(f);
}

/* ---- mutations ---- */

static uint64_t random_state;

/* splitmix64 */
static uint64_t random_bits(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* 0 to n - 1; 0 if n is 0. */
static size_t below(size_t n)
{
	return n ? (size_t)(random_bits() % n) : 0;
}

/* Replaces bytes[at..at+drop) by the given ones. Returns the new length; does nothing if that would be over INPUT_MAX. */
static size_t replace(uint8_t *bytes, size_t len, size_t at, size_t drop, const uint8_t *with, size_t with_len)
{
	if (drop > len - at)
		drop = len - at;
	if (len - drop + with_len > INPUT_MAX)
		return len;
	memmove(bytes + at + with_len, bytes + at + drop, len - at - drop);
	if (with_len)
		memcpy(bytes + at, with, with_len);
	return len - drop + with_len;
}

static size_t insert_random(uint8_t *bytes, size_t len)
{
	uint8_t some[16];
	size_t n = 1 + below(sizeof(some));

	for (size_t i = 0; i < n; i++)
		some[i] = (uint8_t)random_bits();
	return replace(bytes, len, below(len + 1), below(2) * below(8), some, n);
}

/* A part of a seed, over or between what is there. */
static size_t cross_over(uint8_t *bytes, size_t len, const struct inputs *from)
{
	const struct input *other;
	size_t start;
	size_t n;

	if (from->n == 0)
		return insert_random(bytes, len);
	other = &from->all[below(from->n)];
	start = below(other->len);
	n = other->len ? 1 + below(other->len - start) : 0;
	return replace(bytes, len, below(len + 1), below(2) * n, other->bytes + start, n);
}

static size_t insert_token(uint8_t *bytes, size_t len, const struct inputs *tokens)
{
	const struct input *token;

	if (tokens->n == 0)
		return insert_random(bytes, len);
	token = &tokens->all[below(tokens->n)];
	return replace(bytes, len, below(len + 1), below(2) * token->len, token->bytes, token->len);
}

/* Doubles a part of the input, up to 64 times: floods and limits. */
static size_t repeat(uint8_t *bytes, size_t len)
{
	uint8_t part[64];
	size_t at = below(len);
	size_t n = len - at < sizeof(part) ? len - at : sizeof(part);
	size_t times = below(4) ? 1 : below(64);

	n = n ? 1 + below(n) : 0;
	memcpy(part, bytes + at, n);
	for (size_t i = 0; i < times; i++)
		len = replace(bytes, len, at, 0, part, n);
	return len;
}

static size_t mutate(uint8_t *bytes, size_t len, const struct inputs *seeds, const struct inputs *tokens)
{
	switch (below(9)) {
	case 0:
		if (len)
			bytes[below(len)] ^= (uint8_t)(1u << below(8));
		return len;
	case 1:
		if (len)
			bytes[below(len)] = (uint8_t)random_bits();
		return len;
	case 2:
		return cross_over(bytes, len, seeds);
	case 3:
	case 4:
		return insert_token(bytes, len, tokens);
	case 5:
		return insert_random(bytes, len);
	case 6:
		return repeat(bytes, len);
	case 7:
		return replace(bytes, len, below(len), 1 + below(16), NULL, 0);
	default:
		return below(4) ? len : below(len + 1); /* cut off */
	}
}

static size_t make_input(uint8_t *bytes, const struct inputs *seeds, const struct inputs *tokens)
{
	size_t len = 0;
	size_t rounds = 1 + below(6);

	if (seeds->n == 0 || below(20) == 0) { /* purely random */
		len = below(below(4) ? 64 : 1024);
		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)random_bits();
		return len;
	}
	len = cross_over(bytes, len, &(struct inputs){ 1, &seeds->all[below(seeds->n)] });
	if (below(8)) { /* most often begin with a whole seed */
		const struct input *seed = &seeds->all[below(seeds->n)];

		len = seed->len < INPUT_MAX ? seed->len : INPUT_MAX;
		memcpy(bytes, seed->bytes, len);
	}
	while (rounds--)
		len = mutate(bytes, len, seeds, tokens);
	return len;
}

/* ---- runs ---- */

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);
	char *end;
	uint64_t value;

	if (!text || !*text)
		return otherwise;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end || errno) {
		fprintf(stderr, "%s is \"%s\": a whole number expected\n", variable, text);
		exit(2);
	}
	return value;
}

static void fuzz(const char *folder, const char *dictionary)
{
	static uint8_t bytes[INPUT_MAX];
	struct inputs seeds = { 0 };
	struct inputs tokens = { 0 };
	uint64_t iterations = number_from("FUZZ_ITERATIONS", 50000);

	now.seed = number_from("FUZZ_SEED", 1);
	random_state = now.seed;
	add_folder(&seeds, folder);
	if (dictionary)
		add_dictionary(&tokens, dictionary);
	for (now.iteration = 0; now.iteration < iterations; now.iteration++) {
		size_t len = make_input(bytes, &seeds, &tokens);

		if (now.iteration % 256 == 0)
			alarm(60);
		run(bytes, len);
	}
	for (size_t i = 0; i < seeds.n; i++)
		run(seeds.all[i].bytes, seeds.all[i].len);
	alarm(0);
	printf("fuzz %s: %" PRIu64 " iterations, seed %" PRIu64 ", %zu seeds: no crash\n", now.name, iterations, now.seed, seeds.n);
	forget(&seeds);
	forget(&tokens);
}

static void replay(const char *file)
{
	struct inputs one = { 0 };

	add_file(&one, file);
	run(one.all[0].bytes, one.all[0].len);
	printf("fuzz %s: %s: no crash\n", now.name, file);
	forget(&one);
}

static void take_name(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash ? slash + 1 : program;

	if (!strncmp(name, "lt-", 3)) /* libtool's wrapper */
		name += 3;
	if (!strncmp(name, "fuzz_", 5))
		name += 5;
	snprintf(now.name, sizeof(now.name), "%s", name);
	snprintf(now.file, sizeof(now.file), "crash-%s", now.name);
}

int main(int argc, char **argv)
{
	struct stat st;

	take_name(argv[0]);
	if (argc < 2) {
		fprintf(stderr, "usage: %s SEED_FOLDER [DICTIONARY] | FILE...\n", argv[0]);
		return 2;
	}
	catch_crashes();
	if (stat(argv[1], &st) == 0 && S_ISDIR(st.st_mode)) {
		fuzz(argv[1], argc > 2 ? argv[2] : NULL);
		return 0;
	}
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	return 0;
}
