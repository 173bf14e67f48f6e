"""Join the processes of a launcher on the CPU, where mmengine 0.10.7 starts none."""

import os
import subprocess
from datetime import timedelta

import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device

# Where a launcher says which process this is: of all, of how many, and of those on this machine.
NAMES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
STARTERS = {
    'pytorch': 'torchrun, see tools/dist_train.sh',
    'slurm': 'srun, see tools/slurm_train.sh',
    'mpi': 'mpirun with MASTER_ADDR set',
}


def join_processes(config: Config, launcher: str) -> None:
    """On a machine without an accelerator, join the launcher's other processes, and prepare the config for it.

    A Runner uses an existing process group. With an accelerator, or without a launcher, nothing is done here: the
    Runner joins the processes over NCCL. ``env_cfg.dist_cfg.timeout`` is for how many seconds a process waits for
    another one.

    Args:
        config: The config of a run; its model is to be wrapped in `daga_mm.engine.CPUDataParallel`, unless it names a
            wrapper of another kind.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        RuntimeError: The launcher did not start this process, or the others can't be reached.
    """
    if launcher == 'none' or get_device() != 'cpu':
        return
    _name_this_process(launcher)
    if not dist.is_initialized():
        seconds = config.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
        dist.init_process_group('gloo', timeout=seconds and timedelta(seconds=seconds))
    wrapper = config.get('model_wrapper_cfg') or dict(
        broadcast_buffers=False, find_unused_parameters=config.get('find_unused_parameters', False)
    )
    if wrapper.get('type', 'MMDistributedDataParallel') == 'MMDistributedDataParallel':
        config.model_wrapper_cfg = {**wrapper, 'type': 'daga_mm.CPUDataParallel'}


def _name_this_process(launcher: str) -> None:
    """Say in torch.distributed's environment variables what the launcher says in its own."""
    missing = [name for name in NAMES[launcher] if name not in os.environ]
    if missing:
        raise RuntimeError(
            f'--launcher {launcher} without {", ".join(missing)}: this process was not started by {STARTERS[launcher]}'
        )
    os.environ.update(zip(NAMES['pytorch'], (os.environ[name] for name in NAMES[launcher]), strict=True))
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        if launcher != 'slurm':
            raise RuntimeError(f'--launcher {launcher}: MASTER_ADDR must name the machine of the first process')
        command = ['scontrol', 'show', 'hostnames', os.environ['SLURM_JOB_NODELIST']]
        os.environ['MASTER_ADDR'] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[
            0
        ]
