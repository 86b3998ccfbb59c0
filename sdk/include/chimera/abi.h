/* SPDX-License-Identifier: MIT */
/*
 * chimera/abi.h - what chimera/plugin.h is built from: which C type an option's value has, how a struct's field is checked at compile time,
 * what the entry is called. Nothing here is for use by itself. Since 0.2; before, it stood in plugin.h.
 */
#ifndef CHIMERA_ABI_H
#define CHIMERA_ABI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Names that end in an underscore are this header's own: do not use them. */
#ifdef __cplusplus
#define CH_EXTERN_C_ extern "C"
#define CH_LIT_(tag) tag
#define CH_OFFSET_(conf, field, ctype) (offsetof(conf, field) + 0 * sizeof(1 ? &((conf *)0)->field : (ctype *)0))
#else
#define CH_EXTERN_C_
#define CH_LIT_(tag) (struct tag)
#define CH_OFFSET_(conf, field, ctype) \
	(offsetof(conf, field) + 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((conf *)0)->field), ctype) ? 1 : -1]))
#endif
#define CH_HIDDEN_ __attribute__((visibility("hidden")))
#define CH_PRINTF_(f, a) __attribute__((format(printf, f, a)))
#define CH_C_STR const char *
#define CH_C_INT int64_t
#define CH_C_BOOL bool
#define CH_C_DURATION int64_t
#define CH_C_SIZE int64_t
#define CH_C_RATE double
#define CH_C_SHARE double
#define CH_C_DOUBLE double
#define CH_C_ENUM int
#define CH_C_LIST struct ch_list
#define CH_C_PATH const char *
#define CH_C_DATA const char *
#define CH_C_SERVICE const struct ch_svc *
#define CH_C_SERVICES struct ch_svcs
#ifdef CHIMERA_PRELOADED /* linked into a program by libtool's -dlpreopen: the symbol carries the plugin's name */
#define CH_ENTRY_(name) name##_LTX_ch_plugin_v1
#define CH_HOST_DEF_ __attribute__((weak)) /* one for all of them */
#else
#define CH_ENTRY_(name) ch_plugin_v1
#define CH_HOST_DEF_
#endif

#endif
