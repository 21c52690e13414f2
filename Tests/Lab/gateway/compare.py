#!/usr/bin/python3
"""Prints what a run of the gateway scenario has recorded, beside the original's where a second record is given.

Arguments: the records of tcmud, and of the original. Status 0 if each run came to its end, every step passed with tcmud
that passed with the original (without one: every step), and no value differs but for those that differences.toml explains.
"""

import difflib
import json
import pathlib
import sys
import tomllib

REASONS = pathlib.Path(__file__).with_name("differences.toml")


def read(path):
    """The steps, by name in their order, and the values of a record; whether it is that of a run that came to its end."""
    steps, values, ended = {}, {}, False
    for line in pathlib.Path(path).read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            # A guest that dies may leave half a line. What stands behind it, if anything, has no end either.
            return steps, values, False
        if "end" in entry:
            ended = True
        elif "step" in entry:
            name, number = entry["step"], 2
            while name in steps:
                name, number = f"{entry['step']} ({number})", number + 1
            steps[name] = entry
        else:
            values[entry["value"]] = entry["is"].strip()
    return steps, values, ended


def told(step):
    if step is None:
        return "not reached"
    return f"{step['result']:6} {step['ms'] / 1000:6.1f} s"


def show_steps(ours, theirs):
    """The table; the number of steps that fail with ours but not with the original."""
    worse = 0
    width = max((len(name) for name in list(ours) + list(theirs or [])), default=0)
    print(f"{'step':{width}}  {'tcmud':17}" + ("  tcmu-runner" if theirs else ""))
    for name in list(ours) + [name for name in theirs or [] if name not in ours]:
        mine, other = ours.get(name), (theirs or {}).get(name)
        passed = mine is not None and mine["result"] == "ok"
        bar = theirs is None or (other is not None and other["result"] == "ok")
        mark = ""
        if not passed:
            worse += bar
            mark = "  <-- " + (mine["why"] if mine else "")[:100] if bar else "  (neither)"
        elif theirs and not bar:
            mark = "  (ours alone)"
        print(f"{name:{width}}  {told(mine):17}" + (f"  {told(other):17}" if theirs else "") + mark)
    return worse


def show_values(ours, theirs, reasons):
    """Every value that differs, line by line; the number of those that nothing explains."""
    unexplained = 0
    for key in list(ours) + [key for key in theirs if key not in ours]:
        mine, other = ours.get(key), theirs.get(key)
        if mine == other:
            continue
        print(f"\n{key}: - tcmu-runner, + tcmud")
        for line in difflib.ndiff((other or "absent").splitlines(), (mine or "absent").splitlines()):
            if line[0] in "+-":
                print("   ", line)
        if key in reasons:
            print(f"    on purpose: {reasons[key]}")
        else:
            unexplained += 1
            print("    UNEXPLAINED")
    return unexplained


def main(paths):
    ours, our_values, ended = read(paths[0])
    theirs, their_values, theirs_ended = read(paths[1]) if len(paths) > 1 else (None, None, True)
    worse = show_steps(ours, theirs)
    passed = sum(step["result"] == "ok" for step in ours.values())
    seconds = sum(step["ms"] for step in ours.values()) / 1000
    unexplained = 0
    if theirs is not None:
        reasons = tomllib.loads(REASONS.read_text())["values"]
        unexplained = show_values(our_values, their_values, reasons)
        equal = sum(our_values.get(key) == value for key, value in their_values.items())
        print(f"\n{equal} of {len(their_values)} values equal, {unexplained} differences unexplained")
        print(f"tcmu-runner: {sum(step['result'] == 'ok' for step in theirs.values())} of {len(theirs)} steps passed")
    print(f"tcmud: {passed} of {len(ours)} steps passed in {seconds:.0f} s; of those that must pass, {worse} failed")
    # Steps that were never reached are in no table, so nothing else would tell.
    for name, came in (("tcmud", ended), ("tcmu-runner", theirs_ended)):
        if not came:
            print(f"the run with {name} did not come to its end")
    return 0 if ended and theirs_ended and not worse and not unexplained else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
