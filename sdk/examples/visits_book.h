/* SPDX-License-Identifier: MIT */
/*
 * visits_book.h - counts of pages, and the file of them: a line "NAME COUNT" for each. Needs no host. Any thread.
 *
 * A book counts its users and goes with the last one. A page that is in it stays as long as the book.
 */
#ifndef VISITS_BOOK_H
#define VISITS_BOOK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct page {
	struct page *next;
	atomic_llong visits;
	char *name;
};

struct book;

/* A page, not in a book yet: the caller's, for free(). NULL: no memory. */
struct page *page_new(const char *name, size_t n);

/* A book with what the file holds; nothing, if there is none. The caller is its user. NULL: a sentence in why. */
struct book *book_open(const char *path, char *why, size_t cap);
void book_use(struct book *b);
/* True: nobody uses it any more; the caller frees it. */
bool book_leave(struct book *b);
void book_free(struct book *b);

/* Puts a page into the book, which takes it, or frees it and returns the one of that name. Cannot fail. */
struct page *book_put(struct book *b, struct page *p);

/* The file's text: at most so many bytes. book_text cuts what does not fit; the text ends with a NUL. */
size_t book_size(struct book *b);
size_t book_text(struct book *b, char *text, size_t cap);

/* Replaces the file by the text, as a whole or not at all, and returns when it is on the disk. Blocks. 0, or errno. */
int book_write(const char *path, const char *text, size_t n);

#endif
