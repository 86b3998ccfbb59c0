/* SPDX-License-Identifier: MIT */
/* The plain functions, deprecated in OpenSSL 3 and still its fastest: EVP allocates a context and looks the algorithm up each time. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <chimera/kit/hash.h>

#include <openssl/sha.h>

void ch_sha256(const struct ch_str *parts, size_t n, unsigned char out[CH_SHA256])
{
	SHA256_CTX x;

	SHA256_Init(&x);
	for (size_t i = 0; i < n; i++)
		SHA256_Update(&x, parts[i].p, parts[i].n);
	SHA256_Final(out, &x);
	explicit_bzero(&x, sizeof(x));
}
