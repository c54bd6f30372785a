#!/usr/bin/env bash
# One slice of training on this machine's GPUs, begun with the package's weights; run it again to go on:
#   train_gpu.sh [RUN [MINUTES [RECIPE [OPTION...]]]]
# It ends within MINUTES (9). A few steps tell how fast it is here; the recipe's are then as many as the time that is
# left allows, that of further slices ($SLICES in all) included. $FROM names other weights, $IMAGES another folder of
# images than shared/data/train in the repository or the recipe's. PyAV need not be there.
# The weights come to $OUT (./out) in pieces of 15 MiB; to join: cat weights.safetensors.? >weights.safetensors
set -euo pipefail
shopt -s nullglob
cd "$(dirname "$0")/.."

run=${1:-runs/nerdrain-s} minutes=${2:-9} recipe=${3:-configs/nerdrain-s-h100.toml}
shift $(($# < 3 ? $# : 3))
mkdir -p "$run" "${OUT:=out}"
out=$(realpath "$OUT") run=$(realpath "$run") images=${IMAGES:-shared/data/train} seconds=$((minutes * 60))
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
exec > >(tee "$out/train.log") 2>&1

. benchmarks/carried.sh "$scratch/packages"
if ! python3 -c 'import av' 2>/dev/null; then PYTHONPATH+=:$PWD/benchmarks/without_video; fi
# Compiled kernels are kept between slices.
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-$run/kernels}
gpus=$(python3 -c 'import torch; print(max(1, torch.cuda.device_count()))')
start=(python3 -m nerdrain_rt)
if [ "$gpus" -gt 1 ]; then
  start=(python3 -m torch.distributed.run --standalone --nproc-per-node "$gpus" -m -- nerdrain_rt)
fi
photographs=()
if [ -d "$images" ]; then photographs=(--images "$images"); fi
set -- "${photographs[@]}" "$@"

train() { # SECONDS RECIPE OPTION...: asked to end as by Ctrl-C where it does not end by itself
  local minutes
  minutes=$(printf '%d.%02d' $(($1 / 60)) $(($1 % 60 * 100 / 60)))
  timeout --signal=INT --kill-after=10 $(($1 + 30)) "${start[@]}" train "$2" --run "$run" --minutes "$minutes" "${@:3}"
}
probe() { # RECIPE OPTION...: the first steps, which compile
  sed 's/^steps = .*/steps = 150/; s/^decay_steps = .*/decay_steps = 1/' "$1" >"$scratch/probe.toml"
  train $((seconds / 2)) "$scratch/probe.toml" --from "${FROM:-nerdrain-s-3}" "${@:2}"
}
plan() { # SECONDS RECIPE: the recipe for so many seconds more, at the speed of the last steps
  python3 - "$run" "$@" <<'PYTHON'
import csv, re, statistics, sys, tomllib
from pathlib import Path

run, seconds, text = Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]).read_text()
rows = list(csv.DictReader((run / "log.csv").open()))
each = statistics.median(float(row["seconds"]) for row in rows[-100:])
steps = int(rows[-1]["step"]) + int(seconds / each)
decay = max(1, steps - tomllib.loads(text)["warmup_steps"])
text = re.sub(r"(?m)^steps = .*", f"steps = {steps}", text)
(run / "recipe.toml").write_text(re.sub(r"(?m)^decay_steps = .*", f"decay_steps = {decay}", text))
print(f"{each:.4f} s a step: {steps} steps in all")
PYTHON
}

around=45 # seconds for what is before the first step and after the last
if [ ! -e "$run/recipe.toml" ]; then
  probe "$recipe" "$@" || true
  if [ ! -e "$run/checkpoint.pt" ]; then
    echo "once more, without compiling"
    sed 's/^compile = true/compile = false/' "$recipe" >"$scratch/eager.toml"
    recipe=$scratch/eager.toml
    probe "$recipe" "$@"
  fi
  plan $((seconds - SECONDS - around + (${SLICES:-1} - 1) * (seconds - around))) "$recipe"
fi
if python3 - "$run" <<'PYTHON'
import csv, sys, tomllib
from pathlib import Path

run = Path(sys.argv[1])
steps = tomllib.loads((run / "recipe.toml").read_text())["steps"]
sys.exit(int(list(csv.DictReader((run / "log.csv").open()))[-1]["step"]) < steps)
PYTHON
then
  echo "$run: at its last step; for more, give another RUN and FROM=$run/weights-fp32.safetensors" >&2
  exit 2
fi
code=0
train $((seconds - SECONDS - around)) "$run/recipe.toml" --resume "$@" || code=$?
timeout 40 python3 benchmarks/training.py "$run/recipe.toml" "$run" --processes "$gpus" "${photographs[@]}" || true

cd "$run"
for name in weights weights-fp32; do split -b 15M -d -a 1 $name.safetensors "$out/$name.safetensors."; done
sheets=(sheets*/)
tar -czf "$out/run.tar.gz" -- *.csv *.toml *.png "${sheets[@]}"
sha256sum -- *.safetensors
exit $code
