/* SPDX-License-Identifier: Apache-2.0 */
/* crypt.c - AES-256-GCM (OpenSSL), the ring of keys, and the text that a key is written as. */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include <openssl/evp.h>

#include "crypt.h"

enum { NONCE = 12, TAG = 16 };

struct key {
	unsigned char bytes[ID_KEY_BYTES];
	char id[ID_KEY_ID];
};
struct id_ring {
	size_t n;
	struct key keys[];
};

/* ---- keys ---- */

static int digit(char ch)
{
	return ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

static int letter(char ch)
{
	if (ch >= 'A' && ch <= 'Z')
		return ch - 'A';
	if (ch >= 'a' && ch <= 'z')
		return ch - 'a' + 26;
	if (ch >= '0' && ch <= '9')
		return ch - '0' + 52;
	return ch == '+' || ch == '-' ? 62 : ch == '/' || ch == '_' ? 63 : -1;
}

bool id_crypt_key(struct ch_str text, unsigned char key[ID_KEY_BYTES])
{
	uint32_t bits = 0, have = 0, n = 0;

	if (text.n == 2 * ID_KEY_BYTES) {
		for (size_t i = 0; i < ID_KEY_BYTES; i++) {
			int high = digit(text.p[2 * i]), low = digit(text.p[2 * i + 1]);

			if (high < 0 || low < 0)
				return false;
			key[i] = (unsigned char)(high << 4 | low);
		}
		return true;
	}
	if (text.n == 44 && text.p[43] == '=')
		text.n--;
	if (text.n != 43)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int six = letter(text.p[i]);

		if (six < 0)
			return false;
		bits = bits << 6 | (uint32_t)six;
		have += 6;
		if (have >= 8) {
			have -= 8;
			key[n++] = (unsigned char)(bits >> have);
		}
	}
	return !(bits & 3); /* what is left over of the last character */
}

/* The id tells nothing of the key: it is of a hash with a prefix of ours. */
static bool name_key(struct key *k)
{
	static const char prefix[] = "chimera identity key id:";
	unsigned char hash[32];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(md, prefix, sizeof(prefix) - 1) == 1 &&
		EVP_DigestUpdate(md, k->bytes, sizeof(k->bytes)) == 1 && EVP_DigestFinal_ex(md, hash, NULL) == 1;

	EVP_MD_CTX_free(md);
	for (size_t i = 0; ok && i < (ID_KEY_ID - 1) / 2; i++)
		snprintf(k->id + 2 * i, 3, "%02x", hash[i]);
	return ok;
}

void id_ring_free(struct id_ring *r)
{
	ch_secret_free(r);
}

struct id_ring *id_ring_new(const unsigned char (*keys)[ID_KEY_BYTES], size_t n)
{
	struct id_ring *r = ch_secret_alloc(sizeof(*r) + n * sizeof(r->keys[0]));

	if (!r)
		return NULL;
	r->n = n;
	for (size_t i = 0; i < n; i++) {
		memcpy(r->keys[i].bytes, keys[i], ID_KEY_BYTES);
		if (!name_key(&r->keys[i])) {
			id_ring_free(r);
			return NULL;
		}
	}
	return r;
}

const char *id_ring_first(const struct id_ring *r)
{
	return r->keys[0].id;
}

static const struct key *find(const struct id_ring *r, const char *id)
{
	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->keys[i].id, id))
			return &r->keys[i];
	return NULL;
}

bool id_ring_has(const struct id_ring *r, const char *key_id)
{
	return find(r, key_id);
}

/* ---- the cipher ---- */

bool id_gcm(bool seal, const unsigned char key[ID_KEY_BYTES], const unsigned char nonce[NONCE], struct ch_str aad, struct ch_str in,
	unsigned char *out, unsigned char tag[TAG])
{
	EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
	int n = 0, more = 0;
	bool ok = x && EVP_CipherInit_ex(x, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1;

	ok = ok && (!aad.n || EVP_CipherUpdate(x, NULL, &n, (const unsigned char *)aad.p, (int)aad.n) == 1);
	ok = ok && (!in.n || EVP_CipherUpdate(x, out, &n, (const unsigned char *)in.p, (int)in.n) == 1);
	ok = ok && (seal || EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1);
	ok = ok && EVP_CipherFinal_ex(x, out + (in.n ? n : 0), &more) == 1;
	ok = ok && (!seal || EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_GCM_GET_TAG, TAG, tag) == 1);
	EVP_CIPHER_CTX_free(x);
	if (!ok && in.n)
		explicit_bzero(out, in.n);
	return ok;
}

/* id, user, provider and which, each with its NUL, so that no two of them make the same bytes. 0: it does not fit. */
static size_t aad_of(const struct id_belongs *b, char *out, size_t cap)
{
	const char *const parts[] = { b->id, b->user, b->provider, b->which };
	size_t n = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t len = strlen(parts[i]) + 1;

		if (len > cap - n)
			return 0;
		memcpy(out + n, parts[i], len);
		n += len;
	}
	return n;
}

static bool random_nonce(unsigned char nonce[NONCE])
{
	ssize_t got;

	do
		got = getrandom(nonce, NONCE, 0);
	while (got < 0 && errno == EINTR);
	return got == NONCE;
}

bool id_seal(const struct id_ring *r, const struct id_belongs *b, struct ch_str plain, unsigned char *out)
{
	char aad[1024];
	size_t n = aad_of(b, aad, sizeof(aad));

	return n && random_nonce(out) &&
		id_gcm(true, r->keys[0].bytes, out, (struct ch_str){ aad, n }, plain, out + NONCE, out + NONCE + plain.n);
}

bool id_open(const struct id_ring *r, const char *key_id, const struct id_belongs *b, struct ch_str sealed, unsigned char *out)
{
	const struct key *k = find(r, key_id);
	const unsigned char *p = (const unsigned char *)sealed.p;
	char aad[1024];
	size_t n = aad_of(b, aad, sizeof(aad));
	unsigned char tag[TAG];

	if (!k || !n || sealed.n < ID_SEAL_MORE)
		return false;
	memcpy(tag, p + sealed.n - TAG, TAG);
	return id_gcm(false, k->bytes, p, (struct ch_str){ aad, n }, (struct ch_str){ sealed.p + NONCE, sealed.n - ID_SEAL_MORE }, out,
		tag);
}
