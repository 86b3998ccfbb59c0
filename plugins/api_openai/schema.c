/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - the members that are read and written here, as JSON Schema 2020-12. Further ones pass, see members.c. */
#include "api_openai.h"

/* ---- values ---- */

#define SCHEMA "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
#define WITH(required) "\"type\":\"object\",\"required\":[" required "],\"properties\":{"
#define STRING "{\"type\":\"string\"}"
#define INT "{\"type\":\"integer\"}"
#define MAYBE_STRING "{\"type\":[\"string\",\"null\"]}"
#define MAYBE_BOOL "{\"type\":[\"boolean\",\"null\"]}"
#define MAYBE_OBJECT "{\"type\":[\"object\",\"null\"]}"
#define MAYBE_OBJECTS "{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"object\"}}"
#define MAYBE_NUMBER(min, max) "{\"type\":[\"number\",\"null\"],\"minimum\":" #min ",\"maximum\":" #max "}"
#define MAYBE_INT(min, max) "{\"type\":[\"integer\",\"null\"],\"minimum\":" #min ",\"maximum\":" #max "}"
#define LIST(min, items) "{\"type\":\"array\",\"minItems\":" #min ",\"items\":" items "}"
#define NAME(what) \
	"{\"type\":[\"string\",\"null\"],\"minLength\":1,\"maxLength\":128,\"pattern\":\"^[!-~]+$\",\"description\":\"" what "\"}"
#define IDS LIST(1, "{\"type\":\"integer\",\"minimum\":0}")
#define TEXTS "{\"anyOf\":[" STRING "," LIST(1, STRING) "," IDS "," LIST(1, IDS) "]}"

/* ---- members of several ---- */

#define COMMON \
	"\"model\":" NAME("One of GET /v1/models") "," \
	"\"backend\":" NAME("chimera's own: which backend is to answer; never sent on")
#define SAMPLING \
	COMMON "," \
	"\"stream\":" MAYBE_BOOL "," \
	"\"stream_options\":{\"type\":[\"object\",\"null\"],\"properties\":{\"include_usage\":" MAYBE_BOOL "}}," \
	"\"temperature\":" MAYBE_NUMBER(0, 2) "," \
	"\"top_p\":" MAYBE_NUMBER(0, 1) "," \
	"\"seed\":{\"type\":[\"integer\",\"null\"]}," \
	"\"stop\":{\"anyOf\":[" MAYBE_STRING ",{\"type\":\"array\",\"maxItems\":64,\"items\":" STRING "}]}," \
	"\"n\":" MAYBE_INT(1, 128) "," \
	"\"presence_penalty\":" MAYBE_NUMBER(-2, 2) "," \
	"\"frequency_penalty\":" MAYBE_NUMBER(-2, 2) "," \
	"\"logit_bias\":" MAYBE_OBJECT
#define USAGE \
	"\"usage\":{" WITH("\"prompt_tokens\",\"total_tokens\"") \
	"\"prompt_tokens\":" INT ",\"completion_tokens\":" INT ",\"total_tokens\":" INT "}}"
#define CHOICE(more) "{" WITH("\"index\",\"finish_reason\"") "\"index\":" INT ",\"finish_reason\":" MAYBE_STRING "," more "}}"
#define ANSWER(object, choice) \
	SCHEMA WITH("\"id\",\"object\",\"created\",\"model\",\"choices\"") \
	"\"id\":" STRING ",\"object\":{\"const\":\"" object "\"},\"created\":" INT ",\"model\":" STRING "," \
	"\"choices\":" LIST(0, CHOICE(choice)) "," USAGE "}}"
#define MODEL \
	WITH("\"id\",\"object\",\"created\",\"owned_by\"") \
	"\"id\":" STRING ",\"object\":{\"const\":\"model\"},\"created\":" INT ",\"owned_by\":" STRING ",\"context_length\":" INT "}}"

/* ---- chat ---- */

#define PART "{" WITH("\"type\"") "\"type\":" STRING ",\"text\":" STRING "}}"
#define MESSAGE \
	"{" WITH("\"role\"") \
	"\"role\":{\"enum\":[\"system\",\"developer\",\"user\",\"assistant\",\"tool\",\"function\"]}," \
	"\"content\":{\"anyOf\":[" MAYBE_STRING "," LIST(1, PART) "]}," \
	"\"tool_calls\":" MAYBE_OBJECTS "}}"

const char api_chat_request[] =
	SCHEMA WITH("\"messages\"") SAMPLING ","
	"\"messages\":" LIST(1, MESSAGE) ","
	"\"max_tokens\":" MAYBE_INT(1, 2147483647) ","
	"\"max_completion_tokens\":" MAYBE_INT(1, 2147483647) ","
	"\"tools\":" MAYBE_OBJECTS ","
	"\"tool_choice\":{\"type\":[\"string\",\"object\",\"null\"]},"
	"\"response_format\":{\"type\":[\"object\",\"null\"],\"required\":[\"type\"],\"properties\":{\"type\":" STRING "}},"
	"\"logprobs\":" MAYBE_BOOL ","
	"\"top_logprobs\":" MAYBE_INT(0, 128) ","
	"\"reasoning_effort\":" MAYBE_STRING ","
	"\"verbosity\":" MAYBE_STRING ","
	"\"modalities\":{\"type\":[\"array\",\"null\"],\"items\":" STRING "},"
	"\"audio\":" MAYBE_OBJECT ","
	"\"prediction\":" MAYBE_OBJECT "}}";

const char api_chat_response[] = ANSWER("chat.completion",
	"\"message\":{" WITH("\"role\"")
	"\"role\":" STRING ",\"content\":" MAYBE_STRING ",\"tool_calls\":" LIST(1, "{\"type\":\"object\"}") "}}");

/* ---- completions ---- */

const char api_completion_request[] =
	SCHEMA WITH("\"prompt\"") SAMPLING ","
	"\"prompt\":" TEXTS ","
	"\"max_tokens\":" MAYBE_INT(0, 2147483647) ","
	"\"best_of\":" MAYBE_INT(1, 128) ","
	"\"echo\":" MAYBE_BOOL ","
	"\"suffix\":" MAYBE_STRING ","
	"\"logprobs\":" MAYBE_INT(0, 128) "}}";

const char api_completion_response[] = ANSWER("text_completion", "\"text\":" STRING);

/* ---- embeddings ---- */

const char api_embeddings_request[] =
	SCHEMA WITH("\"input\"") COMMON ","
	"\"input\":" TEXTS ","
	"\"encoding_format\":{\"enum\":[\"float\",\"base64\",null]},"
	"\"dimensions\":" MAYBE_INT(1, 2147483647) "}}";

#define VECTOR "{\"anyOf\":[{\"type\":\"array\",\"items\":{\"type\":\"number\"}},{\"type\":\"string\",\"contentEncoding\":\"base64\"}]}"
#define EMBEDDING \
	"{" WITH("\"object\",\"index\",\"embedding\"") "\"object\":{\"const\":\"embedding\"},\"index\":" INT ",\"embedding\":" VECTOR "}}"

const char api_embeddings_response[] =
	SCHEMA WITH("\"object\",\"data\",\"model\"")
	"\"object\":{\"const\":\"list\"},\"data\":" LIST(0, EMBEDDING) ",\"model\":" STRING "," USAGE "}}";

/* ---- models ---- */

const char api_model_response[] = SCHEMA MODEL;

const char api_models_response[] =
	SCHEMA WITH("\"object\",\"data\"") "\"object\":{\"const\":\"list\"},\"data\":" LIST(0, "{" MODEL) "}}";
