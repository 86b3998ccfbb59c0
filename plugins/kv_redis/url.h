/* SPDX-License-Identifier: Apache-2.0 */
/* url.h - where Redis is, read from a url; and who we are, made into a command. kr_url_read and kr_place_read are pure. */
#ifndef KR_URL_H
#define KR_URL_H

#include <chimera/plugin.h>

enum { KR_HOST_MAX = 253, KR_PATH_MAX = 107, KR_WORD_MAX = 512 };

struct kr_url {
	char host[KR_HOST_MAX + 1];       /* "": a unix socket; an IPv6 address without its brackets */
	char path[KR_PATH_MAX + 1];       /* of the unix socket */
	int port;                         /* 6379 if none is named */
	int database;
};

/*
 * redis://[[user]:password@]host[:port][/database], unix:///path[?db=N]; user and password may hold %XX. *user and *password are the parts
 * of the text as they stand there, n 0: none. NULL, or why it is wrong: the rest of a sentence; it holds nothing secret.
 */
const char *kr_url_read(const char *text, struct kr_url *u, struct ch_str *user, struct ch_str *password);

/* host or host:port or [v6]:port; host has KR_HOST_MAX + 1 bytes. NULL, or why it is wrong, likewise. */
const char *kr_place_read(const char *text, size_t n, int usual_port, char *host, int *port);

/* One byte of what stands at *p, %XX decoded; *p is put behind it. Not a digit where one must be: 0. */
char kr_url_byte(const char **p, const char *stop);

/* An AUTH command in secret memory, ready to be sent: kr_secret_free. */
struct kr_secret {
	char *p;
	size_t n;                         /* 0: no password, and no command */
};
/* A word of it; coded: it stands in a url. */
struct kr_word { struct ch_str text; bool coded; };
/* False: no memory. */
bool kr_auth_make(struct kr_secret *out, struct kr_word user, struct kr_word password);
void kr_secret_free(struct kr_secret *s);

#endif
