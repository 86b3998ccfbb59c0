dnl SPDX-License-Identifier: Apache-2.0
dnl plugins/http_client has looked for OpenSSL.
PKG_CHECK_MODULES([ZLIB], [zlib], [have_zlib=yes], [have_zlib=no])
AS_IF([test $have_zlib$have_openssl = yesyes], [have_storage_clickhouse=yes], [have_storage_clickhouse=no])
CHIMERA_PLUGIN([storage_clickhouse], [$have_storage_clickhouse], [zlib or openssl (Debian: zlib1g-dev libssl-dev)])
