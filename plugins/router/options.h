/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the tables of [router] and [router.MODEL], and what is checked of them. options.c. */
#ifndef ROUTER_OPTIONS_H
#define ROUTER_OPTIONS_H

#include "router.h"

#define ROUTER_OPTIONS 22
#define ROUTER_ROW_OPTIONS 7
extern const struct ch_option router_options[ROUTER_OPTIONS], router_row_options[ROUTER_ROW_OPTIONS];

/* check of struct ch_plugin. */
int router_check(struct ch_self *self);

/* The bits of retry_on, 1u << enum router_reason; words that are none are left out. */
unsigned router_retry_bits(const struct ch_list *retry_on);

#endif
