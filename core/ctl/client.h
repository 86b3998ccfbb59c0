/* SPDX-License-Identifier: Apache-2.0 */
/* core/ctl/client.h - one question over the control socket. Blocks, for CTL_PATIENCE_MS if nothing else is said. One thread. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include "core/ctl/answer.h"

/*
 * Asks the server whose control socket is `path`. body NULL: none. 0 and a JSON document of status 200; else an exit code, told on
 * stderr: 69 when nobody answers or the answer is none of ours, 77 when the socket is not for this user, 64 when the server refuses the
 * question.
 */
int ctl_ask(const char *path, const char *method, const char *target, const char *body, struct ctl_answer *out);
/* The same for what takes its time: asks first whether the server answers at all, then waits for as long as it takes. */
int ctl_ask_patiently(const char *path, const char *method, const char *target, const char *body, struct ctl_answer *out);
/*
 * POSTs a body, for an answer whose lines go to `line` as they come, after the first without a time limit. 0 and an answer of any status;
 * else an exit code, told on stderr.
 */
int ctl_post_for_lines(const char *path, const char *target, const char *body, ctl_line line, void *arg, struct ctl_answer *out);
/* What an error answer says (`detail`), for people; malloc'd. NULL: it is none of a chimera server. */
char *ctl_detail(const struct ctl_answer *a);
/* Nobody listens there: no server runs that has this control socket. False: somebody does, or it cannot be told. */
bool ctl_nobody(const char *path);

#endif
