#!/bin/sh
# Fuzzes the SCSI module: Tests/Fuzz/fuzz.sh [seconds per target] [target ...]
#
# Each folder beside this script that holds a main.swift is a target. It is compiled with all of Sources/SCSI and the
# properties that the unit tests replay the corpus with (Tests/SCSITests/FuzzProperties.swift) into one
# binary under .build/fuzz, with libFuzzer and the address sanitizer, and run over the committed corpus. With 0 seconds
# the corpus is replayed and nothing more. New inputs stay under .build/fuzz; a crash is left there too and ends the
# script with its status.
set -eu

# The runtime's own backtrace would run within the crashing process and hide the finding.
export SWIFT_BACKTRACE=enable=no

root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- cdb lists

build=$root/.build/fuzz
mkdir -p "$build"

for target in "$@"; do
    corpus=$root/Tests/Fuzz/corpus/$target
    binary=$build/fuzz-$target
    found=$build/found-$target
    mkdir -p "$found"

    echo "fuzz: building $target"
    swiftc -swift-version 6 -O -use-ld=lld -parse-as-library -sanitize=fuzzer,address -module-name Fuzz \
        -enable-upcoming-feature ExistentialAny -enable-upcoming-feature MemberImportVisibility \
        -D FUZZING -o "$binary" "$root"/Sources/SCSI/*.swift "$root/Tests/SCSITests/FuzzProperties.swift" \
        "$root/Tests/Fuzz/$target/main.swift"

    if [ "$seconds" -eq 0 ]; then
        echo "fuzz: replaying the corpus of $target"
        "$binary" -runs=0 "$corpus"
    else
        echo "fuzz: running $target for $seconds seconds"
        "$binary" -max_total_time="$seconds" -max_len=600 -timeout=10 -print_final_stats=1 \
            -artifact_prefix="$build/crash-$target-" "$found" "$corpus"
    fi
done
echo "fuzz: no finding"
