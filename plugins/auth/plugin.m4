dnl SPDX-License-Identifier: Apache-2.0
dnl Keys of JSON Web Tokens are made by EVP_PKEY_fromdata, which came with 3.0. OPENSSL_CFLAGS and _LIBS are those that http_client looks for.
PKG_CHECK_EXISTS([openssl >= 3.0], [have_openssl3=yes], [have_openssl3=no])
CHIMERA_PLUGIN([auth], [$have_openssl3], [openssl >= 3.0 (Debian: libssl-dev)])
