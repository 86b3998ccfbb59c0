dnl SPDX-License-Identifier: Apache-2.0
dnl The first plugin that looks for OpenSSL.
PKG_CHECK_MODULES([OPENSSL], [openssl >= 1.1.1], [have_openssl=yes], [have_openssl=no])
CHIMERA_PLUGIN([auth], [$have_openssl], [openssl (Debian: libssl-dev)])
