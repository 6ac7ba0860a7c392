#!/usr/bin/env bash
# Installs what is missing, builds, and runs the test suite:
#   tests/run.sh [PRESET] [-DCMAKE_OPTION=...]... [CTEST ARGUMENT...]
# PRESET is one of CMakePresets.json, "release" if not given. The default set runs, unless a ctest
# argument -L names another label ("slow", "endurance", "container").
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=release
case "${1:-}" in
  "" | -*) ;;
  *) preset=$1; shift ;;
esac
options=()
while [[ "${1:-}" == -D* ]]; do
  options+=("$1")
  shift
done
jobs=$(nproc)
# Most tests wait rather than compute.
tests_at_a_time=$((2 * jobs))

groups=(build test)
if [[ " $* " == *" -L container "* ]]; then groups+=(package container); fi
tests/packages.sh install "${groups[@]}"
cmake --preset "$preset" -DBUILD_TESTING=ON -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "${options[@]}"
cmake --build --preset "$preset" --parallel "$jobs"
if [[ " $* " == *" -L "* ]]; then
  # The presets leave the slow labels out; whoever names a label means it.
  cd "build/$preset"
  exec ctest --output-on-failure --no-tests=error --parallel "$tests_at_a_time" "$@"
fi
# Tests of deadlines may miss theirs on a machine that does something else: such a test has a second try.
exec ctest --preset "$preset" --no-tests=error --parallel "$tests_at_a_time" --repeat until-pass:2 "$@"
