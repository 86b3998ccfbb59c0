/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - memory for libcurl, which crashes where it gets none. */
#ifndef HC_MEMORY_H
#define HC_MEMORY_H

#include <stdbool.h>

/* curl_global_init, once a process, with allocations that are tried again, from a reserve if all else is gone. False: it failed. */
bool hc_memory_init(void);

#endif
