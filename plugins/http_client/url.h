/* SPDX-License-Identifier: Apache-2.0 */
/* url.h - an absolute http or https URL, taken apart. Pure. */
#ifndef HC_URL_H
#define HC_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HC_HOST_MAX 253

struct hc_url {
	bool tls;                    /* https */
	bool numeric;                /* the host is an address, an IPv6 one without its brackets */
	bool v6;
	bool usual_port;             /* 80 or 443, as the scheme has it */
	bool slash;                  /* the target lacks its leading slash */
	uint16_t port;
	size_t host_n;
	char host[HC_HOST_MAX + 1];  /* lower case, ended by a NUL */
	const char *target;          /* path and query, inside the text that was given; may be empty */
	size_t target_n;
	bool link_local;             /* the host is an address that hc_link_local_text names */
	size_t server_n;             /* how much of the text was not the target … */
	char server[HC_HOST_MAX + 24]; /* … and that, as it came; server_n 0: nothing was taken apart, or it is longer */
};

/*
 * Takes p[0..n) apart. NULL: *u is filled. Else why it cannot be used, the end of a sentence; *foreign tells if the reason is a scheme that
 * is neither http nor https.
 */
const char *hc_url_parse(struct hc_url *u, const char *p, size_t n, bool *foreign);

/*
 * The same for a *u that is zeroed, or holds what became of another URL: if both name the same server in the same words, which calls of one
 * config do, only the target is looked at.
 */
const char *hc_url_parse_next(struct hc_url *u, const char *p, size_t n, bool *foreign);

#endif
