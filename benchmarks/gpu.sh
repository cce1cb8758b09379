#!/usr/bin/env bash
# What only a GPU can show, in under eight minutes: the tests that need one, the fused kernels beside a copy, a step
# beside a bare forward, and clips a second from files. Writes benchmarks/results/<device>/.
#
#   bash benchmarks/gpu.sh                a GPU
#   bash benchmarks/gpu.sh --device cpu   the same path at a small size, where there is none
#   WHEELS=DIR bash benchmarks/gpu.sh     install what is missing from a folder of wheels, without a network
#   STEPS="tests kernels" bash …          some of: tests kernels overhead memory throughput
set -euo pipefail
cd "$(dirname "$0")/.."
device=cuda
[ "${1:-}" = --device ] && device=$2
steps=${STEPS:-tests kernels overhead memory throughput}
export HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

if [ -n "${WHEELS:-}" ]; then
  site=$(mktemp -d)
  python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$WHEELS"/*.whl
  export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
elif ! python3 -c 'import and_nnsight, nnsight, datasets, pytest, hypothesis' 2>/dev/null; then
  python3 -m pip install --quiet -e '.[test]'
fi
python3 -c 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'

failed=()
step() { # name command…: goes on after a failure, so that one of them does not cost the numbers of the others
  local name=$1 began=$SECONDS
  shift
  [[ " $steps " == *" $name "* ]] || return 0
  printf '\n== %s: %s\n' "$name" "$*"
  "$@" || failed+=("$name")
  printf -- '-- %s took %d s\n' "$name" $((SECONDS - began))
}

if [ "$device" = cuda ]; then
  step tests python3 -m pytest -q -p no:cacheprovider -m gpu tests/audio tests/kernels tests/statistics tests/model/test_device_features.py tests/run/test_no_synchronisation.py
  step kernels python3 -m benchmarks.kernels
  step overhead python3 -m benchmarks.overhead --geometry ast-base whisper-small --measure steps --dtype bfloat16 --batch-size 64 --rounds 4
  step memory python3 -m benchmarks.overhead --geometry ast-base --measure steps memory --dtype bfloat16 --batch-size 64 --rounds 1 --no-write
  step throughput python3 -m benchmarks.throughput
else
  step tests python3 -m pytest -q -x -p no:cacheprovider tests/kernels tests/statistics/test_units.py -m 'not slow'
  step overhead python3 -m benchmarks.overhead --device cpu --geometry tiny --measure steps memory --rounds 2 --no-write
  step throughput python3 -m benchmarks.throughput --device cpu --clips 64 --workers 0 1 --no-write
fi
[ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
echo "all of it took $SECONDS s"
