/* SPDX-License-Identifier: MIT */
/*
 * migrate_describe.c - the layout of a database as lines, one for each object, by the engine's own catalogue:
 *
 *     table T                        column T.C type [not null] [default …]        key T (C, …)
 *     index I on T …                 unique T (C, …)                               reference T (C, …) …
 *     constraint N on T …            trigger N on T                                engine T …
 *
 * Names come first, in this order, since migrate_drift.c looks only at them. See migrate_parts.h.
 */
#include <string.h>

#include "migrate_parts.h"

/* Tables of the database itself, without SQLite's own. */
#define LITE_TABLES "t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"

static const char *const sqlite[] = {
	"SELECT 'table ' || t.name || CASE WHEN t.strict THEN ' strict' ELSE '' END || CASE WHEN t.wr THEN ' without rowid' ELSE '' END "
	"FROM pragma_table_list t WHERE " LITE_TABLES,

	"SELECT 'column ' || t.name || '.' || c.name || ' ' || lower(c.type) || CASE WHEN c.\"notnull\" THEN ' not null' ELSE '' END "
	"|| coalesce(' default ' || c.dflt_value, '') "
	"|| CASE c.hidden WHEN 2 THEN ' generated' WHEN 3 THEN ' generated stored' ELSE '' END "
	"FROM pragma_table_list t JOIN pragma_table_xinfo(t.name) c WHERE " LITE_TABLES,

	"SELECT 'key ' || name || ' (' || group_concat(column, ', ') || ')' "
	"FROM (SELECT t.name AS name, c.name AS column FROM pragma_table_list t JOIN pragma_table_info(t.name) c "
	"WHERE c.pk AND " LITE_TABLES " ORDER BY t.name, c.pk) GROUP BY name",

	"SELECT CASE i.origin WHEN 'u' THEN 'unique ' || t.name ELSE 'index ' || i.name || ' on ' || t.name END "
	"|| ' (' || (SELECT group_concat(column, ', ') "
	"FROM (SELECT coalesce(x.name, 'expression') || CASE WHEN x.\"desc\" THEN ' desc' ELSE '' END AS column "
	"FROM pragma_index_xinfo(i.name) x WHERE x.key ORDER BY x.seqno)) || ')' "
	"|| CASE WHEN i.\"unique\" AND i.origin = 'c' THEN ' unique' ELSE '' END "
	"|| CASE WHEN i.partial "
	"THEN ' where ' || trim(substr(m.sql, instr(upper(m.sql), 'WHERE') + 5), ' ' || char(9, 10, 13)) ELSE '' END "
	"FROM pragma_table_list t JOIN pragma_index_list(t.name) i "
	"LEFT JOIN sqlite_master m ON m.type = 'index' AND m.name = i.name WHERE i.origin IN ('c', 'u') AND " LITE_TABLES,

	"SELECT 'reference ' || name || ' (' || group_concat(own, ', ') || ') to ' || other || ' (' || group_concat(theirs, ', ') || ')' "
	"|| ' on update ' || lower(on_update) || ' on delete ' || lower(on_delete) "
	"FROM (SELECT t.name AS name, f.id AS id, f.\"from\" AS own, f.\"table\" AS other, coalesce(f.\"to\", 'key') AS theirs, "
	"f.on_update AS on_update, f.on_delete AS on_delete FROM pragma_table_list t JOIN pragma_foreign_key_list(t.name) f "
	"WHERE " LITE_TABLES " ORDER BY t.name, f.id, f.seq) GROUP BY name, id",

	"SELECT 'trigger ' || name || ' on ' || tbl_name FROM sqlite_master WHERE type = 'trigger'",
	NULL
};

/* Tables of the schema that names without a schema mean. */
#define PG_TABLES "c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p')"

static const char *const postgresql[] = {
	"SELECT 'table ' || c.relname || CASE c.relpersistence WHEN 'u' THEN ' unlogged' ELSE '' END "
	"|| CASE c.relkind WHEN 'p' THEN ' partitioned' ELSE '' END FROM pg_class c WHERE " PG_TABLES,

	"SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) "
	"|| coalesce(' collate ' || l.collname, '') || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END "
	"|| coalesce(CASE WHEN a.attgenerated = '' THEN ' default ' ELSE ' generated ' END || pg_get_expr(d.adbin, d.adrelid), '') "
	"|| CASE a.attidentity WHEN 'a' THEN ' identity always' WHEN 'd' THEN ' identity' ELSE '' END "
	"FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
	"LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
	"LEFT JOIN pg_collation l ON l.oid = a.attcollation AND l.collname <> 'default' WHERE " PG_TABLES,

	"SELECT CASE WHEN i.indisprimary THEN 'key ' || c.relname ELSE 'index ' || n.relname || ' on ' || c.relname END "
	"|| ' ' || regexp_replace(pg_get_indexdef(i.indexrelid), '^.*? USING ', '') "
	"|| CASE WHEN i.indisunique AND NOT i.indisprimary THEN ' unique' ELSE '' END "
	"|| CASE WHEN i.indisvalid THEN '' ELSE ' invalid' END "
	"FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class n ON n.oid = i.indexrelid WHERE " PG_TABLES,

	"SELECT 'constraint ' || k.conname || ' on ' || c.relname || ' ' || pg_get_constraintdef(k.oid) "
	"FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype IN ('c', 'f', 'x') WHERE " PG_TABLES,

	"SELECT 'trigger ' || t.tgname || ' on ' || c.relname "
	"FROM pg_class c JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal WHERE " PG_TABLES,
	NULL
};

/* The lock of migrate_table.c is no part of a layout. */
static const char *const clickhouse[] = {
	"SELECT concat('table ', name) FROM system.tables WHERE database = currentDatabase() AND name != 'chimera_migrating'",

	"SELECT concat('column ', table, '.', name, ' ', type, "
	"if(default_kind = '', '', concat(' ', lower(default_kind), ' ', default_expression))) "
	"FROM system.columns WHERE database = currentDatabase() AND table != 'chimera_migrating'",

	"SELECT concat('engine ', name, ' ', replaceRegexpOne(engine_full, ' SETTINGS .*$', '')) FROM system.tables "
	"WHERE database = currentDatabase() AND name != 'chimera_migrating'",
	NULL
};

struct describing { struct migrate_lines *out; bool failed; };

static bool on_line(void *arg, size_t n, const char *const *v)
{
	struct describing *d = arg;

	if (n && v[0] && !migrate_lines_add(d->out, v[0], strlen(v[0])))
		d->failed = true;
	return !d->failed;
}

bool migrate_describe(const struct ch_migrate_engine *e, struct migrate_lines *out, struct ch_migrate_error *error)
{
	const char *const *sql = !strcmp(e->name, "sqlite") ? sqlite : !strcmp(e->name, "postgresql") ? postgresql : clickhouse;
	struct describing d = { .out = out };

	for (*out = (struct migrate_lines){ 0 }; *sql; sql++)
		if (!e->rows(e->arg, *sql, on_line, &d, error) || (d.failed && !migrate_no_memory(error))) {
			migrate_lines_free(out);
			return false;
		}
	migrate_lines_sort(out);
	return true;
}
