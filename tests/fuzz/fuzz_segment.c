/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments of the usage ledger's journal: whatever two files hold, the journal opens on them, every value that is read lies within them,
 * numbers of rows ascend, reading ends, what is lost is told, and a row that is appended then comes last.
 *
 * The input is a list of steps, so that records with right checksums are common: a byte (its low 3 bits: what; 0x40: go on in the second
 * file; 0x80: some row numbers are missing), a length, and so many bytes.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../plugins/records/segment.h"
#include "fuzz.h"

#define FIRST 1000                         /* number of the first file */
#define SIZE ((size_t)16 << 10)

enum { ROW, ROW_TOO, TABLE, PAD, REPEATED, RAW, ZEROS, FLIP };

struct file {
	unsigned char bytes[SIZE];
	size_t at;
};
static struct file files[2];
static char folder[64];

static const struct ch_column columns[] = { { "row_id", CH_V_UUID, 0 }, { "at", CH_V_TIME, 0 } };
static const struct ch_relation last_table = { sizeof(last_table), "last", { columns, 2, sizeof(columns[0]) } };

/* ---- the files ---- */

static void put(unsigned which, int kind, uint32_t table, uint64_t row, const uint8_t *p, size_t n)
{
	struct file *f = &files[which];
	struct segment_record r = { .kind = kind, .table = table, .row = row, .length = n };

	if (SIZE - f->at < segment_room(n))
		return;
	if (kind != SEGMENT_PAD)
		memcpy(f->bytes + f->at + SEGMENT_RECORD, p, n);
	segment_put(f->bytes, FIRST + which, f->at, &r);
	f->at += segment_room(n);
}

static void put_repeated(const uint8_t *p, size_t n, unsigned which, uint64_t row)
{
	uint8_t payload[SEGMENT_REPEATED_BYTES];
	uint64_t v[3] = { FIRST, 0, 0 };

	for (size_t i = 0; i < n && i < 3; i++)
		v[i] += (uint64_t)p[i] * (i ? 32 : 1) + (i ? SEGMENT_PAGE : 0);
	segment_put_repeated(payload, v);
	put(which, SEGMENT_REPEATED, 0, row, payload, sizeof(payload));
}

static void build(const uint8_t *p, size_t n)
{
	uint64_t row = 5;
	uint32_t table = 0;
	unsigned which = 0;

	memset(files, 0, sizeof(files));
	for (unsigned i = 0; i < 2; i++) {
		segment_put_header(files[i].bytes, &(struct segment_header){ FIRST + i, SIZE, 1 });
		files[i].at = SEGMENT_PAGE;
	}
	while (n >= 2) {
		unsigned step = p[0];
		size_t len = p[1];
		struct file *f;

		p += 2;
		n -= 2;
		if (len > n)
			len = n;
		which |= step >> 6 & 1;
		f = &files[which];
		if (step & 0x80)
			row += len;
		switch (step & 7) {
		case TABLE:
			table = segment_table_id(p, len);
			put(which, SEGMENT_TABLE, table, row, p, len);
			break;
		case PAD:
			put(which, SEGMENT_PAD, 0, row, NULL, len * 8);
			break;
		case REPEATED:
			put_repeated(p, len, which, row);
			break;
		case RAW:
			if (SIZE - f->at > len + 8)
				memcpy(f->bytes + f->at, p, len);
			f->at = segment_aligned(f->at + len) < SIZE ? segment_aligned(f->at + len) : f->at;
			break;
		case ZEROS:
			f->at = f->at + len * 8 < SIZE ? f->at + len * 8 : f->at;
			break;
		case FLIP:
			for (size_t i = 0; i + 1 < len; i += 2)
				f->bytes[((size_t)p[i] << 7 | p[i + 1] >> 1) % SIZE] ^= (unsigned char)(1u << p[i + 1] % 8);
			break;
		default:
			put(which, SEGMENT_ROW, table, row, p, len);
			row++;
		}
		p += len;
		n -= len;
	}
}

static void store(unsigned which, size_t size)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%012u.segment", folder, FIRST + which);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	FUZZ_CHECK(fd >= 0 && write(fd, files[which].bytes, size) == (ssize_t)size);
	close(fd);
}

static void empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	char name[512];

	while (dir && (e = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (e->d_name[0] != '.' && unlink(name))
			empty(name);
	}
	if (dir)
		closedir(dir);
}

static void no_folder(void)
{
	char name[128];

	empty(folder);
	snprintf(name, sizeof(name), "%s/quarantine", folder);
	rmdir(name);
	rmdir(folder);
}

/* ---- reading ---- */

static uint64_t sum;                       /* so that every byte of every value is read */

static void look_at(const struct journal_row *row)
{
	FUZZ_CHECK(row->table && row->table->columns.n >= 2 && row->table->columns.n <= JOURNAL_COLUMNS_MAX);
	for (size_t i = 0; i < row->table->columns.n; i++) {
		const struct ch_value *v = &row->values[i];

		FUZZ_CHECK(v->type == ch_column_at(row->table, i)->type);
		if (!v->null && (v->type == CH_V_TEXT || v->type == CH_V_BLOB))
			sum += fuzz_hash((const uint8_t *)v->u.s.p, v->u.s.n);
		sum += (uint64_t)v->type;
	}
}

static void read_all(struct journal *j)
{
	struct journal_reader *r = journal_reader(j, "fuzz", &(struct journal_pos){ 0 });
	const struct ch_value values[2] = { ch_v_uuid((const unsigned char *)"0123456789abcdef"), ch_v_time(7) };
	struct journal_row row;
	struct journal_pos before = { 0 };
	unsigned steps = 0;
	int found;

	FUZZ_CHECK(r != NULL);
	while ((found = journal_next(r, &row)) != JOURNAL_NONE) {
		FUZZ_CHECK(++steps < 10000 && journal_pos_cmp(&row.at, &before) >= 0);
		before = row.next;
		if (found == JOURNAL_ROW)
			look_at(&row);
		else
			FUZZ_CHECK(found == JOURNAL_LOST && row.rows > 0);
	}
	FUZZ_CHECK(journal_append(j, &last_table, values, NULL) == JOURNAL_OK);
	while ((found = journal_next(r, &row)) == JOURNAL_LOST)
		;
	FUZZ_CHECK(found == JOURNAL_ROW && !strcmp(row.table->name, "last"));
	FUZZ_CHECK(journal_next(r, &row) == JOURNAL_NONE);
	journal_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct journal_conf conf = { .dir = folder, .max_bytes = 1 << 20, .segment_bytes = 16 << 10, .sync_interval_us = 1000 };
	struct journal *j;
	char err[256];

	if (!folder[0]) {
		snprintf(folder, sizeof(folder), "%s/fuzz_segment.XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
		FUZZ_CHECK(mkdtemp(folder) != NULL);
		atexit(no_folder);
	}
	build(data, size);
	/* Sometimes a file is shorter, or the second is not there. */
	store(0, size % 5 ? SIZE : (size_t)(fuzz_hash(data, size) % SIZE));
	if (size % 7)
		store(1, SIZE);
	/* As it is found, and as the first time has left it. */
	for (size_t i = 0; i < (size % 4 ? 1 : 2); i++) {
		j = journal_open(&conf, err, sizeof(err));
		if (!j)
			fprintf(stderr, "%s\n", err);
		FUZZ_CHECK(j != NULL);
		read_all(j);
		journal_close(j);
	}
	empty(folder);
	return 0;
}
