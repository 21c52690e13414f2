"""Measures the conformance of all targets and writes docs/conformance.md."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True

import causes as causes_module
import report
from measured import Measured
from suites import FAILED, NOT_RUN, PASSED, Unreadable
from targets import ALL, COLUMNS, NEWER, PSCSI

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent.parent
LAB = HERE.parent / "lab"
RAW = PROJECT / ".lab" / "conformance"
#: Where `trixie` puts the newer suite; the guest sees it below its own view of the project.
TRIXIE = PROJECT / ".lab" / "trixie"
DOCUMENT = PROJECT / "docs" / "conformance.md"
PACKAGES = ("libiscsi-bin", "sg3-utils", "tcmu-runner", "ceph-common", "open-iscsi")


def _arguments():
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--target", action="append", choices=[target.name for target in ALL],
                        help="only this target (again for more); prints its results and leaves docs/ alone")
    parser.add_argument("--suite", action="append", help="only this suite (again for more; `none` for sg3-utils alone)")
    parser.add_argument("--no-sg", action="store_true", help="without the sg3-utils checks")
    parser.add_argument("--binary", metavar="PATH", help="the tcmud to measure (default: a debug build made now)")
    parser.add_argument("--raw", metavar="DIR", type=pathlib.Path, default=RAW, help=f"raw outputs (default {RAW})")
    parser.add_argument("--reuse", action="store_true", help="no boot: read the raw outputs of an earlier run")
    return parser.parse_args()


def _output(*command):
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _commit():
    """The commit, with -dirty when anything but the document itself differs from it."""
    changed = _output("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/conformance.md")
    return _output("git", "describe", "--always") + ("-dirty" if changed else "")


def _versions(measured):
    kernels = sorted({one.kernel for one in measured if one.kernel})
    # Of the measurement, which --reuse may print long after; more than one when targets were measured apart.
    commits = sorted({one.commit for one in measured if one.target.ours})
    rows = [["commit", ", ".join(commits)], ["guest kernel (User-Mode Linux)", ", ".join(kernels)]]
    newer = TRIXIE / "version"
    if newer.exists():
        rows.append(["libiscsi-bin of Debian 13", newer.read_text().strip()])
    return rows + [[name, _output("dpkg-query", "-W", "-f", "${Version}", name)] for name in PACKAGES]


def _boot(target, options, directory, commit):
    """One fresh guest; its console goes through, with the target's name before each line."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "commit").write_text(f"{commit}\n")
    wanted = options.suite or target.suites
    command = [LAB, "run", target.job, "--daemon", target.daemon, "--results", directory,
               "--set", f"CONFORMANCE_BYTES={target.mebibytes << 20}", "--set", f"CONFORMANCE_SUITES={' '.join(wanted)}",
               "--set", f"CONFORMANCE_SG={0 if options.no_sg or target is PSCSI or target.newer else 1}"]
    if target.newer:
        command += ["--set", f"CONFORMANCE_TOOL=/mnt/project/{(TRIXIE / 'iscsi-test-cu').relative_to(PROJECT)}"]
    if target.daemon == "tcmud":
        # A target without a daemon needs no build, but the lab wants some program to name.
        command += ["--binary", options.binary or "/bin/true"]
    print(f"==> {target.title}", flush=True)
    with open(directory / "lab.log", "w") as log:
        lab = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace")
        for line in lab.stdout:
            log.write(line)
            if line.startswith(("[", "FAIL", "PASS", "lab:")):
                print(f"    {target.name}: {line.rstrip()}", flush=True)
        status = lab.wait()
    (directory / "status").write_text(f"{status}\n")


def _measure(target, options, commit):
    directory = options.raw / target.name
    if not options.reuse:
        _boot(target, options, directory, commit)
    status = directory / "status"
    return Measured.read(
        target, directory, int(status.read_text()) if status.exists() else 125, options.suite or target.suites)


def _show(one):
    print(f"\n{one.target.title}: {one.count(PASSED)} passed ({one.skipped} of them skipped), {one.count(FAILED)} failed, "
          f"{one.count(NOT_RUN)} not run, {len(one.notes())} skip notes ({len(one.missing())} \"not implemented\")")
    for test in one.tests():
        if test.verdict != PASSED or test.skipped:
            word = "skipped" if test.skipped else test.verdict
            print(f"  {word:8} {test.title}" + (f": {test.reason}" if test.reason else ""))
    for check in one.checks:
        if check.verdict != "passed":
            print(f"  {check.verdict:8} sg: {check.title}: got {check.got}, wanted {check.wanted}")


def _document(measured):
    columns = [one for one in measured if one.target in COLUMNS]
    newer = [one for one in measured if one.target in NEWER]
    proofs = [one for one in measured if one.target not in COLUMNS + NEWER]
    without_daemon = {title for one in measured if one.target.name in ("lio", "pscsi") for title in one.failures()}
    causes = causes_module.Causes(causes_module.read(), without_daemon)
    text, problems = report.document(columns, proofs, causes, _versions(measured), newer)
    problems += [f"{one.target.title}: the lab ended with status {one.status}" for one in proofs if one.status]
    DOCUMENT.write_text(text)
    print(f"\nwritten: {DOCUMENT.relative_to(PROJECT)}")
    for cause in causes.unused():
        print(f"note: a cause that explains nothing any more: {', '.join(cause.tests)} in {', '.join(cause.targets)}")
    return problems


def _give_back(*paths):
    """Through sudo, what was written belongs to who called it."""
    owner = os.environ.get("SUDO_UID")
    if owner:
        for path in paths:
            subprocess.run(["chown", "-R", f"{owner}:{os.environ.get('SUDO_GID', owner)}", path], check=False)


def main():
    options = _arguments()
    commit = _commit()
    chosen = [target for target in ALL if not options.target or target.name in options.target]
    if options.binary and not options.reuse:
        # A copy: a build during the run must not change what is measured.
        options.raw.mkdir(parents=True, exist_ok=True)
        options.binary = shutil.copy(options.binary, options.raw / "tcmud")
    if not options.reuse and any(target.newer for target in chosen):
        subprocess.run([HERE / "trixie", TRIXIE], check=True)
    try:
        measured = [_measure(target, options, commit) for target in chosen]
    except Unreadable as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 125
    finally:
        _give_back(options.raw)
    for one in measured:
        _show(one)
    if options.target or options.suite or options.no_sg:
        return max(one.status for one in measured)
    problems = _document(measured)
    _give_back(DOCUMENT)
    for problem in problems:
        print(f"conformance: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
