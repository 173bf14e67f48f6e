"""Tasks that were trained apart on one trunk share it, and predict what they predict alone."""

import pytest

from daga_mm.apis import load, load_tasks

from ..backbones.test_shared_blocks import counted
from ..conftest import daga, write_trunk
from ..small_models import save_model
from .test_model import equal

SIZE = (64, 96)  # what detectors need not pad
ADAPTERS = dict(segmentation=daga((2, 3)), detection=None, depth=daga((0, 3)))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('tasks')


@pytest.fixture(scope='module')
def paths(folder):
    """By task, config and checkpoint of models on one trunk, which the checkpoints leave out."""
    trunk = write_trunk(folder / 'trunk.safetensors')
    return {task: save_model(task, folder / task, trunk, dict(adapter=adapter)) for task, adapter in ADAPTERS.items()}


@pytest.fixture(scope='module')
def alone(paths):
    return {task: load(*files, device='cpu') for task, files in paths.items()}


def test_three_tasks_predict_what_they_predict_alone(paths, alone, pictures):
    tasks = load_tasks(paths, device='cpu')
    assert tasks.own_trunk == {} and tasks.shared_until == dict(segmentation=3, detection=4, depth=1)
    for size, batch_size, expected in ((SIZE, 1, [2, 4, 4, 6]), (SIZE, 2, [1, 2, 2, 3]), (None, 1, None)):
        with counted(tasks.trunk) as counts:
            found = tasks.predict(pictures, size=size, batch_size=batch_size, progress=False)
        assert expected is None or [counts[index] for index in range(4)] == expected
        for task, model in alone.items():
            several = model.predict(pictures, batch_size=batch_size, size=size, progress=False)
            assert all(equal(both[task], one) for both, one in zip(found, several, strict=True))
            assert all(both[task].metainfo == one.metainfo for both, one in zip(found, several, strict=True))
    one = tasks.predict(pictures / 'a.png', size=SIZE)
    assert equal(one['depth'], tasks.models['depth'].predict(pictures / 'a.png', size=SIZE))
    assert {name: result.draw().shape[2] for name, result in one.items()} == dict.fromkeys(ADAPTERS, 3)


def storage(*modules) -> int:
    """Bytes of all tensors in modules, each memory once."""
    tensors = [t for module in modules for t in (*module.parameters(), *module.buffers())]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_memory_is_that_of_one_trunk_with_adapters_and_heads(paths, alone):
    tasks = load_tasks(paths, device='cpu')
    models = [model.model for model in alone.values()]
    trunk = storage(models[0].backbone.trunk)
    together = storage(*(model.model for model in tasks.models.values()))
    assert together == storage(*models) - 2 * trunk and trunk > 500_000


def test_another_trunk_is_refused_by_name(paths, folder, pictures):
    other = write_trunk(folder / 'other.safetensors', factor=1.1)
    strange = save_model('depth', folder / 'strange', other)
    message = r'strange has another trunk than detection: fingerprint \w{16} instead of .*/other\.safetensors'
    with pytest.raises(ValueError, match=message):
        load_tasks(dict(detection=paths['detection'], strange=strange), device='cpu')
    config, checkpoint = paths['depth']
    rounded = config.with_name('rounded.py')
    rounded.write_text(f"_base_ = './{config.name}'\nmodel = dict(backbone=dict(trunk_dtype='bfloat16'))\n")
    with pytest.raises(ValueError, match='depth .*detection.*trunk_dtype bfloat16.*None'):
        load_tasks(dict(detection=paths['detection'], depth=(rounded, checkpoint)), device='cpu')


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        (dict(adapter='lora'), 'LoRA changes its blocks'),
        (dict(adapter=[daga((2,)), 'bitfit']), 'BitFit changes its blocks'),
        (dict(adapter='last_blocks'), 'LastBlocks changes its blocks'),
        (dict(adapter=None, frozen=False), 'its trunk was trained'),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else '',
)
def test_what_changes_the_trunk_has_its_own(change, why, paths, folder, pictures, tmp_path):
    files = save_model('depth', tmp_path, str(folder / 'trunk.safetensors'), change)
    tasks = load_tasks(dict(own=files, segmentation=paths['segmentation'], depth=paths['depth']), device='cpu')
    assert tasks.own_trunk == dict(own=why) and list(tasks.shared_until) == ['segmentation', 'depth']
    found = tasks.predict(pictures / 'a.png', size=SIZE)
    for name, one in (('own', files), ('segmentation', paths['segmentation'])):
        assert equal(found[name], load(*one, device='cpu').predict(pictures / 'a.png', size=SIZE))


def test_half_precision_is_shared_too(paths, pictures):
    tasks = load_tasks(paths, device='cpu', dtype='bfloat16')
    with counted(tasks.trunk) as counts:
        found = tasks.predict(pictures / 'a.png', size=SIZE)
    assert [counts[index] for index in range(4)] == [1, 2, 2, 3]
    for task, files in paths.items():
        model = load(*files, device='cpu', dtype='bfloat16')
        assert equal(found[task], model.predict(pictures / 'a.png', size=SIZE))


def test_no_tasks_are_refused():
    with pytest.raises(ValueError, match='found no tasks, expected at least one'):
        load_tasks({})
