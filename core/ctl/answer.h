/* SPDX-License-Identifier: Apache-2.0 */
/* core/ctl/answer.h - reading one HTTP answer from a socket. Blocks, until a deadline at most. One thread. */
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

/*
 * Reads one answer (1xx are passed over; by length, chunked or to the end). deadline: on the clock of ctl_clock. False: why holds the
 * end of a sentence whose subject is the other side: "does not answer within 5 s".
 */
bool ctl_read_answer(int fd, int64_t deadline, struct ctl_answer *out, char *why, size_t cap);
/* Milliseconds of the monotonic clock. */
int64_t ctl_clock(void);

#endif
