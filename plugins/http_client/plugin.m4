dnl SPDX-License-Identifier: Apache-2.0
dnl configure.ac has looked for libcurl; CURLOPT_PROTOCOLS_STR came with 7.85.
AS_IF([test $have_curl$have_openssl = yesyes], [PKG_CHECK_EXISTS([libcurl >= 7.85], [have_http_client=yes], [have_http_client=no])],
	[have_http_client=no])
CHIMERA_PLUGIN([http_client], [$have_http_client], [libcurl >= 7.85 or openssl (Debian: libcurl4-openssl-dev libssl-dev)])
