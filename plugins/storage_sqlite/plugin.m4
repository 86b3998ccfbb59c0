dnl SPDX-License-Identifier: Apache-2.0
dnl STRICT tables came with 3.37. plugins/http_client has looked for OpenSSL, whose SHA-256 names the migrations' contents.
PKG_CHECK_MODULES([SQLITE], [sqlite3 >= 3.37], [have_sqlite=yes], [have_sqlite=no])
AS_IF([test $have_sqlite$have_openssl = yesyes], [have_storage_sqlite=yes], [have_storage_sqlite=no])
CHIMERA_PLUGIN([storage_sqlite], [$have_storage_sqlite], [sqlite3 >= 3.37 or openssl (Debian: libsqlite3-dev libssl-dev)])
