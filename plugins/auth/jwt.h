/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwt.h - JSON Web Tokens as a second method: what the rest of auth asks of it. jwt*.c and jwks*.c answer.
 *
 * hook.c asks for each bearer token that has two dots in it, if jwt_on; a key of that form in the config or the keys file goes first.
 */
#ifndef AUTH_JWT_H
#define AUTH_JWT_H

#include <chimera/keys.h>

/* The options jwt_*: a member `jwt` of struct auth_conf, filled by the rows of JWT_OPTIONS, which lie in auth's table. */
struct jwt_conf {
	const char *issuer; /* to be replaced by what it takes */
};
#define JWT_OPTIONS(conf, at) \
	CH_OPT_AS(conf, at.issuer, "jwt_issuer", STR, .help = "Who must have issued a token")
/* Rows of auth's table of metrics; their first one has the number `metric` below. */
#define JWT_METRIC_ROWS

struct jwt; /* an instance's; NULL: no tokens are taken */

/* [boot] check: reports by ch_config_error, keys "jwt_…"; pure. */
bool jwt_check(struct ch_self *, const struct jwt_conf *);
/* [boot] False: it has said why. *out NULL: it is not configured. metric: the index of its first row. */
bool jwt_start(struct ch_self *, const struct jwt_conf *, unsigned metric, struct jwt **out);
/* [boot] The reload is decided: what was fetched and verified by the one before may be taken over; either may be NULL. */
void jwt_adopt(struct jwt *, struct jwt *prev);
void jwt_retire(struct jwt *); /* [boot] nothing new comes; NULL: nothing */
void jwt_stop(struct jwt *); /* [boot] NULL: nothing */
int jwt_loop_start(struct jwt *, struct ch_loop *);
void jwt_loop_stop(struct jwt *, struct ch_loop *);

enum jwt_verdict {
	JWT_GOOD = 1,
	JWT_BAD,         /* not well-formed, not signed by whom it must be, of another issuer or audience, no such key, … */
	JWT_EXPIRED,     /* well signed, and its time is over or has not come: the client hears the same as with BAD */
	JWT_UNAVAILABLE  /* nobody knows: the keys of the issuer cannot be had. 503, never 401 */
};
struct jwt_result { /* in the ctx's arena, zeroed by the caller */
	int verdict;            /* enum jwt_verdict */
	struct ch_key key;      /* GOOD: id ("jwt:…", not secret), owner, tier ("": the standard one), role, lists; texts the ctx's, "" not NULL */
	const char *detail;     /* UNAVAILABLE: a sentence for people */
	int64_t retry_after_ms; /* UNAVAILABLE */
	void *call;             /* jwt's own, as long as it runs */
};
/*
 * [loop] Judges a token. CH_OK: *out is filled now, the ticket is untouched; CH_AGAIN: it will be, and the ticket resumed, exactly once. The
 * token lives as long as the ctx. known: this address has failed too often, so nothing may be fetched and no signature computed: GOOD only
 * if this very token is known to be good from before, else BAD.
 */
int jwt_judge(struct jwt *, struct ch_ctx *, struct ch_str token, bool known, struct jwt_result *out, ch_ticket ticket);
/* [loop] Gives up the judgement that fills *out: the ticket is resumed at once. Idempotent. */
void jwt_cancel(struct jwt *, struct ch_ctx *, struct jwt_result *out);

#endif
