dnl SPDX-License-Identifier: Apache-2.0
dnl m4/chimera.m4 - the macros of chimera's configure.ac and of plugins/*/plugin.m4.

dnl CHIMERA_PLUGIN([NAME], [yes or no, may be a shell variable], [PACKAGE that is missing when no])
dnl Sets the automake condition PLUGIN_<NAME> and adds a line to the table at the end of ./configure.
AC_DEFUN([CHIMERA_PLUGIN], [
	chimera_built="$2"
	AM_CONDITIONAL([PLUGIN_]m4_toupper([$1]), [test "x$chimera_built" = xyes])
	AS_IF([test "x$chimera_built" = xyes],
		[chimera_plugin_table="$chimera_plugin_table
  m4_format([%-18s], [$1]) built"],
		[chimera_plugin_table="$chimera_plugin_table
  m4_format([%-18s], [$1]) left out: $3 is missing"])
])

dnl CHIMERA_TRY_FLAGS([VARIABLE], [FLAGS], [if good], [if not])
dnl Appends FLAGS to the shell variable VARIABLE if the compiler and linker take them without a warning.
AC_DEFUN([CHIMERA_TRY_FLAGS], [
	AC_MSG_CHECKING([whether $CC takes $2])
	chimera_saved="$CFLAGS"
	CFLAGS="$CFLAGS -Werror $2"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <stdio.h>
#include <string.h>]], [[char b[8]; memset(b, 0, sizeof(b)); return puts(b) < 0;]])],
		[chimera_good=yes], [chimera_good=no])
	CFLAGS="$chimera_saved"
	AC_MSG_RESULT([$chimera_good])
	AS_IF([test $chimera_good = yes], [$1="[$]$1 $2"; $3], [$4])
])
