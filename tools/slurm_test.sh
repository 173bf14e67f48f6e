#!/usr/bin/env bash
# Test under Slurm, one task per GPU or, without GPUs, per process on the CPU.
set -euo pipefail

usage() {
    cat <<USAGE
usage: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [OPTIONS of tools/test.py]

Runs tools/test.py in GPUS tasks of Slurm and waits for them. Environment variables:

  GPUS            tasks in all, one per GPU (default: 8)
  GPUS_PER_NODE   tasks on a machine (default: 8, or GPUS if that is less)
  CPUS_PER_TASK   cores of a task, data loaders included (default: 5)
  SRUN_ARGS       further options of srun; --gres=none where the machines have no GPU
  PORT            a free port of the first machine (default: 29500)
  PYTHON          the Python to run (default: python)
USAGE
}

case "${1:-}" in -h | --help) usage && exit ;; esac
if [ "$#" -lt 4 ]; then
    usage >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
CHECKPOINT=$4
shift 4
if ! command -v srun >/dev/null; then
    echo 'slurm_test.sh: there is no srun here: run it where Slurm takes jobs' >&2
    exit 1
fi
TOOLS=$(dirname "$0")
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
    "${PYTHON:-python}" -u "$TOOLS/test.py" "$CONFIG" "$CHECKPOINT" --launcher slurm "$@"
