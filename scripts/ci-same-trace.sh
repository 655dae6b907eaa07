#!/usr/bin/env bash
# the same seed gives the same trace in two processes, byte for byte
# Takes the programs that preempt, lock and fault most. To look: compare the two traces that it says differ.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

traces=$(mktemp -d)
trap 'rm -rf "$traces"' EXIT
for program in missing-demo bg-snapshot; do
  for run in first second; do
    node bin/faultline.js run --seed 7 --trace "$traces/$run" "examples/guest/bin/$program" >"$traces/output"
    cmp "$traces/output" "examples/guest/expected/$program.txt"
  done
  cmp "$traces/first" "$traces/second"
done
