#!/usr/bin/env bash
# One slice of training on this machine's GPUs; run it again to go on: train_gpu.sh [RUN [MINUTES [RECIPE [OPTION...]]]]
set -euo pipefail
cd "$(dirname "$0")/.."

run=${1:-runs/nerdrain-s} minutes=${2:-9} recipe=${3:-configs/nerdrain-s-h100.toml}
shift $(($# < 3 ? $# : 3))
gpus=$(python3 -c 'import torch; print(max(1, torch.cuda.device_count()))')
# Compiled kernels are kept between slices.
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-$run/kernels}
if [ -e "$run/checkpoint.pt" ]; then set -- --resume "$@"; fi
exec torchrun --standalone --nproc-per-node "$gpus" -m -- nerdrain_rt train "$recipe" --run "$run" --minutes "$minutes" "$@"
