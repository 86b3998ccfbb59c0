/* SPDX-License-Identifier: MIT */
/* sdk/test/vlog.h - log lines, kept in memory instead of written. */
#ifndef CHI_VLOG_H
#define CHI_VLOG_H

/* All lines since chi_vlog_clear, without their times. Valid until then. */
const char *chi_vlog_text(void);
void chi_vlog_clear(void);

#endif
