/* SPDX-License-Identifier: Apache-2.0 */
/* test_crypt.c - the cipher against NIST's vectors, the ring of keys, and how a key is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

#include "crypt.h"

static size_t bytes(const char *hex, unsigned char *out)
{
	size_t n = 0;

	for (; hex[0] && hex[1]; hex += 2) {
		char two[3] = { hex[0], hex[1], 0 };

		out[n++] = (unsigned char)strtoul(two, NULL, 16);
	}
	return n;
}

/* "The Galois/Counter Mode of Operation" (McGrew, Viega), Appendix B, which NIST SP 800-38D refers to: test cases 13 to 16, of 256 bits. */
static const struct { const char *key, *nonce, *aad, *plain, *sealed, *tag; } vectors[] = {
	{ "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
		"530f8afbc74536b9a963b4f1c4cb738b" },
	{ "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
		"00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
	{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
		"b094dac5d93471bdec1a502270e3cc6c" },
	{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
		"feedfacedeadbeeffeedfacedeadbeefabaddad2",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
		"76fc6ece0f4e1768cddf8853bb2d551b" },
};

static void the_cipher_is_nists(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		unsigned char key[32], nonce[12], aad[64], plain[64], sealed[64], tag[16], out[65], made[16];
		size_t naad = bytes(vectors[i].aad, aad), n = bytes(vectors[i].plain, plain);
		struct ch_str a = { (char *)aad, naad };

		bytes(vectors[i].key, key);
		bytes(vectors[i].nonce, nonce);
		bytes(vectors[i].sealed, sealed);
		bytes(vectors[i].tag, tag);
		assert_true(id_gcm(true, key, nonce, a, (struct ch_str){ (char *)plain, n }, out, made));
		assert_memory_equal(out, sealed, n);
		assert_memory_equal(made, tag, 16);
		assert_true(id_gcm(false, key, nonce, a, (struct ch_str){ (char *)sealed, n }, out, tag));
		assert_memory_equal(out, plain, n);
		tag[15] ^= 1;
		assert_false(id_gcm(false, key, nonce, a, (struct ch_str){ (char *)sealed, n }, out, tag));
		for (size_t k = 0; k < n; k++)
			assert_int_equal(out[k], 0); /* what is not authentic is shown to nobody */
	}
}

static void a_key_is_32_bytes_in_hex_or_base64(void **state)
{
	static const struct { const char *text; bool good; unsigned char first, last; } rows[] = {
		{ "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F", true, 0, 0x1f },
		{ "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", true, 0, 0x1f },
		{ "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", true, 0, 0x1f },
		{ "__________________________________________8", true, 0xff, 0xff },
		{ "//////////////////////////////////////////8=", true, 0xff, 0xff },
		{ "__________________________________________9", false, 0, 0 }, /* two bits too many */
		{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1", false, 0, 0 },
		{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00", false, 0, 0 },
		{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g", false, 0, 0 },
		{ "a good password", false, 0, 0 },
		{ "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==", false, 0, 0 },
		{ "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh =", false, 0, 0 },
		{ "", false, 0, 0 },
	};
	unsigned char key[ID_KEY_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool good = id_crypt_key((struct ch_str){ rows[i].text, strlen(rows[i].text) }, key);

		if (good != rows[i].good)
			fail_msg("\"%s\" is %s", rows[i].text, good ? "taken" : "refused");
		if (good)
			assert_true(key[0] == rows[i].first && key[31] == rows[i].last);
	}
}

static const unsigned char keys[2][ID_KEY_BYTES] = { { 1 }, { 2 } };
static const struct id_belongs here = { "tok_1", "alice", "openai", "access" };

static void what_was_sealed_opens_only_where_it_belongs(void **state)
{
	static const struct id_belongs others[] = { { "tok_2", "alice", "openai", "access" }, { "tok_1", "bob", "openai", "access" },
		{ "tok_1", "alice", "vllm", "access" }, { "tok_1", "alice", "openai", "refresh" }, { "tok_1", "aliceopenai", "",
		"access" } };
	struct ch_test *t = ch_test_new(); /* memory for secrets is the host's */
	struct id_ring *ring = id_ring_new(keys, 1);
	unsigned char sealed[6 + ID_SEAL_MORE], again[6 + ID_SEAL_MORE], plain[7] = "";
	struct ch_str s = { (char *)sealed, sizeof(sealed) };

	(void)state;
	assert_non_null(ring);
	assert_true(id_seal(ring, &here, (struct ch_str)CH_STR("secret"), sealed));
	assert_true(id_seal(ring, &here, (struct ch_str)CH_STR("secret"), again));
	assert_memory_not_equal(sealed, again, 12); /* no nonce comes twice */
	assert_true(id_open(ring, id_ring_first(ring), &here, s, plain));
	assert_memory_equal(plain, "secret", 6);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(id_open(ring, id_ring_first(ring), &others[i], s, plain));
	for (size_t i = 0; i < sizeof(sealed); i++) {
		sealed[i] ^= 0x10;
		assert_false(id_open(ring, id_ring_first(ring), &here, s, plain));
		sealed[i] ^= 0x10;
	}
	assert_false(id_open(ring, id_ring_first(ring), &here, (struct ch_str){ (char *)sealed, ID_SEAL_MORE - 1 }, plain));
	assert_false(id_open(ring, "0000000000000000", &here, s, plain));
	id_ring_free(ring);
	ch_test_free(t);
}

static void an_old_key_opens_and_the_first_one_seals(void **state)
{
	struct ch_test *t = ch_test_new();
	const unsigned char turned[2][ID_KEY_BYTES] = { { 2 }, { 1 } };
	struct id_ring *before = id_ring_new(keys, 1), *after = id_ring_new(turned, 2);
	unsigned char sealed[1 + ID_SEAL_MORE], plain[1];
	struct ch_str s = { (char *)sealed, sizeof(sealed) };

	(void)state;
	assert_true(id_seal(before, &here, (struct ch_str)CH_STR("x"), sealed));
	assert_string_not_equal(id_ring_first(before), id_ring_first(after));
	assert_true(id_ring_has(after, id_ring_first(before)));
	assert_false(id_ring_has(before, id_ring_first(after)));
	assert_true(id_open(after, id_ring_first(before), &here, s, plain));
	assert_false(id_open(after, id_ring_first(after), &here, s, plain));
	assert_int_equal(strlen(id_ring_first(after)), 16);
	id_ring_free(before);
	id_ring_free(after);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cipher_is_nists),
		cmocka_unit_test(a_key_is_32_bytes_in_hex_or_base64),
		cmocka_unit_test(what_was_sealed_opens_only_where_it_belongs),
		cmocka_unit_test(an_old_key_opens_and_the_first_one_seals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
