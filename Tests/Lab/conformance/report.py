"""Writes docs/conformance.md: the same measurement always gives the same text."""

import collections

import sgchecks
from measured import bars
from suites import FAILED, NOT_RUN, PASSED

INTRODUCTION = """\
# Conformance

Written by `make conformance`; changes by hand are lost. The causes of failures come from
`Tests/Lab/conformance/causes.toml`.

Each column is one fresh boot of the lab's guest: iscsi-test-cu (family ALL, `--dataloss --allow-sanitize`, every suite
in a process of its own with a time limit of its own, the multipath suite with two sessions) and then a fixed list of
commands of sg3-utils, both over iSCSI on loopback against one LUN ({sizes}). Backstores behind TCMU have
`hw_max_sectors=1024` and `cmd_time_out=0`, as ceph-iscsi makes them: with the kernel's default of 30 s a SANITIZE of a
large LUN without IMMED is given up by the kernel while it still runs.

The Ceph cluster has one OSD, in memory, which overwrites 256 MiB in less than three seconds, while Sanitize.Reset looks for a SANITIZE
at work three seconds after its start. So librbd holds each image to 40 MiB/s of writes (`rbd_qos_write_bps_limit` of the image), as much as
a slow disk does; without that limit this one test fails more on `tcmud, rbd`.

A test is *skipped* when the suite counts it as passed, but it says that it left something out because the target does
not have it. *Skip notes* are all lines `[SKIPPED]` that the tests print, whatever they are about.
"""

KERNEL_SHARE = """\
The kernel's target answers some commands itself; no handler behind TCMU sees them: REPORT LUNS, PERSISTENT RESERVE IN
and OUT, RESERVE and RELEASE (and every RESERVATION CONFLICT that follows), task management, and all of iSCSI. For
commands that it passes on, TCMU gives the handler the length that the initiator expects, not a way to say that the CDB
asked for more: a residual overflow cannot be reported, nor any residual of a write. The proof is the same test against
a target without a daemon: LIO's fileio, which interprets commands in the kernel, or LIO's pscsi on a disk of scsi_debug,
which passes them on as TCMU does. The suites of commands that the kernel answers (Prin*, Prout*, Reserve6, iSCSI*) have
the same results in every column but for the residuals.
"""


def _sizes(columns):
    return ", ".join(f"{one.target.title}: {one.target.mebibytes} MiB" for one in columns)


def _table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines) + "\n"


def _titles(columns):
    return [column.target.title for column in columns]


def summary(columns, checks=True):
    rows = [
        ("tests", lambda one: len(one.tests())),
        ("passed", lambda one: one.count(PASSED)),
        ("of these skipped", lambda one: one.skipped),
        ("failed", lambda one: one.count(FAILED)),
        ("not run", lambda one: one.count(NOT_RUN)),
        ("skip notes", lambda one: len(one.notes())),
        ('of these "not implemented"', lambda one: len(one.missing())),
    ]
    rows += [] if not checks else [
        ("sg3-utils checks", lambda one: len(one.checks)),
        ("as they should be", lambda one: one.count_checks(sgchecks.PASSED)),
        ("command not served", lambda one: one.count_checks(sgchecks.MISSING)),
        ("failed", lambda one: one.count_checks(sgchecks.FAILED)),
    ]
    return _table([""] + _titles(columns), [[title] + [value(one) for one in columns] for title, value in rows])


def suite_table(columns):
    """Per suite: really passed / failed / skipped; tests that did not run are told beside it."""

    def cell(column, name):
        suite = next((one for one in column.suites if one.name == name), None)
        if suite is None:
            return ""
        text = f"{suite.count(PASSED) - suite.skipped} / {suite.count(FAILED)} / {suite.skipped}"
        silent = suite.count(NOT_RUN)
        return f"{text}, {silent} not run" if silent else text

    names = {suite.name: len(suite.tests) for column in columns for suite in column.suites}
    rows = [[name, tests] + [cell(column, name) for column in columns] for name, tests in names.items()]
    return _table(["suite", "tests"] + _titles(columns), rows)


def check_table(columns):
    """Per sg3-utils check; a failure shows what came instead."""

    def cell(column, title):
        check = next((one for one in column.checks if one.title == title), None)
        if check is None or check.verdict == sgchecks.NOT_RUN:
            return sgchecks.NOT_RUN
        if check.verdict == sgchecks.FAILED:
            return f"**{check.got}** for {check.wanted.replace('|', ' or ')}"
        return {sgchecks.PASSED: "ok", sgchecks.MISSING: "not served"}[check.verdict]

    titles = dict.fromkeys(check.title for column in columns for check in column.checks)
    return _table(["check"] + _titles(columns), [[title] + [cell(one, title) for one in columns] for title in titles])


def note_table(columns):
    counts = [collections.Counter(column.notes()) for column in columns]
    texts = sorted({text for count in counts for text in count})
    return _table(["note"] + _titles(columns), [[text] + [count[text] or "" for count in counts] for text in texts])


def _named(titles):
    """Titles in one line; those of sg3-utils checks are prose with commas, so they stand in quotes."""
    return ", ".join(f'"{title[4:]}"' if title.startswith("sg: ") else title for title in titles)


NEWER = """\
The same LUNs, each in a fresh boot again, with the suite of Debian 13, which has {tests} tests.
"""


def newer_suite(newer, causes):
    """A newer release of the suite: totals, and failures with their causes. And those without one."""
    if not newer:
        return "", []
    parts, problems = [NEWER.format(tests=max(len(one.tests()) for one in newer)), summary(newer, checks=False)], []
    for column in newer:
        text, unexplained, _ = failures(column, causes)
        parts.append(f"### {column.target.title}, newer suite\n\n{text}")
        problems += [f"{column.target.title}, newer suite: unexplained: {title}" for title in unexplained]
        if column.status:
            problems.append(f"{column.target.title}, newer suite: the lab ended with status {column.status}")
    return "\n".join(parts), problems


def failures(column, causes):
    """A target's failures, one list item per cause in the order of its first test; and those without a cause."""
    grouped, unexplained = {}, []
    for title in column.failures():
        cause = causes.find(column.target.explained_as, title)
        if cause is None:
            unexplained.append(title)
        else:
            grouped.setdefault(id(cause), (cause, []))[1].append(title)
    lines = [f"- {_named(titles)}: {cause.text} ({cause.owner})" for cause, titles in grouped.values()]
    if unexplained:
        lines.append(f"- **unexplained**: {_named(unexplained)}")
    kernel_owned = [title for cause, titles in grouped.values() if cause.owner == "kernel" for title in titles]
    return "\n".join(lines or ["None."]) + "\n", unexplained, kernel_owned


def kernel_table(columns, proofs, titles):
    shown = columns + proofs
    return _table(["test"] + _titles(shown), [[title] + [one.verdict(title) for one in shown] for title in titles])


def document(columns, proofs, causes, versions, newer=()):
    """The whole text, and what of it must not be: unmet bars and failures without a cause."""
    parts, problems, kernel_titles, judged = [], [], [], []
    lio = next(column for column in columns if column.target.name == "lio")
    lists = []
    for column in columns:
        text, unexplained, kernel_owned = failures(column, causes)
        lists.append(f"### {column.target.title}\n\n{text}")
        problems += [f"{column.target.title}: unexplained: {title}" for title in unexplained]
        if column.status:
            problems.append(f"{column.target.title}: the lab ended with status {column.status}")
        if column.target.ours:
            kernel_titles += [title for title in kernel_owned if title not in kernel_titles]
            for bar in bars(column, lio, kernel_owned):
                judged.append([column.target.title, bar.title, bar.wanted, bar.got, "yes" if bar.met else "**no**"])
                if not bar.met:
                    problems.append(f"{column.target.title}: {bar.title}: {bar.got}, wanted {bar.wanted}")
    parts.append(INTRODUCTION.format(sizes=_sizes(columns)))
    parts.append(_table(["measured with", ""], versions))
    parts.append("## Summary\n\n" + summary(columns))
    parts.append("## Bars\n\n" + _table(["target", "what", "wanted", "measured", "met"], judged))
    parts.append("## Suites\n\nPassed / failed / skipped.\n\n" + suite_table(columns))
    parts.append("## Failures and their causes\n\n" + "\n".join(lists))
    text, more = newer_suite(newer, causes)
    problems += more
    if text:
        parts.append("## The newer suite\n\n" + text)
    parts.append("## Kernel share\n\n" + KERNEL_SHARE + "\n" + kernel_table(columns, proofs, kernel_titles))
    parts.append("## Skip notes\n\n" + note_table(columns))
    parts.append("## sg3-utils checks\n\n" + check_table(columns))
    return "\n".join(parts), problems
