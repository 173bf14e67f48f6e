"""The notebooks run from top to bottom, and are stored with what they print and draw."""

import nbformat
import pytest
from nbclient import NotebookClient

from .conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / 'examples').glob('*.ipynb'))


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_with_its_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 800_000
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    assert any('image/png' in output.get('data', {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == 'error' or output.get('name') == 'stderr']


@pytest.mark.slow
@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    folder = tmp_path / 'examples'
    folder.mkdir()
    (tmp_path / 'demo').symlink_to(REPOSITORY / 'demo')
    monkeypatch.setenv('PYTHONPATH', str(REPOSITORY))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=900, resources={'metadata': {'path': str(folder)}}).execute()
