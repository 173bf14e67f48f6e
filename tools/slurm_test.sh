#!/usr/bin/env bash
# Test under Slurm, one task per GPU or, without GPUs, per process on the CPU.
SCRIPT=test.py
ARGUMENTS=(CONFIG CHECKPOINT)
. "$(dirname "$0")/launchers/slurm.sh"
