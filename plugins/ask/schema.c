/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - what request.c reads and answer.c writes, as JSON Schema 2020-12. */
#include "request.h"

const char ask_request_schema[] =
	"{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\",\"additionalProperties\":false,"
	"\"properties\":{"
	"\"prompt\":{\"type\":[\"string\",\"null\"],\"minLength\":1,\"description\":\"One question of the user\"},"
	"\"messages\":{\"type\":[\"array\",\"null\"],\"minItems\":1,\"description\":\"A conversation, in place of prompt\",\"items\":{"
	"\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"role\",\"content\"],\"properties\":{"
	"\"role\":{\"enum\":[\"system\",\"user\",\"assistant\",\"developer\",\"tool\"]},"
	"\"content\":{\"type\":\"string\"}}}},"
	"\"model\":{\"type\":[\"string\",\"null\"],\"minLength\":1,\"maxLength\":128,\"pattern\":\"^[!-~]+$\"},"
	"\"backend\":{\"type\":[\"string\",\"null\"],\"minLength\":1,\"maxLength\":64,\"pattern\":\"^[!-~]+$\","
	"\"description\":\"Who shall answer, if the server lets clients choose\"},"
	"\"max_tokens\":{\"type\":[\"integer\",\"null\"],\"minimum\":1,\"maximum\":2147483647},"
	"\"temperature\":{\"type\":[\"number\",\"null\"],\"minimum\":0,\"maximum\":2},"
	"\"stream\":{\"type\":[\"boolean\",\"null\"],\"description\":\"true: the answer comes as server-sent events\"}},"
	"\"oneOf\":["
	"{\"required\":[\"prompt\"],\"properties\":{\"prompt\":{\"type\":\"string\"},\"messages\":{\"type\":\"null\"}}},"
	"{\"required\":[\"messages\"],\"properties\":{\"messages\":{\"type\":\"array\"},\"prompt\":{\"type\":\"null\"}}}]}";

const char ask_response_schema[] =
	"{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\","
	"\"required\":[\"backend\",\"model\",\"answer\",\"usage\",\"latency_ms\",\"req_id\"],"
	"\"properties\":{"
	"\"backend\":{\"type\":\"string\"},"
	"\"model\":{\"type\":[\"string\",\"null\"]},"
	"\"answer\":{\"type\":\"string\"},"
	"\"finish_reason\":{\"type\":[\"string\",\"null\"]},"
	"\"usage\":{\"type\":\"object\",\"required\":[\"prompt_tokens\",\"completion_tokens\",\"total_tokens\"],\"properties\":{"
	"\"prompt_tokens\":{\"type\":\"integer\"},\"completion_tokens\":{\"type\":\"integer\"},\"total_tokens\":{\"type\":\"integer\"}}},"
	"\"latency_ms\":{\"type\":\"number\"},"
	"\"req_id\":{\"type\":[\"string\",\"null\"]}}}";
