"""The evidence: a plan without gaps, controls that control, results that are resumed, repeated and shown."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from daga_mm.backbones import DAGAViT
from daga_mm.cli.config import load_config

from ..conftest import REPOSITORY
from .conftest import load_tool, run_script

FOLDER = REPOSITORY / 'tools/analysis_tools'


@pytest.fixture(scope='module')
def experiments():
    """The folder of the tools on sys.path, as it is where one of them runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import experiments.cifar
        import experiments.forms
        import experiments.page
        import experiments.paths
        import experiments.plan
        import experiments.results
        import experiments.scenes
        import experiments.side_by_side

        yield experiments


@pytest.fixture(scope='module')
def images():
    """As the trunk wants them."""
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def train(cifar, model, images, steps: int = 3) -> None:
    optimiser, _ = cifar.optimiser_of(model, 1e-2, 100)
    for _ in range(steps):
        cifar.train_step(model.train(), images, torch.arange(len(images)) % 4, optimiser)


def test_the_plan_fits_its_budget_and_tunes_what_it_uses(experiments):
    plan = experiments.plan.cells()
    assert len({cell.key for cell in plan}) == len(plan)
    assert {cell.part for cell in plan} == set(experiments.plan.PARTS)
    assert sum(cell.seconds for cell in plan) < 16 * 3600, 'eight hours of two cores'
    tuned = {cell.name.rpartition('_')[0] for cell in plan if cell.part == 'tuning'}
    assert {cell.tuned for cell in plan} - {None} <= tuned
    assert all(cell.settings.get('on') == 'validation' for cell in plan if cell.part == 'tuning')
    assert not any('on' in cell.settings for cell in plan if cell.part != 'tuning')


def test_the_best_rate_is_taken_and_other_settings_are_run_again(experiments, tmp_path):
    plan = experiments.plan.cells()
    results = experiments.results.Results(plan, tmp_path)
    cell = next(cell for cell in plan if cell.key == 'transfer/daga_0')
    rates = results.before(cell)
    for place, other in enumerate(rates):
        assert results.settings(cell) is None
        results.write(other, other.settings, dict(score=[1, 2, 4, 3][place]), 1)
    assert results.settings(cell)['lr'] == rates[2].settings['lr']
    results.write(cell, results.settings(cell), dict(score=80), 1)
    assert results.read(cell)['result'] == {'score': 80}
    results.write(rates[0], rates[0].settings, dict(score=9), 1)
    assert results.read(cell) is None, 'another learning rate'


@pytest.mark.parametrize('task', ['segmentation', 'detection', 'depth'])
def test_necks_and_heads_start_alike_whatever_the_backbone_has(experiments, task):
    scenes = experiments.scenes
    file = scenes.DEMO / scenes.TASKS[task][0]
    states = {}
    for method in scenes.METHODS:
        if method == 'lora' and not find_spec('peft'):
            continue
        config = load_config(file, scenes.method_options(method, {}))
        init_default_scope(config.default_scope)
        model = MODELS.build(config.model)
        scenes.start_alike(model, config, seed=3)
        model.init_weights()
        states[method] = {key: value for key, value in model.state_dict().items() if not key.startswith('backbone.')}
    plain = states.pop('frozen')
    assert sum(value.numel() for value in plain.values()) > 20_000
    for method, state in states.items():
        assert state.keys() == plain.keys(), method
        assert [key for key, value in state.items() if not torch.equal(value, plain[key])] == [], method


def test_differences_are_paired_and_their_interval_is_students(experiments):
    page = experiments.page
    one = {0: dict(score=3.0), 1: dict(score=5.0), 2: dict(score=7.0), 7: dict(score=100.0)}
    other = {2: dict(score=4.0), 1: dict(score=3.0), 0: dict(score=2.0), 8: dict(score=0.0)}
    assert page.paired(one, other) == [1, 2, 3]
    assert page.interval([1, 2, 3]) == '+2.00 ± 2.48', '4.303 / √3'
    assert page.interval([1]) == '–' and page.spread([1.0, 2.0, 3.0]) == '2.00 ± 1.00'
    assert page.of_seeds({'a': one, 'b': {9: {}}}, range(2)) == {'a': {0: one[0], 1: one[1]}}
    (axis,) = page.draw_dense({'depth_lora': one, 'depth_frozen': other, 'detection_frozen': other}).axes
    assert axis.get_title() == 'depth, d1' and [*axis.lines[0].get_xdata()] == [1, 2, 3], 'only what can be compared'
    assert page.draw_dense({'depth_lora': one}) is None


def test_a_rate_that_diverges_is_the_worst_and_a_seed_that_does_is_an_error(experiments, tmp_path):
    def diverge(paths):
        raise FloatingPointError('the loss is not finite')

    tool, paths = load_tool('analysis_tools/evidence'), experiments.paths.Paths(tmp_path, tmp_path, 'cpu')
    found, _ = tool.run_cell(experiments.plan.Cell('tuning', 'a_1', diverge, {}, 1), {}, paths)
    assert found == dict(score=0.0, diverged='the loss is not finite')
    with pytest.raises(FloatingPointError):
        tool.run_cell(experiments.plan.Cell('transfer', 'a_1', diverge, {}, 1), {}, paths)


@pytest.mark.parametrize('method', ['daga', 'daga_all', 'daga_last', 'lora', 'bottleneck', 'bitfit', 'prompts', 'full'])
def test_methods_start_as_the_trunk_and_learn(experiments, images, method):
    if method == 'lora' and not find_spec('peft'):
        pytest.skip('peft is not installed')
    cifar = experiments.cifar
    plain, model = cifar.build('linear', {}, 0).eval(), cifar.build(method, {}, 0).eval()
    with torch.no_grad():
        ours, theirs = cifar.logits(model, images), cifar.logits(plain, images)
    if method != 'prompts':  # tokens that are there are attended to
        torch.testing.assert_close(ours, theirs)
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    train(cifar, model, images)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, p in trained.items() if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert all(torch.equal(p, frozen[name]) for name, p in model.named_parameters() if name in frozen)


def test_prompts_are_renewed_in_every_block(experiments, images):
    model = experiments.cifar.build('prompts', {}, 0).eval()
    trunk, seen = model['backbone'].trunk, []
    for block in trunk.model.blocks:
        block.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0][:, 5:21]))
    with torch.no_grad():
        experiments.cifar.logits(model, images)
    torch.testing.assert_close(torch.stack([tokens[0] for tokens in seen]), trunk.prompts.data)


@pytest.mark.parametrize(
    'form', ['channel', 'token', 'times', 'normed', 'heads', 'blocks', 'linear_heads', 'reference']
)
def test_the_maps_of_others_and_constant_ones_are_what_they_say(experiments, images, form):
    cifar, backbone_of = experiments.cifar, {}
    for maps in experiments.forms.MAPS:
        model = cifar.build('daga', dict(form=form, maps='real', guidance=dict(source='inline')), 0)
        for parameter in model['backbone'].adapters.parameters():
            parameter.data.normal_(generator=torch.Generator().manual_seed(parameter.numel()))
        model['backbone'].maps = maps
        backbone_of[maps] = model.eval()
    with torch.no_grad():
        real, shuffled, constant = (cifar.logits(model, images) for model in backbone_of.values())
        one_by_one = torch.cat([cifar.logits(backbone_of['shuffled'], image[None]) for image in images])
    assert not torch.allclose(real, shuffled) and not torch.allclose(real, constant)
    # The first of a batch is guided by the last image before it, whatever the size of the batches.
    torch.testing.assert_close(one_by_one, shuffled, atol=1e-4, rtol=1e-4)
    over_images = [layer['over_images'] for layer in cifar.gates(backbone_of['constant']['backbone'], images).values()]
    assert max(over_images) < 1e-6


def test_the_form_that_wins_is_the_packages_gate_of_heads(experiments, images):
    cifar = experiments.cifar
    form = cifar.build('daga', dict(form='linear_heads'), 0)
    train(cifar, form, images)
    state = form['backbone'].adapters.state_dict()
    ours = DAGAViT(
        cifar.ARCH, daga_layers=form['backbone'].daga_layers, daga_cfg=dict(gate='heads', **cifar.DAGA_CFG),
        out_indices=(-1,), out_type='cls_avg',
    ).eval()  # fmt: skip
    ours.trunk.load_state_dict(form['backbone'].trunk.state_dict())
    ours.adapters.load_state_dict(state)
    with torch.no_grad():
        theirs, same = form.eval()['backbone'](images), ours(images)
    torch.testing.assert_close(same, theirs, atol=1e-5, rtol=1e-5)
    assert cifar.gates(form['backbone'], images)['1']['over_patches'] > 0, 'the maps are used'


def test_no_gate_is_no_gate(experiments, images):
    model = experiments.cifar.build('daga', dict(form='none'), 0)
    train(experiments.cifar, model, images)
    assert {round(g['mean'], 6) for g in experiments.cifar.gates(model['backbone'], images).values()} == {0.5}


def test_side_by_side_and_one_by_one_are_the_same(experiments, cifar10, tmp_path, monkeypatch):
    """The trunk's answers that are remembered are the ones that it would give."""
    cifar, side_by_side = experiments.cifar, experiments.side_by_side
    monkeypatch.setattr(cifar, 'BATCH', 20)
    paths = experiments.paths.Paths(cifar10, tmp_path)
    frozen = dict(source='frozen')
    variants = {
        'pooled': dict(guidance=frozen),
        'shuffled': dict(form='heads', maps='shuffled', guidance=frozen),
        'inline': dict(form='blocks', daga_layers=(0, 4)),
    }
    settings = dict(seed=0, lr=1e-2, epochs=2)
    together = side_by_side.run(paths, variants, **settings)
    for name, variant in variants.items():
        alone = cifar.run(paths, 'daga', **settings, **variant)
        assert together[name] == {key: alone[key] for key in together[name]}
        assert set(alone) - set(together[name]) == {'train_seconds', 'peak_mb'}


@pytest.fixture(scope='module')
def cifar10(tmp_path_factory):
    """Enough files for the splits, and nothing to be seen on them: synthetic."""
    root = tmp_path_factory.mktemp('cifar10')
    random = torch.Generator().manual_seed(0)
    for split, count in (('train', 520), ('test', 5)):
        for name in ('frog', 'horse', 'ship', 'truck'):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = torch.randint(256, (32, 32, 3), dtype=torch.uint8, generator=random)
                Image.fromarray(pixels.numpy()).save(folder / f'{number}.png')
    return root


def test_a_cell_is_run_once_and_again_to_the_same_number(cifar10, tmp_path, monkeypatch):
    monkeypatch.setenv('CIFAR10_ROOT', str(cifar10))
    (tmp_path / 'evidence.md').write_text((REPOSITORY / 'docs/evidence.md').read_text())
    (tmp_path / 'images').mkdir()
    options = ['--docs', tmp_path, '--work-dir', tmp_path / 'work', '--device', 'cpu']
    command = [sys.executable, '-W', 'ignore', FOLDER / 'evidence.py', 'transfer/knn_0', *options]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True)  # cells have processes of their own
    assert result.returncode == 0, result.stderr
    file = tmp_path / 'evidence/transfer/knn_0.json'
    found = json.loads(file.read_text())
    assert found['settings'] == {'seed': 0} and 0 <= found['result']['score'] <= 100
    assert (
        f'k-NN (k = 20) on the class token | 0 | {found["result"]["score"]:.2f}'
        in (tmp_path / 'evidence.md').read_text()
    )
    result = run_script(FOLDER / 'evidence.py', 'transfer/knn_0', *options)
    assert result.returncode == 0 and 'cells, about' not in result.stdout, 'it is there'
    result = run_script(FOLDER / 'evidence.py', '--again', 'transfer/knn_0', *options)
    assert result.returncode == 0 and 'the same result' in result.stdout
    file.write_text(file.read_text().replace('"score": ', '"score": 1').replace('"device": "cpu"', '"device": "A GPU"'))
    result = run_script(FOLDER / 'evidence.py', '--again', 'transfer/knn_0', *options)
    assert result.returncode == 1 and 'score: ' in result.stderr and 'before: A GPU, torch 2' in result.stderr


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_not_the_page(experiments, tmp_path, monkeypatch):
    (tmp_path / 'deadly.py').write_text('import os\n\n\ndef die(paths):\n    os.kill(os.getpid(), 9)\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    from deadly import die

    tool = load_tool('analysis_tools/evidence')
    plan = [experiments.plan.Cell('transfer', name, die, {}, 1) for name in 'abc']
    paths = experiments.paths.Paths(tmp_path, tmp_path, 'cpu')
    results = experiments.results.Results(plan, tmp_path)
    failed = tool.run_all(plan, paths, results, jobs=1, minutes=1)
    assert len(failed) == 1 and failed[0].startswith('transfer/a: a process was killed')


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    result = run_script(FOLDER / 'evidence.py', 'transfer/knn_9', '--work-dir', tmp_path)
    assert result.returncode == 1 and 'no part or cell transfer/knn_9: --list shows them' in result.stderr
    # Whether the images are there is seen by the cell, in a process of its own.
    monkeypatch.setenv('CIFAR10_ROOT', str(tmp_path))
    command = [sys.executable, '-W', 'ignore', FOLDER / 'evidence.py', 'transfer/knn_0', '--device', 'cpu']
    command += ['--docs', tmp_path, '--work-dir', tmp_path]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert result.returncode == 1 and 'set CIFAR10_ROOT to a folder with train/CLASS' in result.stderr
    assert not (tmp_path / 'evidence').exists()
