/* SPDX-License-Identifier: Apache-2.0 */
/* tsvc.h - the service "tsvc/1" of the test plugins: an answer after a while, or at once. */
#ifndef TSVC_H
#define TSVC_H

#include <chimera/plugin.h>

struct tsvc_result {
	size_t size;
	int64_t number;  /* the argument, doubled */
	void *call;      /* the provider's own, as long as the call runs */
};

struct tsvc_v1 {
	size_t size;
	/* after_ms 0: CH_OK, *out is filled now. > 0: CH_AGAIN, filled when the ticket is resumed. < 0: CH_AGAIN, only `cancel` ends it. */
	int (*twice)(const struct ch_svc *, struct ch_ctx *, int64_t number, int64_t after_ms, struct tsvc_result *out, ch_ticket);
	void (*cancel)(const struct ch_svc *, struct ch_ctx *, struct tsvc_result *out); /* idempotent */
};

#endif
