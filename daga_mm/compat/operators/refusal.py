"""What to say where an operator has no stand-in."""


def not_compiled(operator: str) -> NotImplementedError:
    """The error for an operator of mmcv that only its compiled extension has, with the cure in it."""
    return NotImplementedError(
        f'mmcv operator {operator!r} needs a compiled mmcv; daga_mm.compat has no stand-in for it. '
        'Cure: `pip uninstall -y mmcv-lite`, then build mmcv with `tools/build_mmcv.sh` (it does both).'
    )
