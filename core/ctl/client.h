/* SPDX-License-Identifier: Apache-2.0 */
/* core/ctl/client.h - one question over the control socket. Blocks, for CTL_PATIENCE_MS at most. One thread. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include "core/ctl/answer.h"

/*
 * Asks the server whose control socket is `path`. body NULL: none. 0 and a JSON document of status 200; else an exit code, told on
 * stderr: 69 when nobody answers or the answer is none of ours, 77 when the socket is not for this user, 64 when the server refuses the
 * question.
 */
int ctl_ask(const char *path, const char *method, const char *target, const char *body, struct ctl_answer *out);

#endif
