/* SPDX-License-Identifier: Apache-2.0 */
/* h2.h - a call as a transfer of libcurl's, for h2.c and h2_request.c. */
#ifndef HC_H2_H
#define HC_H2_H

#include "http_client.h"

enum hc_stage { HC_STAGE_HEAD, HC_STAGE_BODY }; /* of what libcurl hands over */

struct hc_transfer {
	struct hc_job job;
	struct hc_call *call;
	struct curl_slist *fields, *resolve;
	char *in;                    /* bytes that wait */
	size_t in_n, in_cap;
	size_t uploaded;
	unsigned attempts;           /* times that libcurl began to send the request */
	enum hc_stage stage;
	int line_status;             /* of the head that is coming */
	bool blocked, stopped, ended, too_large, begun, discard;
	CURLcode code;
	char errors[CURL_ERROR_SIZE];
};

/* Tells libcurl method, URL, fields, body, TLS and proxy. False: no memory. */
bool hc_h2_request(struct hc_transfer *t);

#endif
