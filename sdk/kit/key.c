/* SPDX-License-Identifier: MIT */
#include <chimera/kit/key.h>

#include <errno.h>
#include <sys/random.h>

static bool random_bytes(unsigned char *p, size_t n)
{
	ssize_t got;

	do
		got = getrandom(p, n, 0); /* never in pieces, up to 256 bytes */
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)n;
}

static void base64url(const unsigned char *p, size_t n, char *out)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned bits = 0, have = 0;

	for (size_t i = 0; i < n; i++) {
		bits = bits << 8 | p[i];
		for (have += 8; have >= 6; have -= 6)
			*out++ = letters[bits >> (have - 6) & 63];
	}
	if (have)
		*out++ = letters[bits << (6 - have) & 63];
	*out = 0;
}

bool ch_id_make(char id[CH_ID_CHARS], const char *prefix)
{
	unsigned char p[16];
	size_t n = strlen(prefix);

	memcpy(id, prefix, n);
	if (!random_bytes(p, sizeof(p)))
		return false;
	base64url(p, sizeof(p), id + n);
	return true;
}

bool ch_key_make(char key[CH_KEY_CHARS + 1], unsigned char sha256[CH_SHA256], char id[CH_ID_CHARS])
{
	unsigned char p[32];
	bool ok = random_bytes(p, sizeof(p));

	memcpy(key, "ck_", 3);
	if (ok) {
		base64url(p, sizeof(p), key + 3);
		ch_sha256(&(struct ch_str){ key, CH_KEY_CHARS }, 1, sha256);
	}
	explicit_bzero(p, sizeof(p));
	return ok && ch_id_make(id, "key_");
}
