#!/bin/sh
# Fuzzes decoders, parameter lists, configuration texts and a whole unit:
# Tests/Fuzz/fuzz.sh [seconds per target] [target ...]
#
# Each folder beside this script that holds a main.swift is a target. It is built with what is under test and the
# properties that the unit tests replay the corpus with into one binary under .build/fuzz, with libFuzzer and the address
# sanitizer, and run over the committed corpus. With 0 seconds the corpus is replayed and nothing more. New inputs stay
# in .build/fuzz/found-<target>; a crash is left in .build/fuzz too and ends the script with its status.
#
# FUZZ_SANITIZERS=fuzzer leaves the address sanitizer out: `unit` then runs three times as fast.
# What was found is worth keeping where it reaches new code; this picks the smallest inputs that do:
#   .build/fuzz/fuzz-unit -merge=1 -use_counters=0 Tests/Fuzz/corpus/unit .build/fuzz/found-unit
set -eu

# The runtime's own backtrace would run within the crashing process and hide the finding.
export SWIFT_BACKTRACE=enable=no
# Freed memory is watched for a while, and then given to the next run's unit, which is what most of it comes from.
export ASAN_OPTIONS="quarantine_size_mb=16${ASAN_OPTIONS:+:$ASAN_OPTIONS}"

root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- cdb lists config unit

sanitizers=${FUZZ_SANITIZERS:-fuzzer,address}
build=$root/.build/fuzz
mkdir -p "$build"
cd "$root"

# Builds target $1 of the files $3 ... into binary $2: one module, so that the properties reach what is internal.
build_module() {
    target=$1 binary=$2
    shift 2
    swiftc -swift-version 6 -O -use-ld=lld -parse-as-library -sanitize="$sanitizers" -module-name Fuzz -D FUZZING \
        -enable-upcoming-feature ExistentialAny -enable-upcoming-feature MemberImportVisibility \
        -o "$binary" "$@" "Tests/Fuzz/$target/main.swift"
}

# Builds the target `unit` into binary $1: module by module, by the package's build in a place of its own, since here
# every module is instrumented. SwiftPM's own --sanitize takes one of the two, so the compilers are told.
build_unit() {
    package=$root/.build/fuzz-package-$(echo "$sanitizers" | tr , -)
    clang_sanitizers=$(echo "$sanitizers" | sed 's/fuzzer/fuzzer-no-link/')
    set -- "$1" -c release --scratch-path "$package" -Xswiftc -use-ld=lld -Xswiftc -sanitize="$sanitizers" \
        -Xcc -fsanitize="$clang_sanitizers"
    binary=$1
    shift
    timeout 1800 swift build "$@" --target TCMUTestKit
    products=$(swift build "$@" --show-bin-path)
    set --
    for map in "$products"/*.build/module.modulemap; do set -- "$@" -Xcc -fmodule-map-file="$map"; done
    for map in CSupport/*/module.modulemap; do set -- "$@" -I "$(dirname "$map")"; done
    for flag in $(pkg-config --cflags libnl-genl-3.0); do set -- "$@" -Xcc "$flag"; done
    for object in "$products"/*.build/*.o; do set -- "$@" "$object"; done
    # shellcheck disable=SC2046
    swiftc -swift-version 6 -O -use-ld=lld -parse-as-library -sanitize="$sanitizers" -module-name FuzzUnit \
        -I "$products/Modules" -I "$package/checkouts/swift-system/Sources/CSystem/include" "$@" \
        -o "$binary" Tests/Fuzz/unit/main.swift $(pkg-config --libs libnl-genl-3.0)
}

for target in "$@"; do
    corpus=$root/Tests/Fuzz/corpus/$target
    binary=$build/fuzz-$target
    found=$build/found-$target
    mkdir -p "$found"

    echo "fuzz: building $target"
    # One word for each file: the paths are relative, and the repository's own have no blanks.
    # shellcheck disable=SC2046
    case $target in
    config)
        # ServiceConfiguration is about the daemon itself, LUNFiles reads a directory; the others take the standard library alone.
        build_module config "$binary" Tests/ConfigurationTests/FuzzProperties.swift \
            $(find Sources/Configuration -name '*.swift' ! -name ServiceConfiguration.swift ! -name LUNFiles.swift)
        ;;
    unit) build_unit "$binary" ;;
    *) build_module "$target" "$binary" Tests/SCSITests/FuzzProperties.swift $(find Sources/SCSI -name '*.swift') ;;
    esac

    if [ "$seconds" -eq 0 ]; then
        echo "fuzz: replaying the corpus of $target"
        timeout 600 "$binary" -runs=0 -artifact_prefix="$build/crash-$target-" "$corpus"
    else
        echo "fuzz: running $target for $seconds seconds"
        timeout $((seconds + 300)) "$binary" -max_total_time="$seconds" -max_len=600 -len_control=10 -timeout=10 \
            -print_final_stats=1 -artifact_prefix="$build/crash-$target-" "$found" "$corpus"
    fi
done
echo "fuzz: no finding"
