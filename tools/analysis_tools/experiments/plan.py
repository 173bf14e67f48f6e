"""All cells of the evidence: what each one runs, how long it takes, and what has to be known before."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from . import cifar, scenes, side_by_side

PARTS = {
    'tuning': 'the learning rate of each method, on images that are no part of the test',
    'guidance': 'does it matter what the map shows? classification',
    'transfer': 'DAGA and its rivals on four new classes, clean and corrupted',
    'price': 'seconds of a training epoch and of inference, all methods interleaved, nothing beside it',
    'inside': 'sources of guidance, a shared encoder, sizes, places, starts',
    'dense': 'frozen, DAGA, LoRA and full fine-tuning on the scenes',
    'guidance_dense': 'does it matter what the map shows? segmentation of the scenes',
}
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
MORE_RATES = dict.fromkeys(('linear', 'bottleneck', 'bitfit', 'prompts'), (0.1,))  # best at the grid's end
DENSE_RATES = dict.fromkeys(scenes.TASKS, (1e-3, 3e-3, 1e-2)) | {'detection': (1e-3, 3e-3)}
MORE_DENSE_RATES = {  # best at the grid's end
    'segmentation_frozen': (3e-2,),
    'depth_frozen': (3e-4,),
    'depth_daga': (3e-2,),
    'depth_full': (3e-2,),
}
# Whose rate it takes that has none of its own: modules of the same kind.
RATE_OF = {'cifar_daga_all': 'cifar_daga', 'cifar_daga_last': 'cifar_daga'}
RATE_OF |= {f'{task}_heads': f'{task}_daga' for task in scenes.TASKS}
SEEDS = range(5)
FRESH = range(SEEDS.stop, SEEDS.stop + 9)  # for the one form whose maps made a difference with SEEDS
FEWER = range(3)  # of what takes long, and is beside the first question
FEWEST = range(2)  # of detection, which takes longest
TUNING_SEED = 100
EPOCHS = 6
DETECTION_EPOCHS = 4  # of 75 iterations: about as many as the other tasks have
FROZEN = dict(source='frozen')  # guidance as the method was published
CONTROLS = ('real', 'shuffled')
DATA = {'scenes': scenes.write, 'corrupted': cifar.write_corrupted}  # functions of Paths; what is there stays


@dataclass(frozen=True)
class Cell:
    """One result.

    Attributes:
        part: One of PARTS.
        name: Unique in its part.
        function: Called with `Paths` and the settings, it returns the result.
        settings: They are kept with the result; a change of them repeats the cell.
        seconds: What it takes about, on one core.
        tuned: The cells of tuning, by the beginning of their names, whose best learning rate is taken.
        needs: Data that are made first, names of DATA.
    """

    part: str
    name: str
    function: Callable[..., dict[str, Any]]
    settings: dict[str, Any]
    seconds: float
    tuned: str | None = None
    needs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f'{self.part}/{self.name}'

    @property
    def alone(self) -> bool:
        """Nothing may run beside what is timed."""
        return self.part == 'price'


def cells() -> list[Cell]:
    """The whole plan, in the order in which it is run."""
    return [
        *_tuning(),
        *_guidance(),
        *_transfer(),
        Cell('price', 'cifar', cifar.prices, {}, 150),
        *_inside(),
        *_dense(),
        *_guidance_dense(),
    ]


def _tuning() -> Iterator[Cell]:
    for method in cifar.METHODS:
        if f'cifar_{method}' in RATE_OF:
            continue
        for lr in (*RATES, *MORE_RATES.get(method, ())):
            settings = dict(method=method, seed=TUNING_SEED, lr=lr, epochs=EPOCHS, on='validation')
            yield Cell('tuning', f'cifar_{method}_{lr:g}', cifar.run, settings, cifar.SECONDS[method])
    for task, method in product(scenes.TASKS, scenes.METHODS):
        if f'{task}_{method}' not in RATE_OF:
            for lr in (*DENSE_RATES[task], *MORE_DENSE_RATES.get(f'{task}_{method}', ())):
                settings = dict(task=task, method=method, seed=TUNING_SEED, lr=lr, on='validation')
                yield _dense_cell('tuning', f'{task}_{method}_{lr:g}', settings, tuned=False)


def _rates(name: str) -> str:
    return RATE_OF.get(name, name)


def _cifar_cell(part: str, name: str, method: str, seed: int, **more: Any) -> Cell:
    settings = dict(method=method, seed=seed, epochs=EPOCHS, **more)
    needs = ('corrupted',) if more.get('corrupted') else ()
    seconds = cifar.SECONDS[method] + 50 * bool(needs)
    return Cell(part, f'{name}_{seed}', cifar.run, settings, seconds, _rates(f'cifar_{method}'), needs)


def _variants_cell(part: str, name: str, variants: dict[str, dict[str, Any]]) -> Cell:
    settings = dict(variants=variants, seed=int(name.rpartition('_')[2]), epochs=EPOCHS)
    return Cell(part, name, side_by_side.run, settings, 100 * len(variants), 'cifar_daga')


def _dense_cell(part: str, name: str, settings: dict[str, Any], tuned: bool = True) -> Cell:
    rates = _rates(f'{settings["task"]}_{settings["method"]}') if tuned else None
    seconds = scenes.SECONDS[settings['task']]
    if settings['task'] == 'detection':
        settings = {**settings, 'epochs': DETECTION_EPOCHS}
    return Cell(part, name, scenes.run, settings, seconds, rates, ('scenes',))


def _forms(*others: str) -> list[tuple[str, str]]:
    """Forms and the maps that each is given."""
    described = [('none', 'real'), *(('channel', maps) for maps in (*CONTROLS, 'constant'))]
    return described + list(product(others, CONTROLS))


def _guidance() -> Iterator[Cell]:
    def cell(name: str, forms: list[tuple[str, str]]) -> Cell:
        inline = dict(source='inline')
        variants = {
            f'{form}_{maps}': dict(form=form, maps=maps, guidance=inline if form == 'blocks' else FROZEN)
            for form, maps in forms
        }
        return _variants_cell('guidance', name, variants)

    for seed in SEEDS:
        yield cell(f'{seed}', _forms('token', 'times', 'heads', 'linear_heads'))
        yield cell(f'more_{seed}', list(product(('normed', 'blocks'), CONTROLS)))
    for seed in FRESH:
        yield cell(f'{seed}', [('none', 'real'), *product(('linear_heads',), CONTROLS)])


def _transfer() -> Iterator[Cell]:
    for seed in SEEDS:
        settings = dict(seed=seed)
        yield Cell('transfer', f'knn_{seed}', cifar.run_knn, settings, 30)
        for method in cifar.METHODS:
            yield _cifar_cell('transfer', method, method, seed, curve=True, corrupted=True)


def _dense() -> Iterator[Cell]:
    for seed, task, method in product(FEWER, scenes.TASKS, scenes.METHODS):
        if task == 'detection' and seed not in FEWEST:
            continue
        yield _dense_cell('dense', f'{task}_{method}_{seed}', dict(task=task, method=method, seed=seed))


def _guidance_dense() -> Iterator[Cell]:
    for seed, (form, maps) in product(SEEDS, _forms('linear_heads')):
        settings = dict(task='segmentation', method='daga', seed=seed, form=form, maps=maps, guidance=FROZEN)
        yield _dense_cell('guidance_dense', f'{form}_{maps}_{seed}', settings)


def _inside() -> Iterator[Cell]:
    """What no other part has: the default, frozen guidance, gate='heads', the last and all blocks are elsewhere."""
    half = dict(guidance=dict(source='frozen', scale=0.5))
    changes: dict[str, dict[str, Any]] = {
        'default': {},
        'guidance_half': half,
        'shared_encoder': dict(daga_cfg=dict(share_encoder=True)),
        'bottleneck_8': dict(daga_cfg=dict(bottleneck_dim=8)),
        'bottleneck_64': dict(daga_cfg=dict(bottleneck_dim=64)),
        'layers_45': dict(daga_layers=(4, 5)),
        'layers_12': dict(daga_layers=(1, 2)),
        'start_reference': dict(form='reference'),
    }
    for seed in FEWER:
        yield _variants_cell('inside', f'{seed}', changes)
        settings = dict(task='segmentation', method='daga', seed=seed, **half)
        yield _dense_cell('inside', f'segmentation_guidance_half_{seed}', settings)
