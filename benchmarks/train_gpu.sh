#!/usr/bin/env bash
# One run of training on this machine's GPUs, of as many steps as there is time for:
#   train_gpu.sh [RUN [MINUTES [RECIPE [OPTION...]]]]
# It ends within MINUTES (9); a run that was cut off goes on when it is started again. It begins with the package's
# weights or those that $FROM names, and trains on the images in $IMAGES, else in shared/data/train in the repository or
# the recipe's. Where it fails or hangs before the first checkpoint, it is tried again without compiling, and then with
# half the batch too. What the machine has not but PyAV, platformdirs for instance, comes from wheels/ (carried.sh).
# The weights come to $OUT (./out) whenever they are saved, in pieces of 15 MiB; to join:
#   cat weights-fp32.safetensors.? >weights-fp32.safetensors
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
# Compiled kernels serve the runs beside this one too.
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-$(dirname "$run")/kernels}
export PYTORCH_CUDA_ALLOC_CONF=${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}
gpus=$(python3 -c 'import torch; print(max(1, torch.cuda.device_count()))')
start=(python3 -m nerdrain_rt)
if [ "$gpus" -gt 1 ]; then
  start=(python3 -m torch.distributed.run --standalone --nproc-per-node "$gpus" -m -- nerdrain_rt)
fi
photographs=()
if [ -d "$images" ]; then photographs=(--images "$images"); fi

weights=weights-fp32.safetensors
keep() { # the weights in pieces, where there are newer ones
  if [ ! "$run/$weights" -nt "$scratch/kept" ]; then return; fi
  touch "$scratch/kept"
  split -b 15M -d -a 1 "$run/$weights" "$scratch/$weights."
  mv "$scratch/$weights".? "$out"
}
has_begun() { [ "$(wc -l <"$run/log.csv" 2>/dev/null || echo 0)" -gt 1 ]; }
train() { # SECONDS OPTION...: asked to end where it takes much longer, or half of that for the first step
  local limit=$1 begun=$SECONDS time trainer
  time=$(printf '%d.%02d' $((limit / 60)) $((limit % 60 * 100 / 60)))
  timeout --kill-after=10 $((limit + 30)) \
    "${start[@]}" train "$run/recipe.toml" --run "$run" --minutes "$time" --fit "$time" "${photographs[@]}" "${@:2}" &
  trainer=$!
  while kill -0 $trainer 2>/dev/null; do
    keep
    if [ $((SECONDS - begun)) -gt $((limit / 2)) ] && ! has_begun; then kill $trainer 2>/dev/null || true; fi
    sleep 1
  done
  wait $trainer
}
as_it_is() { cat "$1"; }
uncompiled() { sed 's/^compile = true/compile = false/' "$1"; }
smaller() {
  uncompiled "$1" | python3 -c '
import re, sys

def halved(crops):
    return re.sub(r"\d+\]", lambda batch: f"{max(1, int(batch[0][:-1]) // 2)}]", crops[0])

print(re.sub(r"(?m)^crops = .*", halved, sys.stdin.read()))'
}

ending=25 # seconds for what comes after the last step
code=0
if [ -e "$run/checkpoint.pt" ]; then
  train $((seconds - SECONDS - ending)) --resume "$@" || code=$?
else
  for change in as_it_is uncompiled smaller; do
    echo "== $change"
    "$change" "$recipe" >"$run/recipe.toml"
    code=0
    train $((seconds - SECONDS - ending)) --from "${FROM:-nerdrain-s-4}" "$@" || code=$?
    if [ "$code" = 0 ] || [ -e "$run/checkpoint.pt" ]; then break; fi
  done
fi
keep
timeout 20 python3 benchmarks/training.py "$run/recipe.toml" "$run" --processes "$gpus" "${photographs[@]}" || true

cd "$run"
sheets=(sheets/*)
tar -czf "$out/run.tar.gz" -- *.csv *.toml *.png "${sheets[@]: -1}"
sha256sum -- *.safetensors
exit $code
