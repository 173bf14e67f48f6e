#!/usr/bin/env bash
# Build mmcv with its compiled operators, and put it in the place of mmcv-lite.
set -euo pipefail

VERSION=2.1.0 # mmdet 3.3.0 and mmsegmentation 1.2.2 assert mmcv < 2.2.0

usage() {
    cat <<EOF
usage: tools/build_mmcv.sh [--help]

Builds mmcv $VERSION with its compiled operators against the torch that is installed, and puts it in the place of
mmcv-lite. daga_mm runs without: daga_mm.compat answers for the operators that detection and segmentation need.
Build it for other operators, or for speed on a GPU. On 2 cores it takes 27 minutes for the CPU operators alone;
those for CUDA take longer.

The wheel is built and tried out before anything that is installed changes.

  PYTHON       the Python to build for and install into (default: python)
  CXX          the C++ compiler (default: c++, else g++)
  MAX_JOBS     how many files to compile at once (default: one per core)
  FORCE_CUDA   1 compiles the CUDA operators where no GPU is visible; needs nvcc
EOF
}

fail() {
    echo "build_mmcv.sh: $*" >&2
    exit 1
}

case "${1:-}" in
'') ;;
-h | --help) usage && exit ;;
*) usage >&2 && exit 2 ;;
esac

# -- what is needed -------------------------------------------------------------------------------------------------

PYTHON=${PYTHON:-python}
command -v "$PYTHON" >/dev/null || fail "there is no $PYTHON: activate an environment, or set PYTHON"
"$PYTHON" -c 'import torch' 2>/dev/null || fail "$PYTHON can't import torch: install daga_mm first (make setup)"
"$PYTHON" -c 'import pkg_resources' 2>/dev/null ||
    fail "mmcv's setup.py needs pkg_resources: pip install 'setuptools<82'"
CXX=${CXX:-$(command -v c++ || command -v g++ || true)}
command -v "${CXX%% *}" >/dev/null || fail "no C++ compiler${CXX:+ at $CXX}: install g++, or set CXX"
export CXX MAX_JOBS="${MAX_JOBS:-$(getconf _NPROCESSORS_ONLN)}"
command -v ninja >/dev/null || echo 'Without ninja one file is compiled at a time: pip install ninja'

WORK=$(mktemp -d)
export TMPDIR=$WORK # what pip leaves behind goes too
trap 'rm -rf "$WORK"' EXIT

pip() { "$PYTHON" -m pip --disable-pip-version-check "$@"; }

# -- source ---------------------------------------------------------------------------------------------------------

pip download --quiet --no-deps --no-binary :all: --no-build-isolation --dest "$WORK" "mmcv==$VERSION"
tar -xzf "$WORK/mmcv-$VERSION.tar.gz" -C "$WORK"
SOURCE=$WORK/mmcv-$VERSION

# torch's headers need a newer C++ than the one that mmcv asks for: C++17 since 2.1, C++20 since 2.13.
STANDARD=$("$PYTHON" -c 'import torch; print(20 if torch.torch_version.TorchVersion(torch.__version__) >= "2.13" else 17)')
sed -i.orig -E "s/-std=c\+\+1[47]/-std=c++$STANDARD/g" "$SOURCE/setup.py"
grep -q -e "-std=c++$STANDARD" "$SOURCE/setup.py" || fail "mmcv's setup.py has no -std=c++14 or 17 to be replaced"

# -- wheel, trial, exchange -----------------------------------------------------------------------------------------

echo "Compiling mmcv $VERSION as C++$STANDARD with $CXX: about 27 minutes on 2 cores."
MMCV_WITH_OPS=1 pip wheel --verbose --no-deps --no-build-isolation --wheel-dir "$WORK/wheel" "$SOURCE" ||
    fail 'mmcv did not compile, see above. Nothing was changed.'
WHEEL=$(echo "$WORK"/wheel/mmcv-*.whl)

# mmcv and mmcv-lite share their folder: the new one is tried out elsewhere before it takes the other's place.
pip install --quiet --no-deps --target "$WORK/trial" "$WHEEL"
CHECK='import torch, mmcv.ops; mmcv.ops.nms(torch.ones(1, 4), torch.ones(1), 0.5)'
(cd "$WORK" && PYTHONPATH=$WORK/trial "$PYTHON" -c "$CHECK") ||
    fail 'the new mmcv does not run, see above. Nothing was changed.'

BEFORE=$(pip list --format=freeze | grep -E '^mmcv(-lite|-full)?==' || true)
pip uninstall --quiet --yes mmcv mmcv-lite mmcv-full
if ! { pip install --quiet --no-deps "$WHEEL" && (cd "$WORK" && "$PYTHON" -c "$CHECK"); }; then
    pip uninstall --quiet --yes mmcv
    [ -z "$BEFORE" ] || pip install --quiet --no-deps "$BEFORE"
    fail "the new mmcv could not be installed. Back again: ${BEFORE:-no mmcv, as before}"
fi
echo "mmcv $VERSION is installed, with compiled operators."
