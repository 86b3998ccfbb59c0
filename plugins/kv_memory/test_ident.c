/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ident.c - SipHash-1-3 of 128 bits. The expected values are OpenSSL's: `openssl mac -macopt hexkey:000102…0f -macopt size:16
 * -macopt c-rounds:1 -macopt d-rounds:3 -in FILE SIPHASH`, of files with the bytes 0, 1, 2, ….
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ident.h"

static void it_is_siphash_1_3(void **state)
{
	static const struct {
		size_t n;
		struct km_id id;
	} want[] = {
		{ 0, { 0xbea58827b2bc7ee7, 0x013030dd6adb62fd } },
		{ 1, { 0xa8edd36004376ffc, 0x63f02f2bcc73055e } },
		{ 7, { 0xc3e0aaf223b98410, 0x77ab4808c82e2fa6 } },
		{ 8, { 0xb4dae3d5e1fe12aa, 0x99c7f935ab164f72 } },
		{ 15, { 0x6c52bdb205557ec1, 0x09017e1eeccd2129 } },
		{ 85, { 0x01f0d43df377d602, 0x9c48084aaa8511d6 } },
	};
	const uint64_t secret[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	char bytes[85];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct km_id id = km_ident(secret, bytes, want[i].n);

		if (!km_same(id, want[i].id))
			fail_msg("%zu bytes: found %016llx %016llx", want[i].n, (unsigned long long)id.lo, (unsigned long long)id.hi);
	}
}

static void another_secret_is_another_identity(void **state)
{
	const uint64_t a[2] = { 1, 2 }, b[2] = { 1, 3 };

	(void)state;
	assert_false(km_same(km_ident(a, "key", 3), km_ident(b, "key", 3)));
	assert_false(km_same(km_ident(a, "key", 3), km_ident(a, "key", 2)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_siphash_1_3),
		cmocka_unit_test(another_secret_is_another_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
