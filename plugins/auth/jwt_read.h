/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwt_read.h - the bytes of a JSON Web Token in compact form, and what its claims say. Pure functions: no keys, no clock, no allocation. Any
 * thread. Sentences are static text, for the log.
 */
#ifndef AUTH_JWT_READ_H
#define AUTH_JWT_READ_H

#include <sys/types.h>

#include <chimera/plugin.h>

#define JWT_MAX 8192                      /* longest token, bytes */
#define JWT_SIGNATURE_MAX 1024            /* of an RSA key of 8192 bits */
#define JWT_TEXT_MAX 255                  /* longest owner, tier or kid */
#define JWT_MODELS_MAX 4096               /* longest list of models */

enum jwt_alg { JWT_RS256 = 1, JWT_ES256 = 2, JWT_EDDSA = 4 }; /* bits of a set */

/* 0: none of ours. */
int jwt_alg_read(const char *name, size_t n);
/*
 * base64url without padding (RFC 7515, section 2), as strict as can be: no other character, and no bit left over that is not 0. Returns the
 * number of bytes, at most 3 n / 4, or -1. out may be `p` itself.
 */
ssize_t jwt_base64url(const char *p, size_t n, void *out);

struct jwt {                              /* a token, read and not yet believed */
	int alg;                          /* one of enum jwt_alg */
	struct ch_str kid;                /* p NULL: none */
	char kid_text[JWT_TEXT_MAX];      /* where it lies if it had escapes: a struct jwt is not copied */
	struct ch_str said;               /* the bytes that are signed: a part of the token */
	struct ch_str claims;             /* JSON as it came, a valid object or not */
	const unsigned char *signature;
	size_t nsignature;                /* at most JWT_SIGNATURE_MAX */
};

/*
 * Takes a token apart. room: token.n bytes, which *out points into. NULL: it is well-formed, and its header asks for nothing that we do not do;
 * else why not.
 */
const char *jwt_read(struct ch_str token, char *room, struct jwt *out);

struct jwt_rules {                        /* what claims must be; the names are config */
	const char *issuer;
	struct ch_list audiences, tiers;
	const char *owner_claim, *tier_claim, *role_claim, *models_claim; /* "": none, but of the first */
	const char *tier;                 /* of a token that names none */
	bool admin;                       /* may a token make an admin? */
	int64_t leeway;                   /* microseconds */
};
struct jwt_who {
	char owner[JWT_TEXT_MAX + 1];
	const char *tier;                 /* that of the rules */
	int role;                         /* enum ch_role */
	char models[JWT_MODELS_MAX + 1];  /* by comma; "": all */
	int64_t expires;                  /* exp and the leeway, microseconds since the epoch */
};

/* now: microseconds since the epoch. NULL: the claims are good, *out is filled; else why not. */
const char *jwt_claims(struct ch_str json, const struct jwt_rules *, int64_t now, struct jwt_who *out);

#endif
