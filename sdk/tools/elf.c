/* SPDX-License-Identifier: MIT */
/*
 * elf.c - what a plugin's file shows to the dynamic linker: what it exports, what it needs and from whom, how it is bound. In the child, of
 * a file that dlopen has taken, so its tables are what they say; they are read from memory, as ld.so has them.
 */
#include "sdk/tools/tool.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

struct dynamic {
	const ElfW(Sym) *symbols;
	const char *strings;
	size_t nsymbols;
	bool now;
};

/* How many symbols there are: the table itself does not say, its hash tables do. */
static size_t count_gnu(const uint32_t *hash)
{
	const uint32_t nbuckets = hash[0], first = hash[1], *buckets = (const uint32_t *)((const ElfW(Addr) *)(hash + 4) + hash[2]);
	const uint32_t *chain = buckets + nbuckets;
	uint32_t last = 0;

	for (uint32_t i = 0; i < nbuckets; i++)
		last = buckets[i] > last ? buckets[i] : last;
	if (last < first)
		return first;
	while (!(chain[last - first] & 1))
		last++;
	return last + 1;
}

static bool read_dynamic(void *handle, struct dynamic *d)
{
	struct link_map *map;

	if (dlinfo(handle, RTLD_DI_LINKMAP, &map))
		return false;
	for (const ElfW(Dyn) *e = map->l_ld; e->d_tag != DT_NULL; e++) {
		const void *p = (const void *)e->d_un.d_ptr; /* glibc has relocated it */

		if (e->d_tag == DT_SYMTAB)
			d->symbols = p;
		else if (e->d_tag == DT_STRTAB)
			d->strings = p;
		else if (e->d_tag == DT_HASH)
			d->nsymbols = ((const uint32_t *)p)[1];
		else if (e->d_tag == DT_GNU_HASH && !d->nsymbols)
			d->nsymbols = count_gnu(p);
		else if (e->d_tag == DT_BIND_NOW)
			d->now = true;
		else if (e->d_tag == DT_FLAGS)
			d->now = d->now || (e->d_un.d_val & DF_BIND_NOW);
		else if (e->d_tag == DT_FLAGS_1)
			d->now = d->now || (e->d_un.d_val & DF_1_NOW);
	}
	return d->symbols && d->strings;
}

/* A list of names for a sentence, of which the first few are shown. */
struct names {
	char text[512];
	size_t at;
	unsigned n;
};

static void add_name(struct names *v, const char *name)
{
	if (v->n++ < 5)
		v->at += (size_t)snprintf(v->text + v->at, sizeof(v->text) - v->at, "%s%.80s", v->at ? ", " : "", name);
}

static const char *more(const struct names *v, char *buf, size_t cap)
{
	if (v->n <= 5)
		return "";
	snprintf(buf, cap, " and %u more", v->n - 5);
	return buf;
}

/* What linkers put there by themselves. */
static bool is_linkers(const char *name)
{
	static const char *const names[] = { "_init", "_fini", "_end", "_edata", "__bss_start", "_start", NULL };

	for (const char *const *n = names; *n; n++)
		if (!strcmp(*n, name))
			return true;
	return false;
}

void check_elf(const char *path, void *handle)
{
	struct dynamic d = { .symbols = NULL };
	struct names shown = { .n = 0 }, missing = { .n = 0 };
	char buf[64];

	(void)path;
	if (!read_dynamic(handle, &d))
		return;
	for (size_t i = 1; i < d.nsymbols; i++) {
		const ElfW(Sym) *s = &d.symbols[i];
		const char *name = d.strings + s->st_name;
		unsigned bind = ELF64_ST_BIND(s->st_info), visible = ELF64_ST_VISIBILITY(s->st_other);

		if (!*name || bind == STB_LOCAL)
			continue;
		if (s->st_shndx != SHN_UNDEF) {
			if (visible == STV_DEFAULT && strcmp(name, "ch_plugin_v1") && !is_linkers(name))
				add_name(&shown, name);
		} else if (bind != STB_WEAK && !dlsym(handle, name)) {
			add_name(&missing, name); /* the handle's own libraries are looked through, and no others */
		}
	}
	if (shown.n)
		find_unwise("it exports %s%s beside ch_plugin_v1: compile with -fvisibility=hidden, so that no other plugin can meet them",
			shown.text, more(&shown, buf, sizeof(buf)));
	if (missing.n)
		find_wrong("it needs %s%s, and no library that it names has %s: link what is missing, -Wl,-z,defs tells at once", missing.text,
			more(&missing, buf, sizeof(buf)), missing.n > 1 ? "them" : "it");
	if (!d.now)
		find_unwise("it is not linked with -Wl,-z,now: a function that is missing would show when it is called, not when the server starts");
}
