/* SPDX-License-Identifier: MIT */
/*
 * chimera/ledger.h - the service "ledger/1": rows that are kept from now on and reach every sink once. Since 0.4.
 *
 * What is appended is in the page cache when the call returns (it survives kill -9), on disk within the provider's sync_interval, and in
 * each sink in the order of appending, later. What a sink refuses is kept as a dead letter.
 */
#ifndef CHIMERA_LEDGER_H
#define CHIMERA_LEDGER_H

#include <chimera/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ch_ledger_v1 {
	size_t size;
	/*
	 * [any] One row: as many values as the table has columns, of their types; copied. It never waits for the disk; it takes a lock
	 * that is held for microseconds, milliseconds while the journal works through rows after an error, and may wake a thread. CH_OK;
	 * CH_ERROR: not kept (full, failed, a row over 1 MiB, a table that does not fit its rules), and counted by reason.
	 */
	int (*append)(const struct ch_svc *, const struct ch_relation *table, const struct ch_value *row);
	/*
	 * Would a row be kept now? False: full or failed, and the operator said on_full = refuse_requests. For those who can refuse work
	 * before it is done. [any]
	 */
	bool (*takes)(const struct ch_svc *);
};

#ifdef __cplusplus
}
#endif
#endif
