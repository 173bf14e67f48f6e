# Several processes on this machine; sourced by dist_train.sh and dist_test.sh, which name the SCRIPT and its ARGUMENTS.
# shellcheck shell=bash disable=SC2154
set -euo pipefail
TOOLS=$(dirname "$0")
NAME=$(basename "$0")

usage() {
    cat <<USAGE
usage: tools/$NAME ${ARGUMENTS[*]} GPUS [OPTIONS of tools/$SCRIPT]

Starts GPUS processes of tools/$SCRIPT on this machine: one per GPU, or that many on the CPU where there is none.
On several machines, run it on each of them at about the same time:

  NNODES        how many machines there are (default: 1)
  NODE_RANK     which of them this is, from 0 (default: 0)
  MASTER_ADDR   the address of machine 0 (default: 127.0.0.1)
  PORT          a free port of machine 0, the same for all (default: 29500)
  PYTHON        the Python to run (default: python)
USAGE
}

case "${1:-}" in -h | --help) usage && exit ;; esac
if [ "$#" -le "${#ARGUMENTS[@]}" ]; then
    usage >&2
    exit 2
fi
GIVEN=("${@:1:${#ARGUMENTS[@]}}")
shift "${#ARGUMENTS[@]}"
GPUS=$1
shift
PYTHON=${PYTHON:-python}
PORT=${PORT:-29500}
if [ "${NODE_RANK:-0}" = 0 ]; then # the others come to its port
    "$PYTHON" -c '
import socket, sys
try:
    socket.create_server(("", int(sys.argv[1])))
except OSError as error:
    sys.exit(f"{sys.argv[2]}: port {sys.argv[1]}: {error.strerror}; PORT=NUMBER names another one")' "$PORT" "$NAME"
fi
PYTHONPATH="$TOOLS/..:${PYTHONPATH:-}" exec "$PYTHON" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="$PORT" \
    --nproc_per_node="$GPUS" \
    "$TOOLS/$SCRIPT" "${GIVEN[@]}" --launcher pytorch "$@"
