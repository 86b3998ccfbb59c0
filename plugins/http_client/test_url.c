/* SPDX-License-Identifier: Apache-2.0 */
/* test_url.c - URLs taken apart by RFC 3986's grammar for http, and the addresses that are link-local by RFC 3927 and RFC 4291. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "address.h"
#include "url.h"

static const char *parse(struct hc_url *u, const char *text)
{
	bool foreign = true;
	const char *why = hc_url_parse(u, text, strlen(text), &foreign);

	assert_false(foreign);
	return why;
}

static void a_url_has_scheme_host_port_and_target(void **state)
{
	struct hc_url u;

	(void)state;
	assert_null(parse(&u, "https://API.Example.com:8443/v1/Chat?q=A%20b"));
	assert_true(u.tls && !u.numeric && !u.v6 && !u.usual_port && !u.slash);
	assert_string_equal(u.host, "api.example.com");
	assert_int_equal(u.host_n, 15);
	assert_int_equal(u.port, 8443);
	assert_int_equal(u.target_n, 16);
	assert_memory_equal(u.target, "/v1/Chat?q=A%20b", 16);
}

static void ports_are_the_schemes_own_if_none_is_named(void **state)
{
	static const struct { const char *text; unsigned port; bool usual; } rows[] = {
		{ "http://h", 80, true }, { "HTTPS://h", 443, true }, { "http://h:80/", 80, true }, { "http://h:443/", 443, false },
		{ "https://h:443", 443, true }, { "http://h:1", 1, false }, { "http://h:65535", 65535, false },
		{ "http://h:00080", 80, true },
	};
	struct hc_url u;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_null(parse(&u, rows[i].text));
		assert_int_equal(u.port, rows[i].port);
		assert_int_equal(u.usual_port, rows[i].usual);
	}
}

static void a_target_without_a_slash_is_told(void **state)
{
	struct hc_url u;

	(void)state;
	assert_null(parse(&u, "http://h"));
	assert_true(u.slash && u.target_n == 0);
	assert_null(parse(&u, "http://h?a=b"));
	assert_true(u.slash && u.target_n == 4);
	assert_null(parse(&u, "http://h/"));
	assert_true(!u.slash && u.target_n == 1);
}

static void addresses_are_known_as_such(void **state)
{
	struct hc_url u;

	(void)state;
	assert_null(parse(&u, "http://127.0.0.1:8080/"));
	assert_true(u.numeric && !u.v6);
	assert_null(parse(&u, "http://[::1]:8080/"));
	assert_true(u.numeric && u.v6);
	assert_string_equal(u.host, "::1");
	assert_int_equal(u.port, 8080);
	assert_null(parse(&u, "http://[FE80::A]"));
	assert_string_equal(u.host, "fe80::a");
	assert_null(parse(&u, "http://2130706433/")); /* a name as far as we are concerned: the resolver decides */
	assert_false(u.numeric);
}

static void what_is_no_such_url_is_refused_with_a_reason(void **state)
{
	static const struct { const char *text, *why; } rows[] = {
		{ "", "does not begin" }, { "h/x", "does not begin" }, { "//h/x", "does not begin" }, { "http:/h", "does not begin" },
		{ "http://", "names no host" }, { "http:///x", "names no host" }, { "http://:80/", "names no host" },
		{ "http://u@h/", "user:password@" }, { "http://u:p@h/", "user:password@" }, { "http://h/#x", "fragment" },
		{ "http://h#x", "fragment" },
		{ "http://h:/", "port" }, { "http://h:0/", "port" }, { "http://h:65536/", "port" }, { "http://h:123456/", "port" },
		{ "http://h:8x/", "port" }, { "http://h:-1/", "port" }, { "http://h h/", "byte that host names have not" },
		{ "http://h\xc3\xa4/", "xn--" }, { "http://h%41/", "byte that host names have not" }, { "http://h/a b", "percent-encode" },
		{ "http://h/a\tb", "percent-encode" }, { "http://h/a\rb", "percent-encode" }, { "http://h/\xc3\xa4", "percent-encode" },
		{ "http://h/a\\b", "percent-encode" }, { "http://h/\x7f", "percent-encode" }, { "http://[::1/", "no IPv6 address" },
		{ "http://[::1]x/", "no IPv6 address" }, { "http://[1.2.3.4]/", "no IPv6 address" },
		{ "http://[fe80::1%25eth0]/", "no IPv6 address" },
		{ "http://[]/", "no IPv6 address" }, { "http://::1/", "names no host" },
	};
	struct hc_url u;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *why = parse(&u, rows[i].text);

		if (!why || !strstr(why, rows[i].why))
			fail_msg("%s: %s", rows[i].text, why ? why : "taken");
	}
}

static void other_schemes_are_foreign(void **state)
{
	static const char *const rows[] = { "ftp://h/", "file:///etc/passwd", "httpx://h/", "gopher://h/", "ws+unix://h/" };
	struct hc_url u;
	bool foreign;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		foreign = false;
		assert_non_null(hc_url_parse(&u, rows[i], strlen(rows[i]), &foreign));
		assert_true(foreign);
	}
}

static void hosts_have_at_most_253_bytes(void **state)
{
	char text[7 + 255] = "http://";
	struct hc_url u;

	(void)state;
	memset(text + 7, 'a', 253);
	assert_null(parse(&u, text));
	assert_int_equal(u.host_n, 253);
	text[7 + 253] = 'a';
	assert_non_null(strstr(parse(&u, text), "253 bytes"));
}

static void a_nul_is_no_end(void **state)
{
	struct hc_url u;
	bool foreign;

	(void)state;
	assert_non_null(hc_url_parse(&u, "http://h\0/", 10, &foreign));
	assert_non_null(hc_url_parse(&u, "http://h/\0x", 11, &foreign));
	assert_non_null(hc_url_parse(&u, "http://[::1\0]/", 14, &foreign));
}

static void link_local_addresses_are_known_in_every_dress(void **state)
{
	static const char *const yes[] = { "169.254.0.0", "169.254.169.254", "169.254.255.255", "fe80::1", "fe80::", "febf:ffff::1",
		"::ffff:169.254.169.254", "::ffff:a9fe:1", "::169.254.1.1", "64:ff9b::169.254.169.254" };
	static const char *const no[] = { "169.253.255.255", "169.255.0.0", "127.0.0.1", "10.0.0.1", "::1", "fec0::1", "fe7f::1", "fd00::1",
		"::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "2001:db8::169.254.1.1", "localhost", "" };

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (!hc_link_local_text(yes[i]))
			fail_msg("%s is let through", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (hc_link_local_text(no[i]))
			fail_msg("%s is held back", no[i]);
}

static void socket_addresses_are_judged_the_same(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct sockaddr_in6 b = { .sin6_family = AF_INET6 };
	struct sockaddr other = { .sa_family = AF_UNIX };

	(void)state;
	assert_int_equal(inet_pton(AF_INET, "169.254.169.254", &a.sin_addr), 1);
	assert_int_equal(inet_pton(AF_INET6, "fe80::1", &b.sin6_addr), 1);
	assert_true(hc_link_local((struct sockaddr *)&a) && hc_link_local((struct sockaddr *)&b));
	assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &a.sin_addr), 1);
	assert_int_equal(inet_pton(AF_INET6, "::1", &b.sin6_addr), 1);
	assert_false(hc_link_local((struct sockaddr *)&a) || hc_link_local((struct sockaddr *)&b) || hc_link_local(&other));
}

/* Each text after the one before it, and by itself: what is said is the same. */
static void a_server_that_is_remembered_changes_nothing(void **state)
{
	static const char *const texts[] = { "http://h:81/a", "http://h:81/b?c=d", "http://h:81", "http://h:81?x", "http://h:81#f",
		"http://h:81/ ", "http://h:81/e", "http://h:811/", "http://h:8", "HTTP://H:81/a", "http://h:81@x/", "http://h:81.x/",
		"https://h:81/a", "http://h/a", "http://ho/a", "http://h", "ftp://h/a", "http:///", "http://h/a",
		"http://169.254.169.254/", "http://169.254.169.254/x", "http://127.0.0.1:9/x", "http://127.0.0.1:9/y",
		"http://[fe80::1]/", "http://[fe80::1]/x", "http://[::1]:7/", "http://[::1]:7x/", "" };
	struct hc_url u = { .server_n = 0 }, own;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		bool foreign = i & 1, own_foreign = !foreign;
		const char *why = hc_url_parse_next(&u, texts[i], strlen(texts[i]), &foreign);
		const char *own_why = hc_url_parse(&own, texts[i], strlen(texts[i]), &own_foreign);

		assert_int_equal(foreign, own_foreign);
		assert_int_equal(why != NULL, own_why != NULL);
		if (why) {
			assert_string_equal(why, own_why);
			continue;
		}
		assert_string_equal(u.host, own.host);
		assert_int_equal(u.host_n, own.host_n);
		assert_int_equal(u.port, own.port);
		assert_int_equal(u.tls << 4 | u.numeric << 3 | u.v6 << 2 | u.usual_port << 1 | u.slash,
			own.tls << 4 | own.numeric << 3 | own.v6 << 2 | own.usual_port << 1 | own.slash);
		assert_int_equal(u.link_local, own.link_local);
		assert_ptr_equal(u.target, own.target);
		assert_int_equal(u.target_n, own.target_n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_url_has_scheme_host_port_and_target),
		cmocka_unit_test(ports_are_the_schemes_own_if_none_is_named),
		cmocka_unit_test(a_target_without_a_slash_is_told),
		cmocka_unit_test(addresses_are_known_as_such),
		cmocka_unit_test(what_is_no_such_url_is_refused_with_a_reason),
		cmocka_unit_test(other_schemes_are_foreign),
		cmocka_unit_test(hosts_have_at_most_253_bytes),
		cmocka_unit_test(a_nul_is_no_end),
		cmocka_unit_test(link_local_addresses_are_known_in_every_dress),
		cmocka_unit_test(socket_addresses_are_judged_the_same),
		cmocka_unit_test(a_server_that_is_remembered_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
