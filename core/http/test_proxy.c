/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks, and whose address a request has: behind trusted proxies the rightmost that is none of them. What a client writes proves
 * nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sdk/test/harness.h"

static bool net(const char *text, struct ch_net *n)
{
	return ch_net_read(text, strlen(text), n);
}

static bool has(const char *network, const char *address)
{
	struct ch_net n;
	struct in6_addr a;

	assert_true(net(network, &n));
	assert_true(ch_addr_read(address, strlen(address), &a));
	return ch_nets_have(&n, 1, &a);
}

static void a_network_holds_its_addresses(void **state)
{
	(void)state;
	assert_true(has("10.0.0.0/8", "10.255.1.2"));
	assert_false(has("10.0.0.0/8", "11.0.0.0"));
	assert_true(has("192.168.4.0/22", "192.168.7.255"));
	assert_false(has("192.168.4.0/22", "192.168.8.0"));
	assert_true(has("192.0.2.1", "192.0.2.1"));
	assert_false(has("192.0.2.1", "192.0.2.2"));
	assert_true(has("0.0.0.0/0", "203.0.113.1"));
	assert_false(has("0.0.0.0/0", "2001:db8::1"));
	assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
	assert_true(has("::/0", "10.0.0.1")); /* all there is */
	assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3")); /* the same host, mapped */
}

static void what_is_no_network_is_refused(void **state)
{
	static const char *const bad[] = { "", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08x", "10.0.0/8", "::/129", "::/1000",
		"/8", "localhost", "10.0.0.0/8/8", "10.0.0.0 /8", "1.2.3.4.5", "::1::" };
	struct ch_net n;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (net(bad[i], &n))
			fail_msg("\"%s\" was taken", bad[i]);
}

/* ---- the client's address ---- */

static char client[INET6_ADDRSTRLEN];
static bool trusted;

static int on_look(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	snprintf(client, sizeof(client), "%s", ch_facts(c)->client);
	trusted = ch_peer_trusted(c);
	return ch_respond(c, 204, NULL, NULL, 0);
}

static const struct ch_route routes[] = { { .method = "GET", .pattern = "/look", .fn = on_look } };
static const struct ch_plugin look = { .size = sizeof(look), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "look",
	.version = "0", .summary = "Shows facts", .routes = CH_TABLE(routes) };

static const struct ch_plugin *look_entry(const struct ch_host *host)
{
	(void)host;
	return &look;
}

static void client_is(const char *peer, const char *headers, const char *expected)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, look_entry);
	ch_test_config(t, "[server]\ntrusted_proxies = 10.0.0.0/8, 2001:db8::/32\n[look]\n");
	assert_true(ch_test_start(t));
	ch_test_peer(t, peer);
	assert_int_equal(ch_test_request(t, "GET", "/look", headers, NULL, 0)->status, 204);
	assert_string_equal(client, expected);
	assert_int_equal(trusted, !strncmp(peer, "10.", 3) || !strncmp(peer, "2001:db8", 8));
	ch_test_free(t);
}

static void a_peer_that_is_no_proxy_is_the_client(void **state)
{
	(void)state;
	client_is("203.0.113.9", NULL, "203.0.113.9");
	client_is("203.0.113.9", "X-Forwarded-For: 1.2.3.4", "203.0.113.9");
	client_is("::1", NULL, "::1");
}

static void behind_a_proxy_the_rightmost_that_is_none_is_the_client(void **state)
{
	(void)state;
	client_is("10.0.0.1", NULL, "10.0.0.1");
	client_is("10.0.0.1", "X-Forwarded-For: 203.0.113.9", "203.0.113.9");
	client_is("10.0.0.1", "X-Forwarded-For: 1.2.3.4, 203.0.113.9", "203.0.113.9"); /* 1.2.3.4 is what the client says */
	client_is("10.0.0.1", "X-Forwarded-For: 203.0.113.9, 10.3.4.5,10.9.9.9", "203.0.113.9");
	client_is("10.0.0.1", "X-Forwarded-For: 10.3.4.5, 10.9.9.9", "10.3.4.5"); /* all are proxies: the first is the client */
	client_is("2001:db8::1", "X-Forwarded-For: 2001:db9::7", "2001:db9::7");
}

static void several_fields_are_one_list(void **state)
{
	(void)state;
	client_is("10.0.0.1", "X-Forwarded-For: 1.2.3.4\nX-Forwarded-For: 203.0.113.9", "203.0.113.9");
	client_is("10.0.0.1", "X-Forwarded-For: 203.0.113.9\nX-Forwarded-For: 10.1.1.1", "203.0.113.9");
}

static void ports_brackets_and_blanks_are_taken_off(void **state)
{
	(void)state;
	client_is("10.0.0.1", "X-Forwarded-For:  203.0.113.9:4711 ", "203.0.113.9");
	client_is("10.0.0.1", "X-Forwarded-For: [2001:db9::7]:4711", "2001:db9::7");
	client_is("10.0.0.1", "X-Forwarded-For: [2001:db9::7]", "2001:db9::7");
}

static void at_nonsense_trust_ends(void **state)
{
	(void)state;
	client_is("10.0.0.1", "X-Forwarded-For: unknown", "10.0.0.1");
	client_is("10.0.0.1", "X-Forwarded-For: 203.0.113.9, evil, 10.1.1.1", "10.1.1.1");
	client_is("10.0.0.1", "X-Forwarded-For: 203.0.113.9,,10.1.1.1", "10.1.1.1");
	client_is("10.0.0.1", "X-Forwarded-For: [::1", "10.0.0.1");
	client_is("10.0.0.1", "X-Forwarded-For:", "10.0.0.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_network_holds_its_addresses),
		cmocka_unit_test(what_is_no_network_is_refused),
		cmocka_unit_test(a_peer_that_is_no_proxy_is_the_client),
		cmocka_unit_test(behind_a_proxy_the_rightmost_that_is_none_is_the_client),
		cmocka_unit_test(several_fields_are_one_list),
		cmocka_unit_test(ports_brackets_and_blanks_are_taken_off),
		cmocka_unit_test(at_nonsense_trust_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
