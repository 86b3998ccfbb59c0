/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLICK_HEALTH_H
#define CLICK_HEALTH_H

#include "storage_clickhouse.h"

int click_check(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out);

#endif
