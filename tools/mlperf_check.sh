#!/usr/bin/env bash
# Runs MLPerf's own submission checker on the logs of `longtake bench mlperf`: its compliance test
# TEST04, its tool that cuts accuracy logs, then the checker.
#
#   tools/mlperf_check.sh FOLDER       checks FOLDER (of bench mlperf -o)
#   tools/mlperf_check.sh              makes a trial of the built-in model first, of tiny clips
#
# PYTHON is Python 3 (default: python3); what it lacks of LoadGen and the checker's packages is
# installed into VENV (bin/clients/mlperf). INFERENCE names a checkout of mlcommons/inference or a
# git repository of it; without one the pinned commit is fetched. LONGTAKE is the command (default:
# bin/longtake), COUNT the clips of a trial (70), and CLIP flags that say how large they are.
# ACCURACY names what VBench's evaluation has printed (run_evaluation.py of the task); without it, a
# line with a score of 0 says that nobody has run it.
#
# The exit code is 0 if the checker accepts all, or if for a trial it complains of nothing but what
# docs/mlperf.md lists. It is 75 if something could not be fetched: the last line says what. A trial
# is made nevertheless where LoadGen is there and only the checker is missing.
set -euo pipefail
COMMIT=b66003e10e2db4b8c36a448b0545ec90fcc6e9e9 # v6.1, August 2026
VERSION=v6.1
LOADGEN=mlcommons-loadgen==6.0.17
PYTHON=${PYTHON:-python3}
LONGTAKE=$(realpath "${LONGTAKE:-bin/longtake}")
tools=$(realpath "$(dirname "$0")")
folder=${1:-} trial=
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skip() { echo "mlperf_check: skipped: $*"; exit 75; }

# need MODULES PACKAGES sees to an interpreter that has them.
need() {
  "$PYTHON" -c "import $1" 2>"$work/pip.log" && return
  venv=${VENV:-$tools/../bin/clients/mlperf}
  [ -x "$venv/bin/python" ] || "$PYTHON" -m venv "$venv" >"$work/pip.log" 2>&1 ||
    skip "$PYTHON makes no venv: $(tail -1 "$work/pip.log")"
  PYTHON=$venv/bin/python
  "$PYTHON" -c "import $1" 2>/dev/null && return
  # shellcheck disable=SC2086
  timeout 120 "$PYTHON" -m pip install -q --disable-pip-version-check --retries 1 $2 \
    >"$work/pip.log" 2>&1 ||
    skip "pip cannot install $2 for $("$PYTHON" --version): $(tail -1 "$work/pip.log")"
}

# The code of the checker, at the commit; missing says why there is none.
code=$work/inference missing=
if [ -d "${INFERENCE:-}/tools/submission" ]; then
  code=$(realpath "$INFERENCE")
else
  mkdir "$code"
  repo=${INFERENCE:-}
  if [ -z "$repo" ]; then
    repo=$work/repo
    git init -q --bare "$repo"
    timeout 120 git -C "$repo" fetch -q --depth 1 --filter=blob:limit=1m \
      https://github.com/mlcommons/inference "$COMMIT" 2>"$work/git.log" ||
      missing="the checker cannot be fetched: $(tail -1 "$work/git.log")"
  fi
  # File by file: copies of the repository may lack its largest ones, which are not needed.
  [ -n "$missing" ] || git -C "$repo" ls-tree -r --name-only "$COMMIT" \
    tools/submission/submission_checker tools/submission/truncate_accuracy_log.py \
    compliance/TEST04 text_to_video/wan-2.2-t2v-a14b/data/vbench_prompts.txt | while read -r path; do
    mkdir -p "$code/$(dirname "$path")"
    git -C "$repo" show "$COMMIT:$path" >"$code/$path"
  done
fi
[ -z "$missing" ] || [ -z "$folder" ] || skip "$missing"

if [ -z "$folder" ]; then
  need mlperf_loadgen,numpy "$LOADGEN numpy"
  trial=yes folder=$work/trial prompts=$code/text_to_video/wan-2.2-t2v-a14b/data/vbench_prompts.txt
  [ -z "$missing" ] || prompts=builtin
  # shellcheck disable=SC2086
  "$LONGTAKE" bench mlperf -o "$folder" --python "$PYTHON" \
    ${CLIP:---size 96x64 --frames 9 --steps 2} --prompts "$prompts" --count "${COUNT:-70}" \
    --min-duration 0s --system-file "$tools/mlperf_system.json"
  for log in "$folder"/*/*/results/*/*/*/performance/run_1/mlperf_log_summary.txt; do
    grep -q "^MLPerf Results Summary" "$log"
  done
  [ -z "$missing" ] || skip "LoadGen's part is done, but $missing"
fi
folder=$(realpath "$folder")
need numpy,pandas,yaml "numpy pandas PyYAML"

# TEST04 compares with the performance test. Its tool writes into the folder where it runs.
for scenario in "$folder"/*/*/results/*/*/*/; do
  test=$scenario/TEST04/performance/run_1
  [ -d "$test" ] || continue
  cp -r "$test" "$work/test04"
  (cd "$work" && "$PYTHON" "$code/compliance/TEST04/run_verification.py" -r "$scenario" \
    -c "$work/test04" -o "$scenario" | sed "s/^/TEST04: /")
  rm -r "$work/test04"
done

# The score of VBench, and the hash of the accuracy log, which is cut then.
for accuracy in "$folder"/*/*/results/*/*/*/accuracy/; do
  [ -d "$accuracy" ] && [ ! -e "$accuracy/accuracy.txt" ] || continue
  if [ -n "${ACCURACY:-}" ]; then cp "$ACCURACY" "$accuracy/accuracy.txt"; else
    echo "{'vbench_score': 0.0} # VBench was not run" >"$accuracy/accuracy.txt"
  fi
done
cp -r "$folder" "$work/submission"
(cd "$work/submission" && rm -rf videos &&
  "$PYTHON" "$code/tools/submission/truncate_accuracy_log.py" --input . --submitter '' \
    --backup "$work/backup" >"$work/truncate.log" 2>&1) || { cat "$work/truncate.log"; exit 1; }

cd "$work"
"$PYTHON" "$code/tools/submission/submission_checker/main.py" --input "$work/submission" \
  --version "$VERSION" --csv "$work/summary.csv" >"$work/check.log" 2>&1 && ok=0 || ok=$?
grep -E "ERROR|WARNING|INFO\] (All|Results)" "$work/check.log" | grep -v "check endpoints_model_check" |
  sed "s#$work/submission/##g; s#^\[[^]]* \([A-Z]*\)\]#\1#" >"$work/said" || true
cat "$work/said"
[ "$ok" = 0 ] && { echo "mlperf_check: accepted"; exit 0; }

# What a trial is bound to hear: too short, too few, and not the model whose videos were judged. A
# checker that broke down says nothing of the kind.
expected="Test duration less than 600s|accuracy not met|does not cover all dataset|extra files|"
expected+="Early stopping condition was not met|Checks failed for|NoResults|"
expected+="SUMMARY: submission has errors"
if [ -z "$trial" ] || ! grep -q "SUMMARY: submission has errors" "$work/said" ||
  grep -v "^INFO" "$work/said" | grep -qvE "$expected"; then
  tail -5 "$work/check.log"
  echo "mlperf_check: not accepted"
  exit 1
fi
echo "mlperf_check: accepted, but for the counts and the model of a trial"
