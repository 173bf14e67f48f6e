"""What tools/export.py prints and refuses; what it writes is tested in tests/apis."""

from contextlib import redirect_stdout
from io import StringIO

import pytest

from .conftest import call, load_tool


def test_a_program_is_written_and_its_deviation_printed(models, tmp_path):
    out = tmp_path / 'new/model.pt2'
    with redirect_stdout(StringIO()) as said:
        assert (
            call(load_tool('export'), *models['depth'], '--format', 'pt2', '--out', out, '--size', '48', '64') is None
        )
    assert out.is_file() and 'Deviations from the model: depth ' in said.getvalue()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--out', 'model.onnx', '--image', 'none.jpg'], r'none.jpg'),
        (['--out', 'model.tflite'], 'tflite'),
    ],
)
def test_one_line_says_what_is_wrong(arguments, message, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = call(load_tool('export'), *models['depth'], *arguments)
    assert message in said and not list(tmp_path.iterdir())
