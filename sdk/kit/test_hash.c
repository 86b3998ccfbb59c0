/* SPDX-License-Identifier: MIT */
/* test_hash.c - SHA-256, hex, comparing; the digests are those of FIPS 180-4's examples (NIST's "SHA256.pdf"). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/kit/hash.h>
#include <chimera/kit/net.h>

static void digests_are_the_standards(void **state)
{
	static const char long_one[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	static const struct { struct ch_str parts[2]; size_t n; const char *hex; } rows[] = {
		{ { CH_STR("abc") }, 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ { CH_STR("") }, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ { CH_STR("") }, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ { { long_one, 10 }, { long_one + 10, sizeof(long_one) - 11 } }, 2,
			"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	unsigned char out[CH_SHA256];
	char hex[2 * CH_SHA256 + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ch_sha256(rows[i].parts, rows[i].n, out);
		ch_hex(out, sizeof(out), hex);
		assert_string_equal(hex, rows[i].hex);
	}
}

static void hex_is_read_in_both_cases_and_nothing_else_is(void **state)
{
	unsigned char out[3];

	(void)state;
	assert_true(ch_unhex("00fFa9", 3, out));
	assert_memory_equal(out, "\x00\xff\xa9", 3);
	assert_false(ch_unhex("0g", 1, out));
	assert_false(ch_unhex("g0", 1, out));
	assert_false(ch_unhex("0", 1, out)); /* the NUL behind it is no digit */
	assert_true(ch_unhex("", 0, out));
}

static void one_bit_anywhere_makes_bytes_differ(void **state)
{
	unsigned char a[37], b[37];

	(void)state;
	for (size_t n = 0; n <= sizeof(a); n++) {
		memset(a, 0x5a, sizeof(a));
		memset(b, 0x5a, sizeof(b));
		assert_true(ch_same_bytes(a, b, n));
		for (size_t bit = 0; bit < 8 * n; bit++) {
			b[bit / 8] ^= (unsigned char)(1u << bit % 8);
			assert_false(ch_same_bytes(a, b, n));
			b[bit / 8] ^= (unsigned char)(1u << bit % 8);
		}
		if (n < sizeof(a))
			b[n] ^= 1; /* behind the end: of no matter */
		assert_true(ch_same_bytes(a, b, n));
	}
}

static void networks_hold_their_addresses(void **state)
{
	static const struct { const char *net, *address; bool has; } rows[] = {
		{ "10.0.0.0/8", "10.255.0.1", true }, { "10.0.0.0/8", "11.0.0.1", false }, { "10.0.0.0/8", "::ffff:10.1.2.3", true },
		{ "192.168.1.7", "192.168.1.7", true }, { "192.168.1.7", "192.168.1.6", false }, { "0.0.0.0/0", "8.8.8.8", true },
		{ "0.0.0.0/0", "2001:db8::1", false }, { "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false }, { "::/0", "10.0.0.1", true },
	};
	static const char *const wrong[] = { "", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "::1/129", "10.0.0.0/-1", "x", "10.0.0.0/8x" };
	struct ch_net net;
	struct in6_addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(ch_net_read(rows[i].net, strlen(rows[i].net), &net));
		assert_true(ch_addr_read(rows[i].address, strlen(rows[i].address), &a));
		if (ch_nets_have(&net, 1, &a) != rows[i].has)
			fail_msg("%s in %s", rows[i].address, rows[i].net);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (ch_net_read(wrong[i], strlen(wrong[i]), &net))
			fail_msg("\"%s\" is a network", wrong[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_are_the_standards),
		cmocka_unit_test(hex_is_read_in_both_cases_and_nothing_else_is),
		cmocka_unit_test(one_bit_anywhere_makes_bytes_differ),
		cmocka_unit_test(networks_hold_their_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
