dnl SPDX-License-Identifier: Apache-2.0
dnl plugins/http_client has looked for OpenSSL, whose SHA-1 names the scripts.
PKG_CHECK_MODULES([HIREDIS], [hiredis >= 0.14], [have_hiredis=yes], [have_hiredis=no])
AS_IF([test $have_hiredis$have_openssl = yesyes], [have_kv_redis=yes], [have_kv_redis=no])
CHIMERA_PLUGIN([kv_redis], [$have_kv_redis], [hiredis >= 0.14 or openssl (Debian: libhiredis-dev libssl-dev)])
