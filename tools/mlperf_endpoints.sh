#!/usr/bin/env bash
# Runs the client of mlcommons/endpoints against POST /v1/videos/generations of `longtake up`: a
# few tiny clips of the built-in model in its performance mode, one after the other, and its
# test of caches (TEST04).
#
# PYTHON is Python 3.12 or later with venv (default: the first that PATH has); the client is installed
# into VENV (bin/clients/endpoints). ENDPOINTS names a checkout of mlcommons/endpoints or a git
# repository of it; without one the pinned commit is fetched. LONGTAKE is the command (default:
# bin/longtake). With URL a server that runs already is asked; it has http.generations and
# http.generations-dir, and the built-in model. Clips of a server that is started here begin with a
# fixed latent, as MLPerf's do. SAMPLES is how many clips each part has (4).
#
# The exit code is 75 if something could not be fetched: the last line says what.
set -euo pipefail
COMMIT=ea3327530376fef63d706f4105612e17c2c80a8d # August 2026
tools=$(realpath "$(dirname "$0")")
skip() { echo "mlperf_endpoints: skipped: $*"; exit 75; }
fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; }
if [ -z "${PYTHON:-}" ] || ! fits "$PYTHON"; then
  for PYTHON in python3 python3.14 python3.13 python3.12 ""; do
    [ -n "$PYTHON" ] || skip "the client needs Python 3.12 or later, and there is none"
    fits "$PYTHON" && break
  done
fi
samples=${SAMPLES:-4}
work=$(mktemp -d) server=
finish() {
  [ -z "$server" ] || { kill "$server" && wait "$server" || true; }
  rm -rf "$work"
}
trap finish EXIT

# The client, in an environment of its own.
venv=${VENV:-$tools/../bin/clients/endpoints}
if [ ! -x "$venv/bin/inference-endpoint" ]; then
  source=${ENDPOINTS:-}
  if [ -z "$source" ]; then
    source=$work/repo
    git init -q --bare "$source"
    timeout 120 git -C "$source" fetch -q --depth 1 https://github.com/mlcommons/endpoints "$COMMIT" \
      2>"$work/git.log" || skip "the client cannot be fetched: $(tail -1 "$work/git.log")"
  fi
  if [ ! -d "$source/src" ]; then
    mkdir "$work/code"
    git -C "$source" archive "$COMMIT" src pyproject.toml README.md | tar x -C "$work/code"
    source=$work/code
  fi
  "$PYTHON" -m venv "$venv" >"$work/pip.log" 2>&1 ||
    skip "$PYTHON makes no venv: $(tail -1 "$work/pip.log")"
  timeout 300 "$venv/bin/pip" install -q --disable-pip-version-check --retries 1 "$source" \
    >"$work/pip.log" 2>&1 ||
    skip "pip cannot install the client for $("$PYTHON" --version): $(tail -1 "$work/pip.log")"
fi

# The server. It says its address once the API has its port.
url=${URL:-}
latent=
if [ -z "$url" ]; then
  mkdir "$work/clips" "$work/latents"
  latent=$work/latents/fixed.safetensors
  "$PYTHON" - "$latent" <<'PY'
import json, random, struct, sys
shape, draw = [1, 16, 9, 8, 12], random.Random(42)  # of 33 frames of 96x64
n = 16 * 9 * 8 * 12
head = json.dumps({"latents": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * n]}}).encode()
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<Q", len(head)) + head)
    f.write(struct.pack(f"<{n}f", *(draw.gauss(0, 1) for _ in range(n))))
PY
  "${LONGTAKE:-bin/longtake}" up --listen 127.0.0.1:0 --data "$work/data" --http-generations \
    --http-generations-dir "$work/clips" --http-generations-latents "$work/latents" >"$work/up" 2>&1 &
  server=$!
  for _ in $(seq 600); do
    url=$(grep -o 'http://127[^;]*' "$work/up" || true)
    [ -z "$url" ] && kill -0 "$server" || break
    sleep 0.1
  done
  [ -n "$url" ] || { cat "$work/up"; exit 1; }
fi

# What the client sends by default is the task's; the built-in model makes smaller clips, and has
# one transformer, whose boundary is 0.
for prompt in "a red ball over the sea" "a blue cube in the snow" "a green star at night" "a red cube"; do
  echo "{\"prompt\": \"$prompt\", \"size\": \"96x64\", \"seconds\": 2.0, \"num_frames\": 33," \
    "\"num_inference_steps\": 4, \"boundary_ratio\": 0.0${latent:+, \"latent_path\": \"$latent\"}}"
done | head -"$samples" >"$work/prompts.jsonl"
cat >"$work/run.yaml" <<YAML
name: "longtake"
version: "1.0"
type: "online"
model_params: {name: "wan22", max_new_tokens: 1, streaming: "off"}
datasets:
  - {name: prompts, path: $work/prompts.jsonl, type: "performance", samples: $samples}
audit: {test: "output_caching_test", samples: $samples, audit_samples: $samples, sample_index: $((samples - 1)), threshold: 0.20}
settings:
  runtime: {min_duration_ms: 0, max_duration_ms: 300000, n_samples_to_issue: $samples,
            scheduler_random_seed: 42, dataloader_random_seed: 42}
  load_pattern: {type: "concurrency", target_concurrency: 1}
  client: {num_workers: 1}
endpoint_config: {endpoints: ["$url"], api_type: "videogen", api_key: null}
report_dir: $work/report
YAML

# Clips of a second are too short for the test of caches, which may judge either way by chance.
"$venv/bin/inference-endpoint" benchmark from-config -c "$work/run.yaml" >"$work/log" 2>&1 || true
grep -E "Total samples|Duration|QPS|OUTPUT_CACHING" "$work/log" | sed 's/^.*INFO - //' || true
done=$(grep -c "Total samples completed: $samples\$" "$work/log" || true)
if [ "$done" != 3 ] || ! grep -q "Total samples failed: 0" "$work/log" ||
  grep -q "Total samples failed: [1-9]" "$work/log"; then
  tail -40 "$work/log"
  echo "mlperf_endpoints: not all clips were completed"
  exit 1
fi
[ -n "${URL:-}" ] || ls -l "$work/clips"
echo "mlperf_endpoints: all $((3 * samples)) clips were completed, by their paths"
