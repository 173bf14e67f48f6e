#!/usr/bin/env bash
# Test in several processes, on GPUs or, where there are none, on the CPU.
SCRIPT=test.py
ARGUMENTS=(CONFIG CHECKPOINT)
. "$(dirname "$0")/launchers/dist.sh"
