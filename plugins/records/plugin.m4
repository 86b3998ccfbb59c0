dnl SPDX-License-Identifier: Apache-2.0
dnl xxHash is used by its header alone.
PKG_CHECK_MODULES([PCRE2], [libpcre2-8 >= 10.30], [have_records=yes], [have_records=no])
AC_CHECK_HEADER([xxhash.h], [], [have_records=no])
CHIMERA_PLUGIN([records], [$have_records], [libpcre2-8 or xxhash.h (Debian: libpcre2-dev libxxhash-dev)])
