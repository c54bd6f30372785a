#!/usr/bin/env bash
# Everything that only a GPU can show, the most valuable first, on a machine with nothing but torch >= 2.11 and Triton:
#   gpu.sh [WIDTHxHEIGHT...]        by default 1280x720 1920x1080 3840x2160
# It ends within $BUDGET seconds (570). Other packages come from wheels/ in the repository, filled before with
#   pip download -d wheels --no-deps --only-binary :all: --python-version 3.12 --platform manylinux_2_28_x86_64 \
#     av==18.1.0 platformdirs
# and what else `python3 -m nerdrain_rt doctor` misses there; they are put into a folder of their own, and nothing is
# downloaded. Results go to $OUT (./out) as they come, all that is printed to gpu.log there; a step that fails or takes
# too long does not keep the next from running, and a benchmark that is stopped gives what it has measured.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${OUT:-out} budget=${BUDGET:-570}
mkdir -p "$out"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
exec > >(tee "$out/gpu.log") 2>&1

[ $# -gt 0 ] || set -- 1280x720 1920x1080 3840x2160
sizes=()
for size in "$@"; do sizes+=(--size "$size"); done

. benchmarks/carried.sh "$scratch/packages"

failed=()
# step FILE LIMIT COMMAND...: for at most LIMIT seconds and what is left in all; asked to end as by Ctrl-C, then killed.
# What the command prints, without its errors, goes to the file; not through a pipe, which a child left behind holds.
step() {
  local file=$1 limit=$2 code=0 left=$((budget - SECONDS)) begun=${EPOCHREALTIME/[.,]/}
  shift 2
  echo "== $*"
  if [ "$left" -lt 5 ]; then
    echo "== no time is left for it"
    failed+=("$*")
    return
  fi
  timeout --signal=INT --kill-after=15 "$((limit < left ? limit : left))" "$@" >"$file" || code=$?
  if [ "$file" != /dev/stdout ]; then cat "$file"; fi
  echo "== exit code $code after $(((${EPOCHREALTIME/[.,]/} - begun) / 1000)) ms"
  if [ "$code" != 0 ]; then failed+=("$*"); fi
}
bench() { # FILE LIMIT OPTION...
  step "$out/$1" "$2" python3 -m nerdrain_rt bench --json --device cuda --input samples/rain_street.mp4 "${@:3}"
}
derain() { # SOURCE OPTION...
  step /dev/stdout 90 python3 -m nerdrain_rt video "$1" -o "$scratch/clean.mp4" -y --json --device cuda "${@:2}"
}
launch() { # CACHE OPTION...: one frame, with the kernels and choices that are kept in a folder
  NERDRAIN_CACHE=$scratch/$1 TRITON_CACHE_DIR=$scratch/$1 derain samples/rain_street.mp4 --end 0.04 "${@:2}"
}
first_frame() { # CACHE OPTION...: and those after it, until what was asked for is ready
  NERDRAIN_CACHE=$scratch/$1 TRITON_CACHE_DIR=$scratch/$1 step /dev/stdout 120 python3 benchmarks/first_frame.py "${@:2}"
}
test_on_gpu() { # LIMIT OPTION...
  local at_once=()
  if python3 -c 'import xdist' 2>/dev/null; then at_once=(-n 4 --dist loadfile); fi
  step /dev/stdout "$1" python3 -m pytest -q --tb=short -p no:cacheprovider -W default "${at_once[@]}" "${@:2}"
}

step /dev/stdout 60 python3 -m nerdrain_rt doctor --json
step "$out/fused.txt" 200 python3 benchmarks/fused.py --size 1920x1080
bench bench.json 270 --backend fused --backend eager "${sizes[@]}"
test_on_gpu 200 -m gpu --ignore tests/test_compile.py
for _ in cold warm; do first_frame auto --seconds 100; done
for _ in cold warm; do launch new; done
launch auto --backend fused
clip=$scratch/clip.mp4
step /dev/stdout 60 python3 -c "
from pathlib import Path
from nerdrain_rt.benchmark.pipeline import make_clip
make_clip(Path('$clip'), (1080, 1920), 300)"
for options in '' --no-temporal '--no-temporal --decode-on-gpu'; do
  # shellcheck disable=SC2086 # several words are several options
  derain "$clip" --backend fused $options
done
if python3 -c 'import torch_tensorrt' 2>/dev/null; then
  first_frame tensorrt --backend tensorrt --seconds 60
  bench tensorrt.json 400 --backend tensorrt --size 1920x1080 --no-published
fi
test_on_gpu 150 -m 'not gpu and not slow' tests/test_kernels.py tests/test_color_kernels.py tests/test_fused.py
test_on_gpu 120 -m gpu tests/test_compile.py
bench compile.json 300 --backend compile --size 1920x1080 --no-published --no-pipeline

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
