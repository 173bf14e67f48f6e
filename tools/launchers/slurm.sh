# Tasks of Slurm; sourced by slurm_train.sh and slurm_test.sh, which name the SCRIPT and its ARGUMENTS.
# shellcheck shell=bash disable=SC2154
set -euo pipefail
TOOLS=$(dirname "$0")
NAME=$(basename "$0")

usage() {
    cat <<USAGE
usage: tools/$NAME PARTITION JOB_NAME ${ARGUMENTS[*]} [OPTIONS of tools/$SCRIPT]

Runs tools/$SCRIPT in GPUS tasks of Slurm and waits for them. Environment variables:

  GPUS            tasks in all, one per GPU (default: 8)
  GPUS_PER_NODE   tasks on a machine (default: 8, or GPUS if that is less)
  CPUS_PER_TASK   cores of a task, data loaders included (default: 5)
  SRUN_ARGS       further options of srun; --gres=none where the machines have no GPU
  PORT            a free port of the first machine (default: 29500)
  PYTHON          the Python to run (default: python)
USAGE
}

case "${1:-}" in -h | --help) usage && exit ;; esac
if [ "$#" -lt $((2 + ${#ARGUMENTS[@]})) ]; then
    usage >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
shift 2
GIVEN=("${@:1:${#ARGUMENTS[@]}}")
shift "${#ARGUMENTS[@]}"
if ! command -v srun >/dev/null; then
    echo "$NAME: there is no srun here: run it where Slurm takes jobs" >&2
    exit 1
fi
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
export MASTER_PORT=${PORT:-${MASTER_PORT:-29500}}
# A task that fails ends all of them: the others would wait for it. SRUN_ARGS holds several words.
# shellcheck disable=SC2086
PYTHONPATH="$TOOLS/..:${PYTHONPATH:-}" exec srun \
    --partition="$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres="gpu:$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$TOOLS/$SCRIPT" "${GIVEN[@]}" --launcher slurm "$@"
