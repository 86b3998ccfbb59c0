/* SPDX-License-Identifier: MIT */
/*
 * chimera/tokens.h - the service "tokens/1": what a provider of models gave to one of our users, kept encrypted. Since 0.4.
 *
 * Tokens come in families: a refresh rotates a token, its successor belongs to the same family, and the one before it is spent. A family is
 * what one sign-in of one user at one provider began, and it is revoked as a whole.
 */
#ifndef CHIMERA_TOKENS_H
#define CHIMERA_TOKENS_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Texts given to a call live until its ticket is resumed; those of a result belong to the ctx, the secrets among them are wiped with it. */
struct ch_token {
	size_t size;
	const char *id;                   /* persist: NULL, one is made */
	const char *family;               /* persist: NULL begins a family */
	const char *user, *provider;      /* "alice", "openai": [A-Za-z0-9._@:/-]{1,128} */
	struct ch_str access;             /* the secret: 1 byte to 16 KiB */
	struct ch_str refresh;            /* n 0: none */
	int64_t expires;                  /* of `access`, microseconds since the epoch; 0: never */
	bool revoked;                     /* results only: its family was revoked, or it is spent */
};
enum ch_tokens_error {                    /* only ever appended to */
	CH_TOKENS_OK = 0,
	CH_TOKENS_BAD_REQUEST,            /* a member is wrong: `detail` names it */
	CH_TOKENS_NONE,                   /* there is no such token, or it is another user's */
	CH_TOKENS_REUSED,                 /* rotate: it was spent already, so its family has been revoked just now (RFC 9700, 4.14.2) */
	CH_TOKENS_UNREADABLE,             /* it is there, and no key that we have opens it */
	CH_TOKENS_UNAVAILABLE,            /* the store is away; a write did not happen */
	CH_TOKENS_UNKNOWN                 /* a write may have happened */
};
struct ch_tokens_result {                 /* the caller's, in the ctx's arena, all zero but the sizes */
	size_t size;
	int error;                        /* enum ch_tokens_error */
	const char *detail;
	struct ch_token token;            /* get, current: all of it; persist, rotate: id and family */
	uint64_t revoked;                 /* revoke_family: how many there were */
	void *call;
};

struct ch_tokens_v1 {
	size_t size;
	/* All: CH_OK: *out is filled now; CH_AGAIN: it will be and the ticket is resumed, exactly once; CH_ERROR: the provider is broken. */
	int (*persist)(const struct ch_svc *, struct ch_ctx *, const struct ch_token *, struct ch_tokens_result *out, ch_ticket);
	int (*get_by_id)(const struct ch_svc *, struct ch_ctx *, const char *id, struct ch_tokens_result *out, ch_ticket);
	/* The newest token of that user at that provider that is neither spent nor revoked nor expired; CH_TOKENS_NONE is quick, too. */
	int (*current)(const struct ch_svc *, struct ch_ctx *, const char *user, const char *provider, struct ch_tokens_result *out,
	               ch_ticket);
	/* The token `id` was refreshed: it is spent and `fresh` (access, refresh, expires) takes its place. */
	int (*rotate)(const struct ch_svc *, struct ch_ctx *, const char *id, const struct ch_token *fresh, struct ch_tokens_result *out,
	              ch_ticket);
	/* All of that user's tokens at that provider. Nobody gets one of them a second later, on any server. */
	int (*revoke_family)(const struct ch_svc *, struct ch_ctx *, const char *user, const char *provider, struct ch_tokens_result *out,
	                     ch_ticket);
	void (*cancel)(const struct ch_svc *, struct ch_ctx *, struct ch_tokens_result *out);
};

#ifdef __cplusplus
}
#endif
#endif
