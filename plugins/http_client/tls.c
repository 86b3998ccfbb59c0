/* SPDX-License-Identifier: Apache-2.0 */
/* tls.c - see tls.h. The only file that knows OpenSSL. */
#include <string.h>

#include <openssl/ssl.h>

#include "tls.h"

static SSL *ssl_of(CURL *easy)
{
	struct curl_tlssessioninfo *info = NULL;

	if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || !info || info->backend != CURLSSLBACKEND_OPENSSL)
		return NULL;
	return info->internals;
}

bool hc_tls_ended(CURL *easy)
{
	SSL *ssl = ssl_of(easy);

	return ssl && (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN);
}

bool hc_tls_speaks_h2(CURL *easy)
{
	SSL *ssl = ssl_of(easy);
	const unsigned char *name = NULL;
	unsigned n = 0;

	if (ssl)
		SSL_get0_alpn_selected(ssl, &name, &n);
	return n == 2 && !memcmp(name, "h2", 2);
}
