dnl SPDX-License-Identifier: Apache-2.0
dnl plugins/http_client has looked for OpenSSL, which libpq itself uses. Pipelines came with libpq 14.
PKG_CHECK_MODULES([LIBPQ], [libpq >= 14], [have_libpq=yes], [have_libpq=no])
AS_IF([test $have_libpq$have_openssl = yesyes], [have_storage_postgres=yes], [have_storage_postgres=no])
CHIMERA_PLUGIN([storage_postgres], [$have_storage_postgres], [libpq >= 14 or openssl (Debian: libpq-dev libssl-dev)])
