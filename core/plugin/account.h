/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin/account.h - what plugins cost, per plugin and hook, and who is running right now. The loop's thread. */
#ifndef CHI_ACCOUNT_H
#define CHI_ACCOUNT_H

#include "core/work/work.h"

/* Resolves the series of a hook; boot thread. */
void chi_account_init(struct chi_hook *h);
/* Around every call into a hook, also when it goes on after a suspension. Each 61st call is timed. */
void chi_account_enter(struct ch_ctx *c, const struct chi_hook *h);
void chi_account_again(struct ch_ctx *c, const struct chi_hook *h); /* it runs on, and was counted before */
void chi_account_leave(struct ch_ctx *c, const struct chi_hook *h);
void chi_account_error(const struct chi_hook *h);
/* Microseconds that a timed call may take before it is named in the log, where its table says nothing; 0: nobody is named. [any] */
extern _Atomic int64_t chi_hook_budget;

#endif
