/* SPDX-License-Identifier: Apache-2.0 */
/* url.h - where Redis is and who we are, read from url, user and password. Needs the host only for secret memory. */
#ifndef KR_URL_H
#define KR_URL_H

#include <stdbool.h>
#include <stddef.h>

enum { KR_HOST_MAX = 253, KR_PATH_MAX = 107, KR_WORD_MAX = 512 };

struct kr_url {
	char host[KR_HOST_MAX + 1];       /* "": a unix socket; an IPv6 address without its brackets */
	char path[KR_PATH_MAX + 1];       /* of the unix socket */
	int port;                         /* 6379 if none is named */
	int database;
};

/* In secret memory: kr_secret_free. */
struct kr_secret {
	char *p;
	size_t n;
};

/*
 * redis://[[user]:password@]host[:port][/database], unix:///path[?db=N]; user and password may hold %XX. *user and *password get what stands
 * in the url, n 0: nothing. NULL, or why it is wrong: the rest of a sentence that begins with the option's name; it holds nothing secret.
 */
const char *kr_url_read(const char *text, struct kr_url *u, struct kr_secret *user, struct kr_secret *password);

/* host or host:port or [v6]:port. NULL, or why it is wrong. */
const char *kr_place_read(const char *text, size_t n, int usual_port, char *host, int *port);

/* An AUTH command; no password: none. False: no memory. */
bool kr_auth_make(struct kr_secret *out, const char *user, const char *password);
void kr_secret_free(struct kr_secret *s);

#endif
