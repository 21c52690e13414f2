# shellcheck shell=bash
# The public conformance suite (iscsi-test-cu) and the sg3-utils checks against one LUN behind iSCSI on loopback.
# Raw outputs go to $results, from where Tests/Lab/conformance reads them; nothing is judged here.

# shellcheck source=sgchecks.sh
source "$library/sgchecks.sh"
results=$LAB_SHARE/results
# Seconds one process of the suite may take. The slowest healthy suite, SANITIZE's, waits a minute between two looks.
suite_limit=${CONFORMANCE_LIMIT:-300}
# Tests/Lab/conformance/targets.py says how large and why.
conformance_bytes=${CONFORMANCE_BYTES:-$((64 << 20))}
# The suite's program; another release of it where the host's side says so.
tool=${CONFORMANCE_TOOL:-iscsi-test-cu}
conformance_url=iscsi://$portal/$iscsi_name/0

# suite_urls SUITE: two sessions for the multipath suite. The others get one: tests that need a second initiator log one in
# and out, whereas a second path stays, and with it the reservation that Sanitize.Reservations takes and never gives back.
suite_urls() {
    echo "$conformance_url"
    [[ $1 != MultipathIO ]] || echo "$conformance_url"
}

# suite_alive: the LUN answers TEST UNIT READY.
suite_alive() {
    local text
    text=$(limit 60 "$tool" --test=ALL.TestUnitReady.Simple "$conformance_url" 2>&1)
    [[ $text == *"Simple ...passed"* ]]
}

# suite_process TESTS FILE: one process of the tool, its output and exit status added to FILE; the status in $status.
suite_process() {
    status=0
    limit "$suite_limit" stdbuf -oL "$tool" --dataloss --allow-sanitize --test="$1" \
        "${urls[@]}" >> "$2" 2>&1 || status=$?
    # The line before may have no end when the process was killed.
    printf '\n=== exit status %d\n' "$status" >> "$2"
}

# run_suite SUITE TEST…: one process for all of its tests; after a time limit one process for each of the rest.
run_suite() {
    local suite=$1 file=$results/suites/$1.txt status begin=$SECONDS test hung seen= urls
    shift
    mapfile -t urls < <(suite_urls "$suite")
    : > "$file"
    if [[ $suite == Sanitize ]]; then
        # One process each: Reservations logs its second session out, and while the kernel still takes that down, with its
        # reservation, the next test's SANITIZE meets a RESERVATION CONFLICT that nobody looks at.
        for test in "$@"; do
            suite_process "ALL.$suite.$test" "$file"
        done
        say "$suite: $((SECONDS - begin)) s"
        return
    fi
    suite_process "ALL.$suite" "$file"
    if ((status == 124 || status > 128)); then
        hung=$(sed -nE 's/^  Test: ([^ ]+) .*/\1/p' "$file" | tail -n 1)
        for test in "$@"; do
            if [[ -n $seen || -z $hung ]]; then
                suite_alive || { echo "=== target does not answer" >> "$file"; break; }
                suite_process "ALL.$suite.$test" "$file"
            fi
            [[ $test != "$hung" ]] || seen=1
        done
    fi
    say "$suite: $((SECONDS - begin)) s, status $status"
}

# run_suites: all of family ALL in the tool's own order, or those named in CONFORMANCE_SUITES.
run_suites() {
    local suite tests wanted=${CONFORMANCE_SUITES:-}
    mkdir -p "$results/suites"
    uname -r > "$results/kernel.txt"
    "$tool" --list | grep '^ALL\.' > "$results/list.txt" || fail "no list of tests"
    for suite in $(sed -nE 's/^ALL\.([^.]+)$/\1/p' "$results/list.txt"); do
        [[ -z $wanted || " $wanted " == *" $suite "* ]] || continue
        mapfile -t tests < <(sed -nE "s/^ALL\\.$suite\\.(.+)$/\\1/p" "$results/list.txt")
        if ! suite_alive; then
            say "$suite: not run, the target does not answer"
            echo "=== target does not answer" > "$results/suites/$suite.txt"
            continue
        fi
        run_suite "$suite" "${tests[@]}"
    done
}

# conformance_work NAME: everything, against that LUN.
conformance_work() {
    # As ceph-iscsi sets it: the kernel would give up a SANITIZE of the whole LUN after 30 s.
    local limit_file
    limit_file=$(device_directory "$1")/attrib/cmd_time_out
    [[ ! -e $limit_file ]] || put "$limit_file" 0 || fail "cmd_time_out of $1"
    export_iscsi "$1"
    run_suites
    if [[ ${CONFORMANCE_SG:-1} == 1 ]]; then
        iscsi_login
        sg_work
    fi
    [[ -z $daemon_pid ]] || daemon_alive || fail "the daemon died"
}
