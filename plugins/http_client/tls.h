/* SPDX-License-Identifier: Apache-2.0 */
/* tls.h - two things about a TLS connection that libcurl does not tell. With a TLS library other than OpenSSL both are false. */
#ifndef HC_TLS_H
#define HC_TLS_H

#include <stdbool.h>

#include <curl/curl.h>

/* Has the peer said that it ends here (close_notify)? curl_easy_recv takes a cut for the same. The handle was read from before. */
bool hc_tls_ended(CURL *easy);
/* Was HTTP/2 agreed on (ALPN)? The same. */
bool hc_tls_speaks_h2(CURL *easy);

#endif
