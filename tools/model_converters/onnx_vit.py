"""Turn the vision transformer in an ONNX file into a safetensors file that DAGAViT loads.

    python tools/model_converters/onnx_vit.py vit_s_focus.onnx --out checkpoints/vit_s14_focus.safetensors

It reads ViTModel and Dinov2Model of Hugging Face transformers, alone or as part of a larger model, as
torch.onnx.export(dynamo=False) writes them: most parameters keep their names, a matrix is found by the MatMul that
reads it. The result is compared with the graph in onnxruntime, at the last norm, and not written if it differs.

Needs `pip install onnx onnxruntime`.
"""

import argparse
import hashlib
import math
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daga_mm.cli.errors import one_line_errors
from daga_mm.cli.parser import file, make_parser
from daga_mm.errors import as_run_error

if TYPE_CHECKING:  # functions import what takes its time, torch above all: help and argument errors come before
    from torch import Tensor

    from daga_mm.backbones.trunk import Trunk

TOLERANCE = 1e-4  # of the largest feature; correct weights in float32 differ by 1e-6 to 1e-5
PARTS = (
    r'(embeddings|encoder\.layer|layers|layernorm)\.'  # of the transformer; others, such as a pooler, come behind it
)
# Names in transformers, from its fourth and its fifth version, to timm's.
NAMES = (
    (r'^embeddings\.patch_embeddings\.projection\.', 'patch_embed.proj.'),
    (r'^embeddings\.position_embeddings$', 'pos_embed'),
    (r'^embeddings\.', ''),
    (r'^layernorm\.', 'norm.'),
    (r'^(encoder\.layer|layers)\.', 'blocks.'),
    (r'\.layernorm_before\.', '.norm1.'),
    (r'\.layernorm_after\.', '.norm2.'),
    (r'\.attention\.(?:attention\.)?(?:(q)uery|(k)ey|(v)alue|([qkv])_proj)\.', r'.attn.\1\2\3\4.'),
    (r'\.attention\.(output\.dense|o_proj)\.', '.attn.proj.'),
    (r'\.intermediate\.dense\.', '.mlp.fc1.'),
    (r'\.output\.dense\.', '.mlp.fc2.'),
    (r'\.layer_scale(\d)\.lambda1$', r'.ls\1.gamma'),
)
SIZES = {192: 'tiny', 384: 'small', 768: 'base', 1024: 'large'}


class Graph:
    """A vision transformer in an ONNX file.

    Args:
        path: The file.

    Attributes:
        model: The file's content.
        constants: Tensors of the graph by name.
        root: What the names of the transformer's parameters start with, 'backbone.'.
        image: Name of the input, images (B, 3, H, W).
        size: H and W; None where the graph takes any.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not an ONNX file, has not exactly one such transformer, or has not one input of images.
    """

    def __init__(self, path: Path) -> None:
        import onnx
        from google.protobuf.message import DecodeError

        if not path.is_file():
            raise FileNotFoundError(f'no file {path}')
        self.path = path
        try:
            self.model = onnx.load(path)
        except DecodeError as error:
            raise ValueError(f'{path} is not an ONNX file, or is damaged: {error}') from error
        self.constants = self._read_constants()
        self.root = self._find_root()
        self.image, self.size = self._find_input()

    def _read_constants(self) -> dict[str, 'Tensor']:
        import torch
        from onnx import numpy_helper

        found = {tensor.name: tensor for tensor in self.model.graph.initializer}
        for node in self.model.graph.node:
            if node.op_type == 'Constant' and node.attribute[0].name == 'value':
                found[node.output[0]] = node.attribute[0].t
            elif node.op_type == 'Identity' and node.input[0] in found:  # equal parameters are stored once
                found[node.output[0]] = found[node.input[0]]
        return {name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for name, tensor in found.items()}

    def _find_root(self) -> str:
        roots = [match[1] for name in self.constants if (match := re.fullmatch(r'(|.*\.)embeddings\.cls_token', name))]
        if len(roots) != 1:
            raise ValueError(
                f'{self.path}: found {len(roots)} constants named embeddings.cls_token or ….embeddings.cls_token, '
                'expected one: torch.onnx.export keeps its name with dynamo=False only'
            )
        return roots[0]

    def _find_input(self) -> tuple[str, tuple[int, int] | None]:
        weights = {tensor.name for tensor in self.model.graph.initializer}
        inputs = [value for value in self.model.graph.input if value.name not in weights]
        shapes = [[axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in inputs]  # 0: any
        if len(shapes) != 1 or len(shapes[0]) != 4:
            raise ValueError(f'{self.path}: found inputs of shapes {shapes}, expected one of images (B, 3, H, W)')
        height, width = shapes[0][2:]
        return inputs[0].name, (height, width) if height and width else None

    def state_dict(self) -> dict[str, 'Tensor']:
        """The transformer's parameters under timm's names.

        Raises:
            ValueError: A parameter is not found, or is not float32.
        """
        import torch

        found = {
            name.removeprefix(self.root): tensor
            for name, tensor in self.constants.items()
            if name.startswith(self.root) and re.match(PARTS, name.removeprefix(self.root))
        }
        if 'embeddings.position_embeddings' not in found:  # it was cut in two, to resample the patches' positions
            found['embeddings.position_embeddings'] = self._positions()
        matrices = {name.removesuffix('bias') + 'weight' for name in found if name.endswith('.bias')} - found.keys()
        found |= {name: self._matrix(name.removesuffix('.weight')) for name in matrices}
        state = {_rename(name): tensor for name, tensor in found.items()}
        for name in [name for name in state if '.attn.q.' in name]:
            parts = [name.replace('.attn.q.', f'.attn.{part}.') for part in 'qkv']
            if all(part in state for part in parts):
                state[name.replace('.attn.q.', '.attn.qkv.')] = torch.cat([state.pop(part) for part in parts])
        wrong = [f'{name} ({tensor.dtype})' for name, tensor in state.items() if tensor.dtype != torch.float32]
        if wrong:
            raise ValueError(f'{self.path}: found {", ".join(sorted(wrong)[:3])} …, expected parameters in float32')
        return dict(sorted(state.items()))

    def _matrix(self, layer: str) -> 'Tensor':
        """The weight (out, in) of a linear layer: a constant without a name, transposed, that its MatMul reads."""
        wanted = f'{self.root}{layer}.MatMul'
        for node in self.model.graph.node:
            if _dotted(node.name) == wanted and node.input[1] in self.constants:
                return self.constants[node.input[1]].t().contiguous()
        raise ValueError(
            f'{self.path}: found no constant that {wanted} reads, expected the weight of {self.root}{layer}'
        )

    def _positions(self) -> 'Tensor':
        """Positions (1, 1 + M·M, D), from two constants without names: one that is joined, one that is reshaped."""
        import torch

        scope = f'{self.root}embeddings.'
        found = {
            op_type: {
                name
                for node in self.model.graph.node
                if node.op_type == op_type and _dotted(node.name).startswith(scope)
                for name in node.input
                if name in self.constants and self.constants[name].ndim == 3 and not name.startswith(scope)
            }
            for op_type in ('Concat', 'Reshape')
        }
        if [len(names) for names in found.values()] != [1, 1]:
            raise ValueError(
                f'{self.path}: positions are not found: expected a constant {scope}position_embeddings, or one that a '
                f'Concat and one that a Reshape of {scope[:-1]} reads, found {found}'
            )
        return torch.cat([self.constants[names.pop()] for names in found.values()], dim=1)

    def last_norm(self, images: 'Tensor') -> 'Tensor':
        """What onnxruntime computes of images (1, 3, H, W): the tokens (1, N, D) behind the last norm."""
        import onnx
        import onnxruntime
        import torch

        norm = [node for node in self.model.graph.node if _dotted(node.name).startswith(f'{self.root}layernorm.')][-1]
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.output[:]
        model.graph.output.append(onnx.ValueInfoProto(name=norm.output[0]))
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
        (tokens,) = session.run(None, {self.image: images.numpy()})
        return torch.from_numpy(tokens)


def _dotted(name: str) -> str:
    """The name of a node, /backbone/embeddings/Add, as those of parameters are: backbone.embeddings.Add."""
    return name.strip('/').replace('/', '.')


def _rename(name: str) -> str:
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def guess_arch(state: dict[str, 'Tensor']) -> str:
    """timm's name of the architecture.

    Raises:
        ValueError: The width is not one of ``SIZES``.
    """
    dims, _, patch, _ = state['patch_embed.proj.weight'].shape
    if dims not in SIZES:
        raise ValueError(f'{dims} channels fit none of {", ".join(SIZES.values())}: name the architecture with --arch')
    side = math.isqrt(state['pos_embed'].shape[1] - 1)
    return f'vit_{SIZES[dims]}_patch{patch}_' + ('dinov2' if 'blocks.0.ls1.gamma' in state else f'{side * patch}')


def compare(
    graph: Graph, state: dict[str, 'Tensor'], arch: str | dict[str, Any], trunk: 'Trunk'
) -> tuple['Tensor', dict[str, float]]:
    """Compare a trunk with the graph behind the last norm, for a random image.

    Args:
        graph: The ONNX file.
        state: Its parameters.
        arch: What ``trunk`` was built from.
        trunk: With the parameters in it.

    Returns:
        The graph's features (1, N, D), and the largest difference from them for each way to resample positions.

    Raises:
        ValueError: The smallest difference is above `TOLERANCE`.
    """
    import torch
    import torch.nn.functional as F

    from daga_mm.backbones.trunk import build_trunk

    patch, side = trunk.patch_size, math.isqrt(state['pos_embed'].shape[1] - 1)
    height, width = graph.size or (side * patch, side * patch)
    images = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    expected = graph.last_norm(images)
    grid = (height // patch, width // patch)
    images = images[..., : grid[0] * patch, : grid[1] * patch]  # transformers drop the rim

    # At its own size a model adds positions as they are: those that transformers resample.
    own = build_trunk((arch if isinstance(arch, dict) else {'name': arch}) | {'img_size': images.shape[-2:]}).model
    positions = state['pos_embed'][:, 1:].transpose(1, 2).unflatten(2, (side, side))
    positions = F.interpolate(positions, grid, mode='bicubic').flatten(2).transpose(1, 2)
    own.load_state_dict(state | {'pos_embed': torch.cat([state['pos_embed'][:, :1], positions], dim=1)})
    with torch.no_grad():
        tokens, rotary = trunk.eval().embed(images)
        for index in range(trunk.depth):
            tokens = trunk.block(index, tokens, rotary)
        features = {'transformers': own.eval().forward_features(images), 'DAGAViT': trunk.norm(tokens)}
    differences = {library: float((found - expected).abs().max()) for library, found in features.items()}
    limit = TOLERANCE * float(expected.abs().max())
    if not min(differences.values()) <= limit:
        raise ValueError(
            f'{graph.path}: features of {trunk.arch} with these parameters differ from the graph by '
            f'{min(differences.values()):.1e} at {height}×{width}, expected at most {limit:.1e}: name another '
            'architecture with --arch'
        )
    return expected, differences


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('onnx', type=Path, metavar='FILE.onnx', help='the model')
    parser.add_argument('--out', type=file, required=True, metavar='FILE.safetensors', help='the file to write')
    parser.add_argument('--arch', help="timm's name of the architecture (default: by channels, patch and layers)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback), as_run_error(OSError, ValueError, ModuleNotFoundError):
        convert(args.onnx, args.out, args.arch)


def convert(path: Path, out: Path, arch: str | dict[str, Any] | None = None) -> None:
    """Convert, compare, write.

    Args:
        path: The ONNX file.
        out: The safetensors file.
        arch: As for DAGAViT; None for `guess_arch`.

    Raises:
        ModuleNotFoundError: onnx or onnxruntime is not installed.
        OSError, ValueError: See Graph, `daga_mm.backbones.checkpoints.load_trunk` and compare.
    """
    missing = [package for package in ('onnx', 'onnxruntime') if find_spec(package) is None]
    if missing:
        raise ModuleNotFoundError(
            f'no module {" and ".join(missing)}, expected for ONNX files: pip install onnx onnxruntime'
        )
    from safetensors.torch import save

    from daga_mm.backbones.checkpoints import load_trunk
    from daga_mm.backbones.trunk import build_trunk
    from daga_mm.io import AtomicBackend

    graph = Graph(path)
    state = graph.state_dict()
    count = sum(tensor.numel() for tensor in state.values())
    print(f'{path}: {count:,} parameters under {graph.root or "no prefix"}', flush=True)
    arch = arch or guess_arch(state)
    trunk = build_trunk(arch)
    fingerprint = load_trunk(trunk, state, str(path))
    print(f'they fit {trunk.arch}, fingerprint {fingerprint}', flush=True)
    features, differences = compare(graph, state, arch, trunk)
    print(f'largest difference from onnxruntime of features up to {features.abs().max():.1f}, with positions resampled')
    for library, difference in differences.items():
        print(f'  {difference:.1e}  as {library} does')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    content = save(state, {'source': f'{path.name}, SHA-256 {digest}'})
    AtomicBackend().put(content, out)
    print(f'{out}: {len(content) / 2**20:.1f} MiB')


if __name__ == '__main__':
    main()
