"""What is computed from the lines of results, and that the pages say it."""

import pytest

from ..conftest import REPOSITORY


@pytest.fixture
def results(benchmark, plan, tmp_path):
    return benchmark('results').Results(tmp_path, plan)


def add(results, cell, score, rate=3e-3, **more):
    line = dict(dataset=cell.dataset, method=cell.method, seed=cell.seed, rate=rate, trunk='vit_s14_focus', score=score)
    results.append(cell.part, line | dict(trained=1000, cpu_seconds=10.0) | more)


def of(results, part, method, dataset='camvid_linear'):
    return [c for c in results.plan.cells if (c.part, c.method, c.dataset) == (part, method, dataset)]


def tune(results, method, scores):
    for cell, score in zip(of(results, 'tuning', method), scores, strict=True):
        add(results, cell, score, cell.rate)


def test_the_rate_is_the_best_one_once_all_are_tried(results):
    cell = of(results, 'camvid', 'lora')[0]
    first, second, third = of(results, 'tuning', 'lora')
    add(results, first, 30.0, first.rate)
    assert results.rate(cell) is None and results.find(cell) is None
    add(results, second, 50.0, second.rate)
    add(results, third, None, third.rate)  # diverged
    assert results.rate(cell) == second.rate
    add(results, cell, 48.0, rate=first.rate)
    assert results.find(cell) is None, 'a result at another rate is not the result'
    add(results, cell, 49.0, rate=second.rate, trunk='another')
    assert results.find(cell) is None
    add(results, cell, 49.0, rate=second.rate)
    assert results.find(cell)['score'] == 49.0


def test_a_rate_that_is_not_tuned_is_the_configs(results):
    assert results.rate(of(results, 'heads', 'lora', 'nyu_dpt')[0]) == 3e-4


def test_a_lower_error_is_better(results, monkeypatch):
    monkeypatch.setitem(results.plan.datasets['camvid_linear'].benchmark, 'lower_is_better', True)
    tune(results, 'lora', [1.0, 3.0, 2.0])
    assert results.rate(of(results, 'camvid', 'lora')[0]) == 3e-3


def test_differences_are_paired_and_have_intervals(benchmark):
    module = benchmark('results')
    lines = {seed: dict(score=score) for seed, score in enumerate([10.0, 12.0, 14.0])}
    others = {seed: dict(score=score) for seed, score in enumerate([9.0, 10.0, 11.0])}
    assert module.differences(lines, others) == [1.0, 2.0, 3.0]
    assert module.differences(lines, {2: dict(score=4.0), 5: dict(score=0.0)}) == [10.0]
    assert module.interval([1.0, 2.0, 3.0]) == pytest.approx(4.302653 * 1 / 3**0.5, rel=1e-6)


def test_the_tables(benchmark, results):
    for method, scores in dict(frozen=[40.0, 41.0, 42.0], lora=[50.0, 52.0, 51.0]).items():
        tune(results, method, [3.0, 1.0, 2.0])
        for cell, score in zip(of(results, 'camvid', method), scores, strict=True):
            add(results, cell, score)
    results.append(
        'costs',
        dict(case='lora', arch='vit_small_patch14_dinov2', trained=1000, step_to_frozen=2.5, step_mb_to_frozen=4.0),
    )
    page = benchmark('page').Page(results)
    rows = page.table('camvid_linear').splitlines()
    assert rows[2] == '| frozen | 3 | 41.0 ± 1.0 |  | -10.0 ± 2.5 | 0.003 | 10 |'
    assert rows[3] == '| lora | 3 | 51.0 ± 1.0 | +10.0 ± 2.5 |  | 0.003 | 10 |'
    assert page.table('summary').splitlines()[3] == '| lora | 1,000 | 2.50 | 4.00 | 51.0 ± 1.0 |'
    assert '| camvid_linear | lora | 3.0 | 1.0 | 2.0 |' in page.table('tuning')
    assert '| camvid | 6 of 31 | 6 of 42 |' in page.table('state')
    assert page.table('nyu_linear') == 'Nothing of this has been run yet.'
    assert page.table('picture') == 'No picture yet.'
    page.cost = {method: dict(step_to_frozen=1.5) for method in page.plan.methods}
    page.found['camvid_linear']['daga'] = page.found['camvid_linear']['lora']
    assert page.table('picture').endswith('(images/benchmark.png)')
    assert [axis.get_title() for axis in page.draw().axes] == ['CamVid, linear head: mIoU, % ↑']
    text = 'before\n<!-- table: camvid_linear -->\nold\n<!-- end -->\nafter'
    assert (
        page.fill(text)
        == f'before\n<!-- table: camvid_linear -->\n\n{page.table("camvid_linear")}\n\n<!-- end -->\nafter'
    )


def test_the_pages_say_what_the_results_say(benchmark, plan):
    page = benchmark('page')
    current = page.Page(benchmark('results').Results(page.HERE / 'results', plan))
    for path in page.PAGES:
        assert current.fill(path.read_text()) == path.read_text(), f'{path.name}: run benchmarks/run.py --page'
    assert '<!-- table: summary -->' in (REPOSITORY / 'docs/benchmark.md').read_text()
