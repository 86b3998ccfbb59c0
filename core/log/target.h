/* SPDX-License-Identifier: Apache-2.0 */
/* core/log/target.h - where lines end up: a file, a pipe, a terminal, a socket, the journal. For core/log alone; the writer's thread. */
#ifndef CHI_LOG_TARGET_H
#define CHI_LOG_TARGET_H

#include <sys/socket.h>
#include <sys/un.h>

#include "core/log/log.h"

struct chi_target {
	int fd;         /* -1: a standard stream that is closed; all lines are lost */
	char *path;     /* of a file; NULL: a standard stream */
	bool journal;   /* each record is a datagram */
	bool socket;
	size_t most;    /* bytes that one write may have without blocking; 0: any */
	struct sockaddr_un to;
};

/* Opens what conf names. False: err holds one sentence. */
bool chi_target_open(struct chi_target *t, const struct chi_log_setup *conf, char *err, size_t nerr);
/* Opens a file again by its name. False: it cannot be, errno says why, and the old one stays. */
bool chi_target_reopen(struct chi_target *t);
/* Writes without waiting. Bytes taken; -1 and EAGAIN: wait for POLLOUT; -1 otherwise: these bytes are lost. A datagram is taken whole. */
ssize_t chi_target_write(struct chi_target *t, const char *p, size_t n);
void chi_target_close(struct chi_target *t);

#endif
