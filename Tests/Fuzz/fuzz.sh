#!/bin/sh
# Fuzzes the decoders of SCSI and of configuration texts: Tests/Fuzz/fuzz.sh [seconds per target] [target ...]
#
# Each folder beside this script that holds a main.swift is a target. It is compiled with the sources under test and the
# properties that the unit tests replay the corpus with (FuzzProperties.swift) into one binary under .build/fuzz, with
# libFuzzer and the address sanitizer, and run over the committed corpus. With 0 seconds the corpus is replayed and
# nothing more. New inputs stay under .build/fuzz; a crash is left there too and ends the script with its status.
set -eu

# The runtime's own backtrace would run within the crashing process and hide the finding.
export SWIFT_BACKTRACE=enable=no

root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- cdb lists config

build=$root/.build/fuzz
mkdir -p "$build"
cd "$root"

for target in "$@"; do
    corpus=$root/Tests/Fuzz/corpus/$target
    binary=$build/fuzz-$target
    found=$build/found-$target
    mkdir -p "$found"

    case $target in
    config)
        # ServiceConfiguration is about the daemon itself, and the only one that takes more than the standard library.
        sources=$(find Sources/Configuration -name '*.swift' ! -name ServiceConfiguration.swift)
        properties=Tests/ConfigurationTests/FuzzProperties.swift
        ;;
    *)
        sources=$(find Sources/SCSI -name '*.swift')
        properties=Tests/SCSITests/FuzzProperties.swift
        ;;
    esac

    echo "fuzz: building $target"
    # One word for each file: the paths are relative, and the repository's own have no blanks.
    # shellcheck disable=SC2086
    swiftc -swift-version 6 -O -use-ld=lld -parse-as-library -sanitize=fuzzer,address -module-name Fuzz -D FUZZING \
        -enable-upcoming-feature ExistentialAny -enable-upcoming-feature MemberImportVisibility \
        -o "$binary" $sources "$properties" "Tests/Fuzz/$target/main.swift"

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
