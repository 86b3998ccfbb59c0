/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the dynamic linker reads of a library: hash tables, symbols and relocations. They lie in a segment of their own, in front of the
 * code, are read while the library is loaded (libcrypto's are 0.8 MiB) and then hardly ever again, since everything is bound at once. They are
 * pages of the file that nobody has written to, so letting them go loses nothing: who wants one again gets it from the page cache.
 */
#include "core/daemon/daemon.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

/* Relocations in pages that are read-only afterwards are nowhere in the file. */
static bool is_as_in_the_file(const struct dl_phdr_info *o)
{
	for (int i = 0; i < o->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &o->dlpi_phdr[i];
		if (p->p_type != PT_DYNAMIC)
			continue;
		for (const ElfW(Dyn) *d = (const void *)(o->dlpi_addr + p->p_vaddr); d->d_tag != DT_NULL; d++)
			if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS && d->d_un.d_val & DF_TEXTREL))
				return false;
		return true;
	}
	return false;
}

static int release(struct dl_phdr_info *o, size_t size, void *arg)
{
	uintptr_t page = *(const uintptr_t *)arg;
	(void)size;
	for (int i = 0; i < o->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &o->dlpi_phdr[i];
		/* The first one, with the ELF header; older linkers have code in it, which stays. */
		if (p->p_type != PT_LOAD || p->p_offset || p->p_flags != PF_R)
			continue;
		uintptr_t from = o->dlpi_addr + p->p_vaddr, to = (from + p->p_filesz) & ~(page - 1);
		if (!(from & (page - 1)) && from < to && is_as_in_the_file(o))
			madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void chi_link_tables_release(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	dl_iterate_phdr(release, &page);
}
