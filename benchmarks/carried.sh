# shellcheck shell=bash
# Sourced: puts the packages in wheels/ into the folder $1, and makes them and this checkout importable.
wheels=()
for wheel in wheels/*.whl; do
  case $wheel in
    wheels/torch-* | wheels/triton-* | wheels/nvidia_* | wheels/numpy-*) ;; # the machine's own fit its driver
    *) if [ -e "$wheel" ]; then wheels+=("$wheel"); fi ;;
  esac
done
if [ ${#wheels[@]} -gt 0 ]; then
  python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$1" "${wheels[@]}"
fi
# The package asks for its own version, which only an installed one has.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
mkdir -p "$1/nerdrain_rt-$version.dist-info"
printf 'Metadata-Version: 2.1\nName: nerdrain-rt\nVersion: %s\n' "$version" >"$1/nerdrain_rt-$version.dist-info/METADATA"
export PYTHONPATH="$PWD:$1${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
