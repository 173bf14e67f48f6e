"""Work dirs read back, and the page that compares them."""

import html
import json
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest

from daga_mm.visualization import read_run, render_report
from daga_mm.visualization.report_page import short_names
from daga_mm.visualization.work_dir import differences

from ..tools.conftest import run_script

CONFIG = """
model = dict(type='X', backbone=dict(type='daga_mm.DAGAViT', adapter={adapter}, frozen={frozen}))
optim_wrapper = dict(optimizer=dict(lr={lr}))
work_dir = {name!r}
"""
COUNTS = dict(total=1000, trained=250, frozen=750, added=50)
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
NAMES = [f'upernet_{method}-vitb16_vitadapter_8xb2-160k_ade20k-512x512' for method in ('frozen', 'daga', 'full')]


def write_part(folder, stamp, steps, scale=1.0, final=None):
    """What mmengine leaves of a part of a run, from one start to the next."""
    data = folder / stamp / 'vis_data'
    (data / 'vis_image').mkdir(parents=True)
    lines = []
    for step in steps:
        lines.append(
            dict(
                base_lr=0.1,
                lr=0.01,
                loss=scale / step,
                **{'decode.loss_ce': 1.0},
                time=0.5,
                memory=900 + step,
                step=step,
            )
        )
        lines.append({'adapters/daga/mixing/1': 0.1, 'adapters/daga/grad_norm/all': 0.5, 'step': step})
        if step % 20 == 0:
            lines.append(dict(trunk='abcd', adapters='ef01'))
            lines.append(dict(mIoU=scale * step, aAcc=50.0, data_time=0.1, time=0.2, step=step))
    (data / 'scalars.json').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    for name in ('val_a.jpg', 'attention_0', 'gates'):
        cv2.imwrite(str(data / f'vis_image/{name}_{steps[-1]}.png'), np.full((20, 1500, 3), steps[-1], np.uint8))
    if final:
        (folder / stamp / f'{stamp}.json').write_text(json.dumps(final) + '\n')
    return data


@pytest.fixture
def make_run(tmp_path):
    def make(name, adapter='"daga"', frozen=True, lr=0.1, **kwargs):
        folder = tmp_path / name
        write_part(folder, '20260101_000000', [10, 20, 30], **kwargs)
        (folder / 'config.py').write_text(CONFIG.format(adapter=adapter, frozen=frozen, lr=lr, name=name))
        return folder

    return make


def test_a_test_in_the_same_work_dir_has_no_say_in_the_settings(make_run):
    folder = make_run('a')
    for stamp, lr in (('20260101_000000', 0.1), ('20270101_000000', 0.7)):
        (folder / stamp / 'vis_data').mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(adapter='"daga"', frozen=True, lr=lr, name='a')
        (folder / stamp / 'vis_data/config.py').write_text(text)
    (folder / '20270101_000000/20270101_000000.json').touch()  # one that was broken off
    run = read_run(folder)
    assert run.config.optim_wrapper.optimizer.lr == 0.1 and run.tested == {}


def test_a_run_is_read(make_run):
    run = read_run(make_run('a', final=dict(mIoU=41.5, trunk='abcd')))
    assert run.name == 'a' and run.method == 'daga'
    assert [step for step, _ in run.training['loss']] == [10, 20, 30] and run.seconds == 0.5 and run.memory == 930
    assert {lr for _, lr in run.training['lr']} == {0.1}, 'not that of a group of parameters'
    assert run.metrics == {'mIoU': [(20, 20.0)], 'aAcc': [(20, 50.0)]}
    assert run.adapters['daga/mixing'] == {'1': [(10, 0.1), (20, 0.1), (30, 0.1)]}
    assert run.tested == {'mIoU': 41.5} and run.fingerprints == {'trunk': 'abcd', 'adapters': 'ef01'}
    assert {name: step for name, (step, _) in run.pictures.items()} == {'val_a.jpg': 30, 'attention_0': 30, 'gates': 30}


def test_a_resumed_run_is_put_together(make_run):
    folder = make_run('a')
    write_part(folder, '20260102_000000', [20, 30, 40], scale=2.0)
    run = read_run(folder)
    assert run.training['loss'] == [(10, 0.1), (20, 0.1), (30, 2 / 30), (40, 0.05)]
    assert run.metrics['mIoU'] == [(20, 40.0), (40, 80.0)]
    assert [step for step, _ in run.adapters['daga/mixing']['1']] == [10, 20, 30, 40]
    assert run.pictures['gates'][0] == 40


def test_pictures_without_names_are_told_apart(make_run):
    """As mmdet draws: the step is the iteration of the validation and the number of the batch together."""
    folder = make_run('a')  # validated after 20 iterations
    first, second = (folder / f'2026010{day}_000000/vis_data/vis_image' for day in (1, 2))
    for step in (10, 15, 20, 25):
        cv2.imwrite(str(first / f'val_img_{step}.png'), np.zeros((20, 30, 3), np.uint8))
    drawn = {name: step for name, (step, _) in read_run(folder).pictures.items() if name.startswith('val_img')}
    assert drawn == {'val_img, step 20': 20, 'val_img, step 25': 25}
    write_part(folder, '20260102_000000', [20, 30, 40])  # resumed: validated after 20 and after 40
    for step in (20, 25, 40, 100):
        cv2.imwrite(str(second / f'val_img_{step}.png'), np.zeros((20, 30, 3), np.uint8))
    run = read_run(folder)
    drawn = {name: step for name, (step, _) in run.pictures.items() if name.startswith('val_img')}
    assert list(drawn.items()) == [('val_img, step 40', 40), ('val_img, step 100', 100)]
    assert 'alt="val_img, step 100, ' in render_report([run], [COUNTS])


def test_what_is_no_run_is_named(tmp_path, make_run):
    with pytest.raises(FileNotFoundError, match='no work dir'):
        read_run(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='no run in'):
        read_run(tmp_path)
    log = make_run('a') / '20260101_000000/vis_data/scalars.json'
    whole = log.read_text()
    log.write_text(whole + '{"loss": 0.1, "st')  # a run that is being written, or was killed
    assert len(read_run(tmp_path / 'a').training['loss']) == 3
    log.write_text('{"loss": \n' + whole)
    with pytest.raises(ValueError, match='scalars.json, line 1: '):
        read_run(tmp_path / 'a')


def test_settings_that_differ(make_run):
    runs = [read_run(make_run('a', adapter=None)), read_run(make_run('b', lr=0.2))]
    assert differences(runs) == {
        'model.backbone.adapter': ['None', 'daga'],
        'optim_wrapper.optimizer.lr': ['0.1', '0.2'],
    }
    assert [run.method for run in runs] == ['frozen', 'daga']
    assert read_run(make_run('c', adapter=None, frozen=False)).method == 'full fine-tuning'


def test_a_run_whose_model_is_gone_is_shown_without_its_parameters(make_run, tmp_path):
    folder, out = make_run('gone'), tmp_path / 'report.html'
    result = run_script('tools/report.py', folder, '--out', out)
    assert result.returncode == 0 and 'gone: its parameters are not counted' in result.stderr
    assert 'training loss' in out.read_text() and '>–<' in out.read_text()


def test_the_page_compares_with_the_first_run_and_needs_nothing_else(make_run):
    runs = [read_run(make_run('one & only', adapter=None)), read_run(make_run('b', scale=1.5))]
    page = render_report(runs, [COUNTS, COUNTS | dict(trained=300)])
    assert page.count('one &amp; only</code>') == 1 and 'alt="gates, one &amp; only"' in page
    assert '+10' in page  # mIoU 30 after 20
    assert '25.00' in page and '+5.00' in page and '+50' in page
    assert 'model.backbone.adapter' in page
    sources = re.findall(r'(?:src|href)="([^"]{,40})', page)
    assert sources and all(source.startswith(('data:image/', '#')) for source in sources)
    assert 'http' not in re.sub(r'base64,[^"]*', '', page)
    assert page.count('data:image/webp') == 6  # a prediction, attention and gates of both
    alone = render_report(runs[:1], [COUNTS], max_pictures=0)
    assert 'differences to' not in alone and 'Predictions' not in alone and 'image/webp' not in alone


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (NAMES, ['frozen', 'daga', 'full']),
        (['upernet_daga-vits16_8xb2-160k', 'fcn_daga-vitb16_8xb2-40k'], ['upernet vits16 160k', 'fcn vitb16 40k']),
        (['daga_seed_0', 'daga_seed_1'], ['seed 0', 'seed 1']),
        (['daga_0', 'daga_1', 'frozen_0'], ['daga 0', 'daga 1', 'frozen 0']),
        (['a', 'a', 'b'], ['run 1', 'run 2', 'run 3']),
        (['a', 'a_b'], ['run 1', 'run 2']),
    ],
)
def test_runs_go_by_what_tells_them_apart(names, expected):
    assert short_names(names) == expected


@pytest.mark.skipif(CHROMIUM is None, reason='no Chromium on this machine')
def test_on_a_phone_nothing_sticks_out(make_run, tmp_path):
    """390 pixels wide, as a frame of a page: a window of Chromium's has 500 at least."""
    runs = [read_run(make_run(name, scale=1e5)) for name in NAMES]
    counts = dict(total=130_943_952, trained=129_773_644, frozen=1_170_308, added=1_170_308)
    page = render_report(runs, [counts, counts | dict(trained=1_170_308), counts])
    (tmp_path / 'frame.html').write_text(f"""<iframe width="390" height="800" style="border: 0"></iframe><script>
        const frame = document.querySelector('iframe');
        frame.onload = () => {{
            const root = frame.contentDocument.documentElement, cells = [...root.querySelectorAll('th, td')];
            const found = [root.clientWidth, root.scrollWidth, cells.length];
            found.push(cells.filter(cell => cell.scrollWidth > cell.clientWidth).length);
            document.body.dataset.found = found.join(' ');
        }};
        frame.srcdoc = document.createRange().createContextualFragment({json.dumps(html.escape(page))}).textContent;
        </script>""")
    command = [CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu', f'--user-data-dir={tmp_path}/profile']
    command += ['--virtual-time-budget=5000', '--dump-dom', (tmp_path / 'frame.html').as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    width, needed, cells, too_narrow = map(int, re.search(r'data-found="([\d ]+)"', shown)[1].split())
    assert needed <= width <= 390 and cells > 40 and too_narrow == 0
