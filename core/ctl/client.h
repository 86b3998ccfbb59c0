/* SPDX-License-Identifier: Apache-2.0 */
/* core/ctl/client.h - one HTTP exchange over the control socket. Blocks, for CTL_PATIENCE_MS at most. One thread. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTL_PATIENCE_MS 5000
#define CTL_ANSWER_MAX (16u << 20)

struct ctl_answer {
	int status;
	char *body;     /* malloc'd, with a NUL behind its n bytes */
	size_t n;
};

/*
 * Reads one answer (1xx are passed over; by length, chunked or to the end). deadline: on the clock of ctl_clock. False: why holds the end of a sentence
 * whose subject is the other side: "does not answer within 5 s".
 */
bool ctl_read_answer(int fd, int64_t deadline, struct ctl_answer *out, char *why, size_t cap);
/* Milliseconds of the monotonic clock. */
int64_t ctl_clock(void);
/*
 * Asks the server whose control socket is `path`. body NULL: none. 0 and a JSON document of status 200; else an exit code, told on stderr: 69 when
 * nobody answers or the answer is none of ours, 77 when the socket is not for this user, 64 when the server refuses the question.
 */
int ctl_ask(const char *path, const char *method, const char *target, const char *body, struct ctl_answer *out);

#endif
