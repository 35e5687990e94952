#!/usr/bin/env bash
# The test command behind `npm test`: what the tests need, build, lint, tests, summary.
#   npm test                         everything
#   npm test -- core/import          only test files whose path contains the words given (no lint)
# CI=1: whatever could not be checked is a failure.
set -uo pipefail
cd "$(dirname "$0")/.."

source test/setup/packages.sh

case "${CI:-}" in 1 | true) in_ci=1 ;; *) in_ci=0 ;; esac
failed=()

install_missing_packages || { [ "$in_ci" -eq 1 ] && failed+=('missing programs'); }

echo 'test: build'
# A test that was renamed or removed must not run on from an old build; without its notes tsc writes everything anew.
rm -rf dist/test
rm -f dist/.tsbuildinfo
npm run --silent build || { echo 'test: the build failed' >&2; exit 1; }

if [ $# -eq 0 ]; then
  echo 'test: lint'
  npm run --silent lint || failed+=('lint')
fi

mapfile -t files < <(find dist/test -name '*.test.js' | sort)
for words in "$@"; do
  mapfile -t files < <(printf '%s\n' "${files[@]}" | grep -F -- "$words")
done
if [ ${#files[@]} -eq 0 ]; then
  echo 'test: there is no such test' >&2
  exit 1
fi

echo "test: ${#files[@]} files"
# Each file is a process of its own, and is ended when it takes longer than the time-out. Two at a time: several of them
# start servers or sign in bulk.
started=$SECONDS
log=$(mktemp)
trap 'rm -f "$log"' EXIT
node --enable-source-maps --test --test-concurrency=2 --test-timeout="${TEST_TIMEOUT_MS:-600000}" \
  --test-reporter=spec --test-reporter-destination=stdout \
  --test-reporter=tap --test-reporter-destination="$log" \
  "${files[@]}" || failed+=('tests')

summary() { sed -n "s/^# $1 //p" "$log" | tail -1; }
# Counted here, because the runner's own count leaves out suites that are skipped whole.
mapfile -t skipped < <(grep -E '^ *ok .* # SKIP' "$log" | sed -E 's/^ *ok [0-9]+ - //; s/ # SKIP */: /')
echo "test: $(summary pass) passed, $(summary fail) failed, ${#skipped[@]} skipped, $(summary cancelled) cancelled in $((SECONDS - started)) s"
if [ ${#skipped[@]} -ne 0 ]; then
  printf 'test: SKIPPED %s\n' "${skipped[@]}" >&2
  [ "$in_ci" -eq 1 ] && failed+=('skipped tests')
fi

if [ ${#failed[@]} -ne 0 ]; then
  printf 'test: FAILED: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo 'test: all passed'
