"""What an exported model costs beside the model itself: eager, torch.compile, a program of PyTorch, onnxruntime.

    OMP_NUM_THREADS=1 python benchmarks/export.py fcn_daga-vits16_linear_8xb2-40k_ade20k-512x512 --size 512 512

A line for each: seconds for one image, from 8-bit pixels to the result, the ratio to eager, and the size of the file.
Weights are random. All run on one CPU thread and take turns, round after round; ratios are medians of process time.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime
import torch
from costs import seconds
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from daga_mm.apis import Model, export, load
from daga_mm.apis.deployed import Deployed
from daga_mm.backbones.checkpoints import SCHEMA
from daga_mm.cli.config import load_config


def random_model(name: str, folder: Path) -> Model:
    """A model of a config with random weights, loaded as a trained one is."""
    config: Config = load_config(name)
    config.model.backbone.init_cfg = None
    config.dump(folder / 'config.py')
    with DefaultScope.overwrite_default_scope(config.default_scope):
        torch.manual_seed(0)
        state = MODELS.build(config.model).state_dict()
    torch.save({'state_dict': state, 'meta': {'daga_mm_schema': SCHEMA}}, folder / 'random.pth')
    return load(folder / 'config.py', folder / 'random.pth', 'cpu')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='file or name')
    parser.add_argument('--size', type=int, nargs=2, default=[512, 512], metavar=('H', 'W'))
    parser.add_argument('--repeats', type=int, default=7, help='rounds after the first (default: 7)')
    args = parser.parse_args()
    images = torch.randint(256, (1, *args.size, 3), dtype=torch.uint8)
    with TemporaryDirectory() as name:
        folder = Path(name)
        model = random_model(args.config, folder)
        files = {'pt2': folder / 'model.pt2', 'onnxruntime': folder / 'model.onnx'}
        export(model, files['pt2'], 'pt2', tuple(args.size))
        export(model, files['onnxruntime'], 'onnx', tuple(args.size))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(files['onnxruntime'], options, providers=['CPUExecutionProvider'])
        deployed = Deployed(model.model, model.config)
        runs: dict[str, Callable] = {
            'eager': partial(deployed, images),
            'compile': partial(torch.compile(deployed), images),
            'pt2': partial(torch.export.load(files['pt2']).module(), images),
            'onnxruntime': partial(session.run, None, {'images': images.numpy()}),
        }
        sizes = {case: round(file.stat().st_size / 1e6, 1) for case, file in files.items()}
    times: dict[str, list[float]] = {case: [] for case in runs}
    with torch.no_grad():
        for turn in range(args.repeats + 1):
            for case, run in runs.items():
                taken = seconds(run, 'cpu')[1]
                if turn:  # the first compiles, and warms up
                    times[case].append(taken)
    for case in runs:
        ratio = statistics.median(a / b for a, b in zip(times[case], times['eager'], strict=True))
        line = dict(case=case, seconds=round(statistics.median(times[case]), 3), ratio=round(ratio, 3))
        line |= dict(file_mb=sizes.get(case), config=args.config, size=args.size, torch=torch.__version__)
        print(json.dumps(line | dict(onnxruntime=onnxruntime.__version__)))


if __name__ == '__main__':
    main()
