"""Train one config after the other in the same processes: what a launcher starts takes longer than a small run.

torchrun --nproc_per_node 2 -m tests.engine.several_runs CONFIG…
"""

import sys
from argparse import Namespace

from daga_mm.cli.config import load_config
from daga_mm.cli.runs import build_runner

for path in sys.argv[1:]:
    build_runner(load_config(path), Namespace(launcher='pytorch', local_rank=0)).train()
