/* SPDX-License-Identifier: MIT */
/*
 * chimera/keys.h - the service "keys/1": API keys, known by their hash. Since 0.4.
 *
 * A key is a secret of at least 128 random bits that a client shows; nobody stores it. What is stored is its SHA-256, and its `id`, which may
 * be told to anyone.
 */
#ifndef CHIMERA_KEYS_H
#define CHIMERA_KEYS_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of a key. Texts belong to the ctx, are "" where there is nothing, and are never secret. */
struct ch_key {
	size_t size;
	const char *id;                   /* names the key; not secret */
	const char *owner, *tier;
	int role;                         /* enum ch_role */
	int64_t expires;                  /* microseconds since the epoch; 0: never */
	bool disabled;                    /* revoked, or its owner is disabled */
	const char *models, *routes, *backends, *networks; /* what it may be used for: names and patterns by comma; "": all */
	const char *limits;               /* a limit of its own, as ratelimit reads it ("requests=100/min tokens=1000/min"); "": the tier's */
};
enum ch_keys_error {                      /* only ever appended to */
	CH_KEYS_OK = 0,                   /* *out is filled; it may be expired or disabled: the caller judges */
	CH_KEYS_UNKNOWN,                  /* there is no such key */
	CH_KEYS_UNAVAILABLE               /* nobody knows: the store is away. Never to be taken for a wrong key */
};
struct ch_keys_result {                   /* the caller's, in the ctx's arena, all zero but the sizes */
	size_t size;
	int error;                        /* enum ch_keys_error */
	const char *detail;               /* UNAVAILABLE: a sentence for people; the ctx's, or static */
	uint64_t revision;                /* the one that this was read under: good for caches as long as `revision` below says the same */
	struct ch_key key;
	void *call;                       /* the provider's own, as long as the call runs */
};

struct ch_keys_v1 {
	size_t size;
	/*
	 * The key with that SHA-256. CH_OK: *out is filled now, the ticket is untouched; CH_AGAIN: it will be, and the ticket resumed,
	 * exactly once; CH_ERROR: the provider is broken.
	 */
	int (*find)(const struct ch_svc *, struct ch_ctx *, const unsigned char sha256[32], struct ch_keys_result *out, ch_ticket);
	void (*cancel)(const struct ch_svc *, struct ch_ctx *, struct ch_keys_result *out);
	/*
	 * [any] Changes within a second of any change of any key, wherever it was made; while the store is away it stays as it is. Two
	 * instructions: ask for each request.
	 */
	uint64_t (*revision)(const struct ch_svc *);
};

#ifdef __cplusplus
}
#endif
#endif
