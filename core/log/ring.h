/* SPDX-License-Identifier: Apache-2.0 */
/* core/log/ring.h - the way of a finished line to the target. For core/log alone. */
#ifndef CHI_LOG_RING_H
#define CHI_LOG_RING_H

#include "core/log/log.h"

enum chi_style { CHI_STYLE_TEXT = 0, CHI_STYLE_JSON, CHI_STYLE_JOURNAL }; /* how lines are written at present; TEXT before start */

int chi_log_style(void);
/* Closes the line without sending it: l->buf holds l->n bytes, a whole record. */
void chi_line_finish(struct chi_line *l);
/* Takes a whole record: a line with its newline, or the body of a journal datagram. Copies it into the ring, or drops and counts it. */
void chi_log_push(const char *p, size_t n);

#endif
