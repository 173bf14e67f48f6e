"""What a config's model is, before anything is downloaded: parameters, FLOPs, shapes, memory, DAGA.

    python tools/analysis_tools/model_report.py configs/mmseg/upernet_daga-vits16_vitadapter_8xb2-160k_ade20k-512x512.py

Neither weights nor data are needed, and hardly any memory: the model runs on tensors that have a shape and nothing in
it.

FLOPs are those of one image in a test, two for a multiplication with its addition (fvcore and mmengine count one).
Matrix products and convolutions count; reading at sampled points, norms and activations don't. The heads of a detector
are counted on as many regions as are kept.

Memory is an estimate for a training step in float32: weights, gradients, the optimiser's states, what the forward pass
keeps for the backward one, and for segmentation the scores of every pixel in the losses. Further losses, the workspace
of kernels and what CUDA takes for itself come on top.
"""

import argparse
import json
import warnings

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import add_config, file, make_parser, positive
from daga_mm.errors import as_run_error


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_config(parser)
    parser.add_argument(
        '--size',
        type=positive,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help="of the images (default: the config's training)",
    )
    parser.add_argument('--json', type=file, metavar='FILE', help='write the report here too')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    warnings.filterwarnings('ignore', module='mm.*')  # of mmcv's attention, on dimensions that are no power of two
    with one_line_errors(args.traceback):
        from daga_mm.cli.config import load_config
        from daga_mm.io import AtomicBackend
        from daga_mm.visualization.model_report import report, text, training_size

        with as_run_error(OSError, ValueError):
            config = load_config(args.config, args.cfg_options)
            size = tuple(args.size) if args.size else training_size(config)
        found = report(config, size)
        print(text(found))
        if args.json:
            AtomicBackend().put_text(json.dumps(found, indent=1) + '\n', args.json)


if __name__ == '__main__':
    main()
