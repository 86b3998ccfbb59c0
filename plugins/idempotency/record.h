/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - what stands in the store under a key: a claim while somebody works on it, then the whole answer, or only that there was one.
 * Pure functions over bytes; what is read may come from anywhere and is believed only if it is whole.
 *
 *     version 1, state 1, fingerprint 32, then
 *       claim   process 16, nonce 8
 *       answer  status 2, flags 1, fields 1, for each: name's length 2, value's length 4, name NUL value NUL; the body is the rest
 *       spent   nothing
 *
 * Numbers are little-endian.
 */
#ifndef IDEM_RECORD_H
#define IDEM_RECORD_H

#include <chimera/kit/hash.h>

#define IDEM_PROCESS 16                   /* bytes that name a process, new at each start */
#define IDEM_CLAIM_SIZE 58
#define IDEM_SPENT_SIZE 34
#define IDEM_ANSWER_HEAD 38               /* bytes before the first field */
#define IDEM_FIELD_HEAD 6
#define IDEM_FIELDS_MAX 64

enum idem_kind { IDEM_CLAIM = 1, IDEM_ANSWER, IDEM_SPENT };

struct idem_record {                      /* as it was read: points into the bytes */
	int kind;                         /* enum idem_kind */
	const unsigned char *print;       /* CH_SHA256 bytes: the payload's fingerprint */
	const unsigned char *process;     /* CLAIM: whose … */
	uint64_t nonce;                   /* … and which of its claims */
	int status;                       /* ANSWER */
	bool stream;                      /* … its body came as a stream of events */
	unsigned nfields;
	struct ch_str fields, body;
};

void idem_record_claim(unsigned char out[IDEM_CLAIM_SIZE], const unsigned char *print, const unsigned char *process, uint64_t nonce);
void idem_record_spent(unsigned char out[IDEM_SPENT_SIZE], const unsigned char *print);
void idem_record_answer(unsigned char out[IDEM_ANSWER_HEAD], const unsigned char *print, int status, bool stream, unsigned nfields);
void idem_record_field(unsigned char out[IDEM_FIELD_HEAD], size_t name, size_t value);

/* False: these bytes are no record. */
bool idem_record_read(struct ch_str bytes, struct idem_record *r);
/* The next field at *at of r->fields, which begins with 0; both end with a NUL. False: there is none any more. */
bool idem_record_next(const struct idem_record *r, size_t *at, const char **name, const char **value);

#endif
