#!/usr/bin/env bash
# Train on several GPUs: tools/dist_train.sh CONFIG GPUS [OPTIONS of tools/train.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT, as everywhere in OpenMMLab.
set -euo pipefail
if [ "$#" -lt 2 ]; then
    sed -n '2,3s/^# //p' "$0"
    exit 2
fi
CONFIG=$1
GPUS=$2
shift 2
TOOLS=$(dirname "$0")
PYTHONPATH="$TOOLS/..:${PYTHONPATH:-}" exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$TOOLS/train.py" "$CONFIG" --launcher pytorch "$@"
