# SPDX-License-Identifier: Apache-2.0
"""The suites of sql/1 and sink/1 notice a provider that breaks a rule: t_lame_sql and t_lame_sink stand before storage_sqlite."""
import conforming
import pytest

ONCE = True  # it is the suites that are tested here: see ../conftest.py

SQL = {  # a fault of t_lame_sql: a case that notices it, and what it says
    "not_atomic": ("batch/constraint", "expected 1 of type 1 in column 1 of row 1, found 2 of type 1"),
    "no_want": ("want/too-few", "expected COUNT, found OK"),
    "no_limit": ("size/over", "expected TOO_LARGE, found OK"),
    "no_timeout": ("time/read", "the ticket was not resumed within"),
    "no_cancel": ("cancel/while-writing", "resumed soon behind a cancel"),
    "cancel_is_ok": ("cancel/while", "expected CANCELLED, found OK"),
    "changed_late": ("rows/none", "cancel behind the end of the call changed *out"),
    "with_result": ("rows/none", "resumed with a result that is not NULL"),
    "size_changed": ("rows/none", "the result's size was changed"),
    "returns_done": ("rows/none", "it returned 1, expected CH_OK or CH_AGAIN"),
    "no_detail": ("schema/table", "there is no detail with error SCHEMA"),
    "tells_value": ("constraint/no-values-in-the-detail", "the detail shows a value"),
    "one_error": ("constraint/unique", "expected CONSTRAINT, found BAD_REQUEST"),
    "wrong_at": ("args/at-of-a-batch", "expected that statement 3 failed, found 1"),
    "wrong_value": ("param/refused-in-a-batch", "expected that value 2 was refused, found 1"),
    "other_constraint": ("constraint/unique", "found constraint other"),
    "no_counts": ("rows/none", "there are no counts, and no error"),
    "wrong_count": ("count/update", "expected the count 2 of statement 1, found 3"),
    "conflict_done": ("race/add", "the number of all that was done"),
    "first_statement": ("args/two-statements", "expected BAD_REQUEST, found OK"),
    "row_inside": ("rows/in-order", "a row was given inside a call"),
    "row_with_error": ("schema/table", "rows were given, and the call ended with SCHEMA"),
    "row_after_done": ("rows/done", "a row was given after DONE"),
    "half_rows": ("rows/in-order", "row 2 holds 3, which does not come after 1"),
    "int_by_double": ("value/int-beyond-double", "expected 9007199254740993 of type 1 in column 1 of row 1, found 9007199254740992"),
    "null_as_zero": ("value/int-null", "expected null in column 1 of row 1"),
    "text_cut": ("value/text-one-megabyte", "found 65535 bytes"),
    "time_in_ms": ("value/time-microsecond", "expected 1732190400123457 of type 6"),
    "nan_as_null": ("value/real-nan", "expected VALUE, found OK"),
    "nul_cuts": ("value/text-nul", "expected VALUE, found OK"),
}
SINK = {  # the same of t_lame_sink
    "done_unasked": ("append/one", "expected that rows is 1, found 0"),
    "half_batch": ("append/all-types", "expected that rows is 64, found 32"),
    "new_ids": ("again/the-same-batch", "expected that rows is 0, found 10"),
    "known_batch": ("again/half-of-it-is-there", "expected that rows is 10, found 5"),
    "all_new": ("again/the-same-batch", "expected that rows is 0, found 10"),
    "nan_as_null": ("refused/nan", "expected REFUSED, found DONE"),
    "takes_others": ("refused/nan", "expected that rows is 0, found 9"),
    "wrong_row": ("refused/nan", "row 4 was refused, and nothing is wrong with it"),
    "no_why": ("refused/nan", "it is not said why row 3 was refused"),
    "no_column": ("refused/nan", "without the name of its column"),
    "tells_value": ("refused/no-utf8", "shows a value"),
    "refuses_table": ("nowhere/append", "expected RETRY, found REFUSED"),
    "no_limit": ("find/limit", "more rows than the limit of 7 were given"),
    "row_twice": ("append/one", "and 2 were given"),
    "row_after_done": ("find/done", "a row was given after DONE"),
    "row_inside": ("append/one", "a row was given inside a call"),
    "text_cut": ("append/all-types", "in column t of row"),
    "empty_as_null": ("append/all-types", "expected 0 bytes"),
    "no_rows": ("append/one", "expected that rows is 1, found 0"),
    "expires_more": ("expire/a-day", "expected that rows is 5, found 0"),
    "expires_nothing": ("expire/a-day", "expected that rows is 5, found 10"),
    "no_cancel": ("cancel/at-once-many", "expected RETRY after a cancel, found DONE"),
    "changed_late": ("append/one", "cancel behind the end of the call changed *out"),
    "with_result": ("append/one", "resumed with a result that is not NULL"),
    "no_detail": ("nowhere/append", "there is no detail with RETRY"),
    "no_figures": ("about/itself", "about says batches of 0 rows"),
}


def lame(chimera, plugins, suite, fault, **options):
    name = "t_lame_" + suite
    sections = {"storage_sqlite": {"path": "conform.db", **conforming.TABLES}, name: {"target": "storage_sqlite", "fault": fault}}
    return conforming.start(chimera, plugins, "conform_" + suite, name, sections, **options)


@pytest.mark.parametrize("suite, least", [("sql", 180), ("sink", 70)])
def test_a_provider_that_breaks_no_rule_passes(chimera, plugins, suite, least):
    # But for the ctx's deadline: one that stands between hears it itself, before or after the one behind it does.
    conforming.passes(lame(chimera, plugins, suite, "none"), suite, least, but="time/deadline")


@pytest.mark.parametrize("fault", SQL)
def test_a_broken_rule_of_sql_is_noticed(chimera, plugins, fault):
    conforming.notices(lame(chimera, plugins, "sql", fault, slack="300ms"), "sql", *SQL[fault])


@pytest.mark.parametrize("fault", SINK)
def test_a_broken_rule_of_sink_is_noticed(chimera, plugins, fault):
    conforming.notices(lame(chimera, plugins, "sink", fault, slack="300ms"), "sink", *SINK[fault])


@pytest.mark.parametrize("suite", ["sql", "sink"])
def test_a_ticket_that_is_never_resumed_ends_the_run(chimera, plugins, suite):
    c = lame(chimera, plugins, suite, "never", slack="100ms")
    with c.connect(timeout=100) as connection:
        text = connection.ask("POST", f"/conform/{suite}?case=about/,rows/none").text
    assert "Bail out! the provider holds a ticket for ever" in text and "1.." not in text, text
    c.kill()
