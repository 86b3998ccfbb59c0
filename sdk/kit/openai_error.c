/* SPDX-License-Identifier: MIT */
/* openai_error.c - see chimera/kit/openai.h. */
#include <chimera/kit/openai.h>

void ch_openai_error(struct ch_jw *w, const char *message, const char *type, const char *param, const char *code)
{
	ch_jw_object(w);
	ch_jw_key(w, "message");
	ch_jw_cstr(w, message);
	ch_jw_key(w, "type");
	ch_jw_cstr(w, type);
	ch_jw_key(w, "param");
	ch_jw_cstr(w, param);
	ch_jw_key(w, "code");
	ch_jw_cstr(w, code);
	ch_jw_object_end(w);
}
