/* SPDX-License-Identifier: Apache-2.0 */
/* jwks_key.c - OpenSSL keys from a JWK's numbers (RFC 7518, section 6; RFC 8037), and their signatures. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "jwks.h"

enum { RSA_LEAST = 2048, RSA_MOST = 8 * JWT_SIGNATURE_MAX, EXPONENT_MOST = 64, COORDINATE = 32, ED25519 = 32 };

/* ---- reading ---- */

/* A number of base64url; NULL: it is none, or longer than `bits`. */
static BIGNUM *number(struct ch_str text, int bits)
{
	unsigned char bytes[JWT_SIGNATURE_MAX + 8];
	ssize_t n = text.n <= sizeof(bytes) * 4 / 3 ? jwt_base64url(text.p, text.n, bytes) : -1;
	BIGNUM *b = n > 0 ? BN_bin2bn(bytes, (int)n, NULL) : NULL;

	if (b && BN_num_bits(b) > bits) {
		BN_free(b);
		return NULL;
	}
	return b;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *x = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (!x || !params || EVP_PKEY_fromdata_init(x) != 1 || EVP_PKEY_fromdata(x, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(x);
	return key;
}

static EVP_PKEY *rsa_from(BIGNUM *n, BIGNUM *e)
{
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	if (b && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) == 1 && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		params = OSSL_PARAM_BLD_to_param(b);
	if (params)
		key = from_params("RSA", params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	return key;
}

static EVP_PKEY *read_rsa(const struct jwks_numbers *k, const char **why)
{
	BIGNUM *n = number(k->n, RSA_MOST), *e = number(k->e, EXPONENT_MOST);
	EVP_PKEY *key = NULL;

	if (!n || !e)
		*why = "its n or e is no number of up to 8192 and 64 bits";
	else if (BN_num_bits(n) < RSA_LEAST)
		*why = "it has less than 2048 bits";
	else if (!BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e))
		*why = "its n or e is none of an RSA key";
	else if (!(key = rsa_from(n, e)))
		*why = "it is refused by OpenSSL";
	BN_free(n);
	BN_free(e);
	return key;
}

static bool is_on_curve(EVP_PKEY *key)
{
	EVP_PKEY_CTX *x = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool good = x && EVP_PKEY_public_check(x) == 1;

	EVP_PKEY_CTX_free(x);
	return good;
}

static EVP_PKEY *read_p256(const struct jwks_numbers *k, const char **why)
{
	unsigned char point[1 + 2 * (COORDINATE + 1)] = { 4 };
	char group[] = "P-256";
	EVP_PKEY *key = NULL;

	if (k->x.n != 43 || k->y.n != 43 || jwt_base64url(k->x.p, 43, point + 1) != COORDINATE ||
		jwt_base64url(k->y.p, 43, point + 1 + COORDINATE) != COORDINATE) {
		*why = "its x or y is no 32 bytes";
		return NULL;
	}
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * COORDINATE),
		OSSL_PARAM_construct_end(),
	};

	key = from_params("EC", params);
	if (key && !is_on_curve(key)) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	if (!key)
		*why = "its point is not on the curve";
	return key;
}

static EVP_PKEY *read_ed25519(const struct jwks_numbers *k, const char **why)
{
	unsigned char x[ED25519 + 1];
	EVP_PKEY *key = NULL;

	if (k->x.n == 43 && jwt_base64url(k->x.p, 43, x) == ED25519)
		key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, ED25519);
	if (!key)
		*why = "its x is no 32 bytes";
	return key;
}

/* What OpenSSL says of a failure stays in a list of the thread, where the next TLS connection would find it. */
EVP_PKEY *jwks_key_read(const struct jwks_numbers *k, const char **why)
{
	EVP_PKEY *key = k->alg == JWT_RS256 ? read_rsa(k, why) : k->alg == JWT_ES256 ? read_p256(k, why) : read_ed25519(k, why);

	if (!key)
		ERR_clear_error();
	return key;
}

/* ---- verifying ---- */

/* R and S behind one another (RFC 7518, section 3.4), as the DER that OpenSSL takes; its length, 0: they are none. */
static size_t der_of(const unsigned char *signature, size_t n, unsigned char *der)
{
	ECDSA_SIG *sig = n == 2 * COORDINATE ? ECDSA_SIG_new() : NULL;
	BIGNUM *r = sig ? BN_bin2bn(signature, COORDINATE, NULL) : NULL, *s = sig ? BN_bin2bn(signature + COORDINATE, COORDINATE, NULL) : NULL;
	int len = 0;

	if (r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
		len = i2d_ECDSA_SIG(sig, &der);
	} else {
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(sig);
	return len > 0 ? (size_t)len : 0;
}

bool jwks_key_verify(EVP_PKEY *key, int alg, struct ch_str said, const unsigned char *signature, size_t n)
{
	unsigned char der[2 * COORDINATE + 16];
	EVP_MD_CTX *md;
	bool good;

	if (alg == JWT_ES256) {
		n = der_of(signature, n, der);
		signature = der;
	}
	md = n ? EVP_MD_CTX_new() : NULL;
	good = md && EVP_DigestVerifyInit(md, NULL, alg == JWT_EDDSA ? NULL : EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestVerify(md, signature, n, (const unsigned char *)said.p, said.n) == 1;
	EVP_MD_CTX_free(md);
	if (!good)
		ERR_clear_error();
	return good;
}
