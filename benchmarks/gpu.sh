#!/usr/bin/env bash
# Everything that only a GPU can show, on a machine with nothing but torch >= 2.11 and Triton:
#   gpu.sh [WIDTHxHEIGHT...]        by default 1280x720 1920x1080 3840x2160
# Other packages come from wheels/ in the repository, filled before with
#   pip download -d wheels --only-binary :all: av safetensors typer rich platformdirs psutil pillow pytest pytest-timeout hypothesis
# and are put into a folder of their own; nothing is downloaded here. The results go to $OUT (./out), with all that was
# printed in gpu.log; a step that fails does not keep the next from running.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${OUT:-out}
mkdir -p "$out"
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
exec > >(tee "$out/gpu.log") 2>&1

[ $# -gt 0 ] || set -- 1280x720 1920x1080 3840x2160
sizes=()
for size in "$@"; do sizes+=(--size "$size"); done

wheels=()
for wheel in wheels/*.whl; do
  case $wheel in
    wheels/torch-* | wheels/triton-* | wheels/nvidia_* | wheels/numpy-*) ;; # the machine's own fit its driver
    *) if [ -e "$wheel" ]; then wheels+=("$wheel"); fi ;;
  esac
done
if [ ${#wheels[@]} -gt 0 ]; then
  python3 -m pip install --quiet --no-index --no-deps --target "$packages" "${wheels[@]}"
fi
export PYTHONPATH="$PWD:$packages${PYTHONPATH:+:$PYTHONPATH}"

failed=()
# step FILE COMMAND...: what the command prints, without its errors, goes to a file of $OUT.
step() {
  local file=$1 begun=$SECONDS code=0
  shift
  echo "== $*"
  "$@" | tee "$out/$file" || code=$?
  echo "== exit code $code after $((SECONDS - begun)) s"
  if [ "$code" != 0 ]; then failed+=("$file"); fi
}

chart=()
if python3 -c 'import matplotlib' 2>/dev/null; then chart=(--plot "$out/bench.png"); fi
step doctor.json python3 -m nerdrain_rt doctor --json
step tests.txt python3 -m pytest -m gpu -q -p no:cacheprovider
step bench.json python3 -m nerdrain_rt bench --json --device cuda "${sizes[@]}" "${chart[@]}"
if [ -e benchmarks/fused.py ]; then step fused.txt python3 benchmarks/fused.py --size 1920x1080; fi

if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}"
  exit 1
fi
