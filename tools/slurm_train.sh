#!/usr/bin/env bash
# Train under Slurm, one task per GPU or, without GPUs, per process on the CPU.
SCRIPT=train.py
ARGUMENTS=(CONFIG)
. "$(dirname "$0")/launchers/slurm.sh"
