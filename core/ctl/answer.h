/* SPDX-License-Identifier: Apache-2.0 */
/* core/ctl/answer.h - reading one HTTP answer from a socket, whole or line by line. Blocks, until a deadline at most. One thread. */
#ifndef CTL_ANSWER_H
#define CTL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTL_PATIENCE_MS 5000
#define CTL_ANSWER_MAX (16u << 20)

struct ctl_answer {
	int status;
	char *body; /* malloc'd, with a NUL behind its n bytes */
	size_t n;
};

/* A line of the body, without its newline; false: it was the last that is wanted. */
typedef bool (*ctl_line)(void *arg, const char *p, size_t n);

/*
 * Reads one answer (1xx are passed over; by length, chunked or to the end). deadline: on the clock of ctl_clock; < 0: none. False: why
 * holds the end of a sentence whose subject is the other side: "does not answer within 5 s".
 */
bool ctl_read_answer(int fd, int64_t deadline, struct ctl_answer *out, char *why, size_t cap);
/*
 * The same for a chunked answer of status 200 that comes by and by: each line goes to `line` at once, and out->body has what is behind the
 * last. The deadline is the first line's. Another answer is read as above.
 */
bool ctl_read_lines(int fd, int64_t deadline, ctl_line line, void *arg, struct ctl_answer *out, char *why, size_t cap);
/* Milliseconds of the monotonic clock. */
int64_t ctl_clock(void);

#endif
