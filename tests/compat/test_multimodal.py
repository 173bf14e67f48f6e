"""mmpretrain beside a transformers of any age."""

import subprocess
import sys

import pytest

from daga_mm.compat.multimodal import transformers_is_too_new

OLD = 'def apply_chunking_to_forward(): ...'


@pytest.mark.parametrize(('source', 'too_new'), [(None, False), ('', True), (OLD, False)])
def test_the_name_that_is_gone_tells_the_age(source, too_new, tmp_path, monkeypatch):
    (tmp_path / 'transformers').mkdir()
    (tmp_path / 'transformers/__init__.py').touch()
    if source is not None:
        (tmp_path / 'transformers/modeling_utils.py').write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'transformers', raising=False)
    assert transformers_is_too_new() == too_new


def test_mmpretrain_is_imported_beside_a_new_transformers(tmp_path):
    """With the look of one: its package and its metadata, all that mmpretrain asks before it imports from it."""
    (tmp_path / 'transformers').mkdir()
    for name in ('__init__', 'modeling_utils'):
        (tmp_path / f'transformers/{name}.py').touch()
    (tmp_path / 'transformers-5.0.0.dist-info').mkdir()
    (tmp_path / 'transformers-5.0.0.dist-info/METADATA').write_text('Name: transformers\nVersion: 5.0.0\n')
    code = f"""import sys
sys.path.insert(0, {str(tmp_path)!r})
{{}}
import mmpretrain.models
from mmpretrain.registry import MODELS
print('ImageClassifier' in MODELS)"""
    with_compat, without = (
        subprocess.run([sys.executable, '-W', 'ignore', '-c', code.format(line)], capture_output=True, text=True)
        for line in ('import daga_mm.compat', 'import daga_mm.compat.mmcv_ops as m; sys.meta_path.pop(0)')
    )
    assert with_compat.stdout == 'True\n', with_compat.stderr
    assert without.returncode, 'mmpretrain has learnt it: the module can go'
