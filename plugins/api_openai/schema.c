/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - the members that are read and written here, as JSON Schema 2020-12. Further ones pass, see members.c. */
#include "api_openai.h"

#define SCHEMA "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\","
#define NUMBER(min, max) "{\"type\":[\"number\",\"null\"],\"minimum\":" min ",\"maximum\":" max "}"
#define INTEGER(min, max) "{\"type\":[\"integer\",\"null\"],\"minimum\":" min ",\"maximum\":" max "}"
#define BOOLEAN "{\"type\":[\"boolean\",\"null\"]}"
#define OBJECT "{\"type\":[\"object\",\"null\"]}"
#define OBJECTS "{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"object\"}}"
#define NAME "{\"type\":[\"string\",\"null\"],\"minLength\":1,\"maxLength\":256,\"pattern\":\"^[!-~]+$\""
#define TEXTS                                                                                                                              \
	"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"string\"}},"                           \
	"{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"integer\",\"minimum\":0}},"                                              \
	"{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"integer\",\"minimum\":0}}}" \
	"]}"

/* What all operations have; what makes texts has. */
#define COMMON                                                                                                                             \
	"\"model\":" NAME ",\"description\":\"One of GET /v1/models\"},"                                                                   \
	"\"backend\":" NAME ",\"description\":\"chimera's own: which backend is to answer; never sent on\"}"
#define SAMPLING                                                                                                                           \
	COMMON ",\"stream\":" BOOLEAN ",\"stream_options\":{\"type\":[\"object\",\"null\"],\"properties\":{\"include_usage\":" BOOLEAN     \
	       "}},"                                                                                                                       \
	       "\"temperature\":" NUMBER("0", "2") ",\"top_p\":" NUMBER(                                                                   \
		       "0", "1") ",\"seed\":{\"type\":[\"integer\",\"null\"]},"                                                            \
				 "\"stop\":{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\"},{\"type\":\"array\",\"maxItems\":64,"     \
				 "\"items\":{\"type\":\"string\"}}]},"                                                                     \
				 "\"n\":" INTEGER("1", "128") ",\"presence_penalty\":" NUMBER("-2", "2") ",\"frequency_penalty\":" NUMBER( \
					 "-2", "2") ","                                                                                    \
						    "\"logit_bias\":" OBJECT
#define USAGE                                                                                                                              \
	"\"usage\":{\"type\":\"object\",\"required\":[\"prompt_tokens\",\"total_tokens\"],\"properties\":{\"prompt_tokens\":{\"type\":"    \
	"\"integer\"},"                                                                                                                    \
	"\"completion_tokens\":{\"type\":\"integer\"},\"total_tokens\":{\"type\":\"integer\"}}}"
#define ANSWER(object, choice)                                                                                                             \
	SCHEMA "\"required\":[\"id\",\"object\",\"created\",\"model\",\"choices\"],\"properties\":{\"id\":{\"type\":\"string\"},"          \
	       "\"object\":{\"const\":\"" object "\"},\"created\":{\"type\":\"integer\"},\"model\":{\"type\":\"string\"},"                 \
	       "\"choices\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"index\",\"finish_reason\"],\"properties\":" \
	       "{"                                                                                                                         \
	       "\"index\":{\"type\":\"integer\"},\"finish_reason\":{\"type\":[\"string\",\"null\"]}," choice "}}}," USAGE "}}"
#define MODEL                                                                                                                              \
	"\"required\":[\"id\",\"object\",\"created\",\"owned_by\"],\"properties\":{\"id\":{\"type\":\"string\"},\"object\":{\"const\":"    \
	"\"model\"},"                                                                                                                      \
	"\"created\":{\"type\":\"integer\"},\"owned_by\":{\"type\":\"string\"},\"context_length\":{\"type\":\"integer\"}}}"

const char api_chat_request[] = SCHEMA
	"\"required\":[\"messages\"],\"properties\":{" SAMPLING ","
	"\"messages\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"object\",\"required\":[\"role\"],\"properties\":{"
	"\"role\":{\"enum\":[\"system\",\"developer\",\"user\",\"assistant\",\"tool\",\"function\"]},"
	"\"content\":{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"string\"},{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":"
	"\"object\","
	"\"required\":[\"type\"],\"properties\":{\"type\":{\"type\":\"string\"},\"text\":{\"type\":\"string\"}}}}]},"
	"\"tool_calls\":" OBJECTS "}}},"
	"\"max_tokens\":" INTEGER("1", "2147483647") ",\"max_completion_tokens\":" INTEGER("1",
		"2147483647") ","
			      "\"tools\":" OBJECTS ",\"tool_choice\":{\"type\":[\"string\",\"object\",\"null\"]},"
			      "\"response_format\":{\"type\":[\"object\",\"null\"],\"required\":[\"type\"],\"properties\":{\"type\":{"
			      "\"type\":\"string\"}}},"
			      "\"logprobs\":" BOOLEAN
			      ",\"top_logprobs\":" INTEGER("0", "128") ","
								       "\"modalities\":{\"type\":[\"array\",\"null\"],\"items\":{\"type\":"
								       "\"string\"}},\"audio\":" OBJECT ",\"prediction\":" OBJECT "}}";

const char api_chat_response[] = ANSWER("chat.completion", "\"message\":{\"type\":\"object\",\"required\":[\"role\"],\"properties\":{"
							   "\"role\":{\"type\":\"string\"},\"content\":{\"type\":[\"string\",\"null\"]},"
							   "\"tool_calls\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}}}}");

const char api_completion_request[] =
	SCHEMA "\"required\":[\"prompt\"],\"properties\":{" SAMPLING ",\"prompt\":" TEXTS ",\"max_tokens\":" INTEGER(
		"0", "2147483647") ","
				   "\"best_of\":" INTEGER("1", "128") ",\"echo\":" BOOLEAN
								      ",\"suffix\":{\"type\":[\"string\",\"null\"]},\"logprobs\":" INTEGER(
									      "0", "128") "}}";

const char api_completion_response[] = ANSWER("text_completion", "\"text\":{\"type\":\"string\"}");

const char api_embeddings_request[] = SCHEMA "\"required\":[\"input\"],\"properties\":{" COMMON ",\"input\":" TEXTS
					     ",\"encoding_format\":{\"enum\":[\"float\",\"base64\",null]},"
					     "\"dimensions\":" INTEGER("1", "2147483647") "}}";

const char api_embeddings_response[] = SCHEMA
	"\"required\":[\"object\",\"data\",\"model\"],\"properties\":{\"object\":{\"const\":\"list\"},\"model\":{\"type\":\"string\"},"
	"\"data\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"object\",\"index\",\"embedding\"],\"properties\":{"
	"\"object\":{\"const\":\"embedding\"},\"index\":{\"type\":\"integer\"},\"embedding\":{\"anyOf\":[{\"type\":\"array\",\"items\":{"
	"\"type\":\"number\"}},{\"type\":\"string\",\"contentEncoding\":\"base64\"}]}}}}," USAGE "}}";

const char api_model_response[] = SCHEMA MODEL;

const char api_models_response[] = SCHEMA "\"required\":[\"object\",\"data\"],\"properties\":{\"object\":{\"const\":\"list\"},\"data\":{"
					  "\"type\":\"array\",\"items\":{\"type\":\"object\"," MODEL "}}}";
