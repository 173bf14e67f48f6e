"""Say what is installed, what works, and which weights and data sets are found; for each fault, its cure.

Weights, data sets and task packages that are absent are no faults. The exit status is 1 where something that is
there does not work, or something that every use of daga_mm needs is absent.
"""

# Only the standard library is imported up here, the rest where it is looked at: a broken installation must be
# reported, and must not stop the report.
import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import platform
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import __version__
from .errors import PANOPTICAPI

if TYPE_CHECKING:
    from packaging.requirements import Requirement

BASE = Path(__file__).parent / '.mim/configs/_base_'
TINY = dict(name='dinov3_vits16', embed_dim=48, depth=4, num_heads=3)
TASKS = {  # extra: its package, and what that is for
    'det': ('mmdet', 'detection, panoptic segmentation and Mask2Former'),
    'seg': ('mmsegmentation', 'segmentation and depth'),
    'cls': ('mmpretrain', 'classification'),
}
IMPORTS = {  # where the modules to try are not those of the package's name; daga_mm.compat first, as in the configs
    'setuptools': ('pkg_resources',),
    'torchvision': ('torchvision.ops',),
    'scikit-learn': ('sklearn',),
    'mmdet': ('daga_mm.compat', 'mmdet.models'),
    'mmsegmentation': ('daga_mm.compat', 'mmseg.models'),
    'mmpretrain': ('daga_mm.compat', 'mmpretrain.models'),
}
COCO_FILES = ('annotations/instances_train2017.json', 'annotations/instances_val2017.json')
LAYOUTS = {  # name in paths.py: what the readers of mmdet, mmseg and mmpretrain open below it
    'ade20k_root': ('images/training', 'images/validation', 'annotations/training', 'annotations/validation'),
    'coco_root': ('train2017', 'val2017', *COCO_FILES),
    'nyu_root': ('images/train', 'images/test', 'annotations/train', 'annotations/test'),
    'imagenet_root': ('train', 'val'),
    'imagenet_c_root': (),  # flat, or in groups as the archives are
    'imagenet_a_root': ('n01498041',),
    'imagenet_r_root': ('n01443537',),
    'cifar10_root': ('train/airplane', 'test/airplane'),
    'cifar100_root': ('train/apple', 'test/apple'),
    'camvid_root': ('train', 'trainannot', 'val', 'valannot', 'test', 'testannot'),
    'pennfudan_root': ('annotations', 'images'),
}
ABOVE_FIRST = 'cure the faults above first; if there are none, this is a bug of daga_mm'


@dataclass(frozen=True)
class Finding:
    """A line of the report; ``cure`` is a command or an instruction, empty where nothing is to be done."""

    name: str
    state: Literal['ok', 'missing', 'fault']
    detail: str
    cure: str = ''


def attempt(name: str, action: Callable[[], str], cure: str = ABOVE_FIRST) -> Finding:
    """Ok with what the action returns, or a fault with the error that it raises."""
    try:
        return Finding(name, 'ok', action())
    except Exception as error:  # broken packages fail in every way there is
        message, *_ = str(error).strip().splitlines() or ['']
        kind = '' if type(error) is ValueError else f'{type(error).__name__}: '  # ours are sentences
        return Finding(name, 'fault', kind + message, cure)


# -- packages ------------------------------------------------------------------------------------------------------


def requirements(extra: str = '') -> list['Requirement']:
    """What the metadata of daga_mm asks for; with an extra, what that one asks for besides."""
    from packaging.requirements import Requirement

    parsed = [Requirement(line) for line in metadata.requires('daga_mm') or ()]
    return [r for r in parsed if (r.marker.evaluate({'extra': extra}) if r.marker else not extra)]


def installed(name: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_requirement(requirement: 'Requirement', cure: str = '') -> Finding:
    """Whether a package is there, in a version that suits, and can be imported."""
    name, wanted, version = requirement.name, requirement.specifier, installed(requirement.name)
    cure = cure or f"pip install '{name}{wanted}'"
    modules = IMPORTS.get(name, (name,))
    if version is None:
        return Finding(name, 'fault', f'ModuleNotFoundError: No module named {modules[-1]!r}', cure)
    if not wanted.contains(version, prereleases=True):
        return Finding(name, 'fault', f'{version} is installed, {wanted} is needed', cure)

    def run() -> str:
        for module in modules:
            importlib.import_module(module)
        return version

    again = f'{name}=={version}' if name not in ('torch', 'torchvision') else 'torch torchvision  # from one index'
    return attempt(name, run, f'pip install --force-reinstall {again}')


def check_packages() -> list[Finding]:
    """Python, what every use of daga_mm needs, and mim."""
    python = Finding('python', 'ok', platform.python_version())
    if installed('daga_mm') is None:
        cure = f"pip install -e '{Path(__file__).parents[1]}'"
        return [python, Finding('daga_mm', 'fault', 'not installed, so what it needs is unknown', cure)]
    if installed('packaging') is None:
        detail = 'not installed, so versions are not compared'
        return [python, Finding('packaging', 'fault', detail, 'pip install packaging')]
    mim = Finding('openmim', 'missing', 'not installed: no `mim train daga_mm`', 'pip install openmim')
    if version := installed('openmim'):
        mim = Finding('openmim', 'ok', version)
    needed = sorted(requirements(), key=lambda r: r.name != 'setuptools')  # first: mmengine imports pkg_resources
    return [python, *map(check_requirement, needed), check_mmcv(), mim]


def check_mmcv() -> Finding:
    """Which mmcv there is: compiled, lite, none, or two in each other's place."""
    found = [f'{name} {version}' for name in ('mmcv', 'mmcv-lite') if (version := installed(name))]
    if not found:
        return Finding('mmcv', 'fault', "ModuleNotFoundError: No module named 'mmcv'", new_mmcv())
    if len(found) == 2:
        return Finding('mmcv', 'fault', f'{" and ".join(found)} overwrite each other', new_mmcv())

    def run() -> str:
        from .compat import mmcv_kind

        importlib.import_module('mmcv')
        kinds = {'compiled': 'compiled: operators of its own', 'lite': 'lite: operators by daga_mm.compat'}
        return f'{found[0]}, {kinds[mmcv_kind()]}'

    return attempt('mmcv', run, new_mmcv())


def new_mmcv() -> str:
    """The command that leaves exactly one mmcv."""
    (lite,) = requirements('lite')
    return f'pip uninstall -y mmcv mmcv-lite && pip install {lite.name}{lite.specifier}'


def check_tasks() -> list[Finding]:
    """The task packages: any of them is enough, and what is there must be whole."""
    found = []
    for extra, (name, purpose) in TASKS.items():
        cure = f"pip install 'daga_mm[{extra}]'"
        if installed(name) is None:
            found.append(Finding(name, 'missing', f'not installed: no {purpose}', cure))
        else:  # the package itself comes first in its requirements, and is tried after what it needs
            found += [check_requirement(requirement, cure) for requirement in reversed(requirements(extra))]
    return [*found, check_panopticapi()]


def check_panopticapi() -> Finding:
    """COCO's panopticapi, which mmdet needs for panoptic segmentation, and which no extra of daga_mm can bring."""
    if importlib.util.find_spec('panopticapi') is None:
        return Finding('panopticapi', 'missing', 'not installed: no panoptic segmentation', PANOPTICAPI)

    def run() -> str:
        importlib.import_module('panopticapi.evaluation')
        return installed('panopticapi-lite') or installed('panopticapi') or 'of unknown version'

    return attempt('panopticapi', run, PANOPTICAPI)


# -- what works ----------------------------------------------------------------------------------------------------


def device() -> str:
    """Where the checks run."""
    import torch

    return 'cuda' if torch.cuda.is_available() else 'cpu'


def check_operators() -> list[Finding]:
    """The operators of mmcv, whoever provides them, against results known beforehand."""

    def nms() -> str:
        import torch

        boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 7], [20, 20, 28, 28]], device=device())
        _, kept = mmcv_ops().nms(boxes, torch.tensor([0.9, 0.8, 0.7], device=device()), iou_threshold=0.5)
        return expect([0, 2], kept.tolist())

    def roi_align() -> str:
        import torch

        image = torch.arange(16.0, device=device()).view(1, 1, 4, 4)
        box = torch.tensor([[0.0, 0, 0, 4, 4]], device=device())  # index of the image, then x and y, twice
        return expect([2.5, 4.5, 10.5, 12.5], mmcv_ops().roi_align(image, box, (2, 2)).flatten().tolist())

    return [attempt('nms', nms, new_mmcv()), attempt('roi_align', roi_align, new_mmcv())]


def mmcv_ops() -> Any:
    """mmcv.ops, imported as the configs do: after what answers for its operators."""
    importlib.import_module('daga_mm.compat')
    return importlib.import_module('mmcv.ops')


def expect(right: list, result: list) -> str:
    """Refuse a wrong result."""
    if result != right:
        raise ValueError(f'{result} instead of {right} on {device()}')
    return f'right on {device()}'


def check_model() -> list[Finding]:
    """The device, and a small DAGAViT with a random trunk, built and run once on it."""

    def describe() -> str:
        import torch

        if device() == 'cuda':
            return f'{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}'
        return f'CPU; torch is built for {f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs"}'

    def forward() -> str:
        import torch

        from .backbones import DAGAViT

        model = DAGAViT(TINY, init_cfg=None).to(device()).eval()
        with torch.no_grad():
            maps = model(torch.zeros(1, 3, 32, 48, device=device()))
        return f'runs on {device()}: {len(maps)} maps of {"×".join(map(str, maps[0].shape[1:]))}'

    return [attempt('device', describe), attempt('DAGAViT', forward)]


# -- weights and data sets -----------------------------------------------------------------------------------------


def check_weights() -> list[Finding]:
    """The trunks of configs/_base_/dinov3.py: there, readable, and what their names say."""
    from mmengine.config import Config

    found = []
    for name, trunk in Config.fromfile(BASE / 'dinov3.py').trunks.items():
        path = Path(trunk.backbone.init_cfg.checkpoint)
        if path.is_file():
            cure = f'get it anew as docs/weights.md says, in the place of {path}'
            found.append(attempt(name, partial(describe_weights, path, trunk.backbone.arch), cure))
        else:
            cure = 'docs/weights.md; if you have it: export DINOV3_CHECKPOINTS=/path/to/its/folder'
            found.append(Finding(name, 'missing', f'no {path}', cure))
    return found


def describe_weights(path: Path, arch: str) -> str:
    """Recognise DINOv3 and DINOv2 by the names and shapes of its tensors, whose values stay on the disk.

    Raises:
        ValueError: No weights, damaged, neither DINOv3 nor DINOv2, or of a trunk of another width.
    """
    import torch

    from .backbones import build_trunk
    from .backbones.checkpoints import backbone_prefix, read_weights

    state = read_weights(path)
    of_meta, of_timm = (any(key.endswith(name) for key in state) for name in ('storage_tokens', 'reg_token'))
    if backbone_prefix(state) is not None:
        origin = 'daga_mm'
    elif any(key.endswith('embeddings.register_tokens') for key in state):
        origin = 'Hugging Face'
    elif of_meta or of_timm:
        origin = 'Meta' if of_meta else 'timm'
    elif any(key.endswith('pos_embed') for key in state):
        origin = 'DINOv2'
    else:
        raise ValueError(f'{path} holds no DINOv3 or DINOv2 in a known format; tensors: {", ".join([*state][:3])}, …')
    width = next(value for key, value in state.items() if key.endswith('cls_token')).shape[-1]
    with torch.device('meta'):
        expected = build_trunk(arch).embed_dims
    if width != expected:
        raise ValueError(f'{path} is another trunk: it has {width} channels, {arch} has {expected}')
    return f'{path}, {path.stat().st_size / 1e6:.0f} MB, {width} channels, format of {origin}'


def check_data() -> list[Finding]:
    """The data sets of configs/_base_/paths.py: there, and whole."""
    from mmengine.config import Config

    found = []
    paths = Config.fromfile(BASE / 'paths.py')
    for name, parts in LAYOUTS.items():
        root = Path(paths[name])
        if root.is_dir():
            cure = f'put them into {root}, or export {name.upper()}=/path/to/a/whole/one'
            found.append(attempt(name, partial(describe_data, root, parts), cure))
        else:
            cure = f'if you have it: export {name.upper()}=/path/to/it'
            found.append(Finding(name, 'missing', f'no {root}', cure))
    return found


def describe_data(root: Path, parts: tuple[str, ...]) -> str:
    """Look for each part of a data set.

    Raises:
        ValueError: Some are absent or empty.
    """
    absent = [part for part in parts if not holds_something(root / part)]
    if absent:
        raise ValueError(f'{root} lacks {", ".join(absent)}')
    return str(root)


def holds_something(path: Path) -> bool:
    """Whether this is a file with content or a folder with an entry."""
    return any(path.iterdir()) if path.is_dir() else path.is_file() and path.stat().st_size > 0


# -- report --------------------------------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[], list[Finding]]] = {
    'Packages': check_packages,
    'Task packages': check_tasks,
    'Operators of mmcv': check_operators,
    'Model': check_model,
    'Weights': check_weights,
    'Data sets': check_data,
}


def examine(check: Callable[[], list[Finding]]) -> list[Finding]:
    """Run a check without the noise of what it imports; where it can't even begin, that is a fault."""
    found: list[Finding] = []

    def run() -> str:
        found.extend(check())
        return 'done'

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        whole = attempt(check.__name__, run)
    return found if whole.state == 'ok' else [whole]


def refer_back(found: list[Finding], earlier: list[Finding]) -> list[Finding]:
    """The same error again has the same cause: its cure is the first one's."""
    first = {finding.detail: finding.name for finding in reversed(earlier + found) if finding.state == 'fault'}
    return [
        replace(finding, cure=f'as for {first[finding.detail]} above')
        if finding.state == 'fault' and first[finding.detail] != finding.name
        else finding
        for finding in found
    ]


def lines(found: list[Finding]) -> list[str]:
    """Findings as aligned text: state, name, detail, and below it the cure."""
    text = []
    for finding in found:
        text.append(f'  {finding.state:7}  {finding.name:17}  {finding.detail}')
        if finding.cure:
            text.append(f'{"":30}→ {finding.cure}')
    return text


def main(arguments: list[str] | None = None) -> int:
    """Examine everything and print it; returns the exit status."""
    parser = argparse.ArgumentParser(prog='python -m daga_mm.doctor', description=__doc__)
    parser.add_argument('--json', action='store_true', help='print one JSON object, for programs')
    as_json = parser.parse_args(arguments).json
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')  # not every terminal has every letter of a path
    report: dict[str, list[Finding]] = {}
    if not as_json:
        print(f'daga_mm {__version__} in {Path(__file__).parent}; relative paths start from {Path.cwd()}')
    for title, check in CHECKS.items():
        report[title] = refer_back(examine(check), list(chain(*report.values())))
        if not as_json:
            print('', title, *lines(report[title]), sep='\n', flush=True)
    states = [finding.state for found in report.values() for finding in found]
    faults, missing = states.count('fault'), states.count('missing')
    if as_json:
        groups = {title: [asdict(finding) for finding in found] for title, found in report.items()}
        print(json.dumps({'version': __version__, 'faults': faults, 'groups': groups}, indent=2, ensure_ascii=False))
    else:
        print(f'\n{faults or "No"} fault{"s" * (faults != 1)}, {missing} missing, needed for some runs only.')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
