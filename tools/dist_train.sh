#!/usr/bin/env bash
# Train in several processes, on GPUs or, where there are none, on the CPU.
SCRIPT=train.py
ARGUMENTS=(CONFIG)
. "$(dirname "$0")/launchers/dist.sh"
