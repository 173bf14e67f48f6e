"""Transfer of the small CIFAR trunk to the four classes that it never saw: one method, one seed, one learning rate."""

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from costs.meter import PeakMemory, seconds
from rivals import add_bottlenecks, add_lora, add_prompts, train_biases
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import normalize, pil_to_tensor

from daga_mm.backbones import DAGAViT
from daga_mm.engine import AtomicBackend
from daga_mm.evaluation import knn_classify

from .forms import GuidanceForm
from .paths import Paths

TRUNK = Path(__file__).parents[3] / 'demo/trunk/vit_cifar10.safetensors'
ARCH = dict(name='dinov3_vits16', patch_size=4, embed_dim=128, depth=6, num_heads=4)
DAGA_CFG = dict(instruction_dim=48, bottleneck_dim=32)  # a third of the defaults, as the trunk's width is
CLASSES = ('frog', 'horse', 'ship', 'truck')
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VALIDATION = 2000  # training images on which rates are chosen and curves are drawn, and no run is trained
TRAINING = 3000  # images of a run, drawn from the other 18,000 by its seed
WATCHED = 1000  # of these, for curves
CORRUPTED = 200  # test images that are corrupted, in 15 ways and 5 severities each
BATCH = 64
PROMPTS = 16

PLACES = {'hourglass': (1, 2, 4, 5), 'all': (0, 1, 2, 3, 4, 5), 'last': (5,)}
METHODS = {
    'linear': 'a linear layer on [class token; mean patch], as all the others have it',
    'daga': 'DAGA behind blocks 1 2 4 5, the hourglass',
    'daga_all': 'DAGA behind every block',
    'daga_last': 'DAGA behind the last block',
    'lora': 'LoRA (peft) on the attention of every block, of the size of DAGA',
    'bottleneck': "AdaptFormer's bottlenecks beside every MLP, of the size of DAGA",
    'bitfit': "BitFit: the trunk's biases",
    'prompts': f'{PROMPTS} visual prompts in every block',
    'full': 'full fine-tuning',
}

SECONDS = dict.fromkeys(METHODS, 130) | {'linear': 60, 'daga_last': 70}  # of a run, about


class Images:
    """Images (N, 3, 32, 32), uint8, and their labels (N,)."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, places: Any) -> 'Images':
        return Images(self.images[places], self.labels[places])

    def to(self, device: str) -> 'Images':
        return Images(self.images.to(device), self.labels.to(device))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(self.images.split(size), self.labels.split(size), strict=True)


@cache
def read(root: Path, split: str) -> Images:
    """The four classes of one split of CIFAR-10, in an order that mixes them and never changes.

    Raises:
        FileNotFoundError: The folder, or one of the classes, is not there.
    """
    absent = [name for name in CLASSES if not any((root / split / name).glob('*.*'))]
    if absent:
        raise FileNotFoundError(
            f'no images in {root / split / absent[0]}: set CIFAR10_ROOT to a folder with train/CLASS and test/CLASS, '
            'as tools/dataset_converters/cifar.py writes it'
        )
    folder = ImageFolder(str(root / split))
    wanted = [(path, CLASSES.index(name)) for path, _ in folder.samples if (name := Path(path).parent.name) in CLASSES]
    pictures = torch.stack([pil_to_tensor(folder.loader(path)) for path, _ in wanted])
    order = torch.randperm(len(wanted), generator=torch.Generator().manual_seed(0))
    return Images(pictures, torch.tensor([label for _, label in wanted]))[order]


def build(method: str, daga: dict[str, Any], seed: int) -> nn.Module:
    """The trunk, adapted by a method, and a linear layer on [class token; mean patch].

    Args:
        method: One of METHODS.
        daga: Changes to the arguments of GuidanceForm.
        seed: Of the weights that are added.
    """
    torch.manual_seed(seed)
    settings: dict[str, Any] = dict(
        arch=ARCH, out_indices=(-1,), out_type='cls_avg', init_cfg=dict(type='Pretrained', checkpoint=str(TRUNK))
    )
    if method.startswith('daga'):
        places = PLACES[method.partition('_')[2] or 'hourglass']
        options: dict[str, Any] = {'daga_layers': places, **daga}
        options['daga_cfg'] = DAGA_CFG | options.get('daga_cfg', {})
        backbone: DAGAViT = GuidanceForm(**settings, **options)
    else:
        backbone = DAGAViT(**settings, daga_layers=(), frozen=method != 'full')
    backbone.init_weights()
    for block in backbone.trunk.model.blocks:
        block.attn.fused_attn = False  # on the CPU and at this size, 1.5 to 2.5 times as fast
    with torch.device('meta'):
        daga_vit = DAGAViT(ARCH, daga_layers=PLACES['hourglass'], daga_cfg=DAGA_CFG)
        size = sum(p.numel() for p in daga_vit.adapters.parameters())
    if method == 'lora':
        add_lora(backbone, size)
    elif method == 'bottleneck':
        add_bottlenecks(backbone, size)
    elif method == 'bitfit':
        train_biases(backbone)
    elif method == 'prompts':
        add_prompts(backbone, PROMPTS)
    torch.manual_seed(seed)  # the same head, whatever was drawn before
    head = nn.Linear(2 * backbone.embed_dims, len(CLASSES))
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    return nn.ModuleDict({'backbone': backbone, 'head': head})


def prepared(images: Tensor) -> Tensor:
    """Images as they come, uint8 (B, 3, 32, 32) -> as the trunk wants them, float32."""
    return normalize(images.float() / 255, list(MEAN), list(STD))


def logits(model: Any, images: Tensor) -> Tensor:
    """Prepared images (B, 3, 32, 32) -> (B, 4)."""
    (features,) = model['backbone'](images)
    return model['head'](features)


@torch.no_grad()
def accuracy(model: Any, data: Images) -> float:
    """Share of right answers, in percent."""
    model.eval()
    right = sum(
        int((logits(model, prepared(images)).argmax(1) == labels).sum()) for images, labels in data.batches(250)
    )
    return 100 * right / len(data)


def augment(images: Tensor, random: torch.Generator) -> Tensor:
    """A random crop of each image with a border of 4 black pixels, and a random flip: (B, 3, 32, 32)."""
    bordered = F.pad(images, (4, 4, 4, 4))
    places = torch.randint(9, (len(images), 2), generator=random).tolist()
    crops = torch.stack([image[:, y : y + 32, x : x + 32] for image, (y, x) in zip(bordered, places, strict=True)])
    flip = torch.rand(len(images), generator=random) < 0.5
    crops[flip] = crops[flip].flip(3)
    return crops


def shuffled_batches(data: Images, random: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch of batches in random order, augmented; images that do not fill a batch are left out."""
    order = torch.randperm(len(data), generator=random)[: len(data) // BATCH * BATCH]
    for batch in order.split(BATCH):
        yield augment(data.images[batch], random), data.labels[batch]


def drawn(paths: Paths, seed: int, on: str = 'test') -> tuple[Images, Images, torch.Generator]:
    """A run's training images, the images it is evaluated on, and the source of its random numbers."""
    everything = read(paths.cifar, 'train').to(paths.device)
    validation, rest = everything[:VALIDATION], everything[VALIDATION:]
    random = torch.Generator().manual_seed(seed)
    training = rest[torch.randperm(len(rest), generator=random)[:TRAINING]]
    return training, validation if on == 'validation' else read(paths.cifar, 'test').to(paths.device), random


def optimiser_of(model: nn.Module, lr: float, steps: int) -> tuple[Any, Any]:
    """AdamW with a decay of 0.05 on matrices, and a rate that rises for a twentieth of the steps, then falls to 0."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {'params': [p for p in trained if p.ndim > 1], 'weight_decay': 0.05},
        {'params': [p for p in trained if p.ndim <= 1], 'weight_decay': 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, lr, total_steps=steps, pct_start=0.05, cycle_momentum=False
    )
    return optimiser, schedule


def train_step(model: Any, images: Tensor, labels: Tensor, optimiser: Any) -> float:
    """One step on prepared images; returns the loss.

    Raises:
        FloatingPointError: The loss is not finite.
    """
    loss = F.cross_entropy(logits(model, images), labels)
    if not loss.isfinite():
        raise FloatingPointError('the loss is not finite')
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


def run(
    paths: Paths,
    method: str,
    seed: int,
    lr: float,
    epochs: int,
    on: str = 'test',
    curve: bool = False,
    corrupted: bool = False,
    **daga: Any,
) -> dict[str, Any]:
    """Train one model and measure it.

    Args:
        paths: Where the images are.
        method: One of METHODS.
        seed: Of the training images drawn, their order and augmentation, and the initial weights.
        lr: The largest learning rate, of everything that is trained.
        epochs: Over the training images.
        on: 'test', or 'validation' for the choice of a learning rate.
        curve: Look at the first validation images after each epoch.
        corrupted: Look at the corrupted test images, too.
        **daga: Changes to the arguments of GuidanceForm, for the methods of DAGA.

    Returns:
        ``score``, the accuracy in percent, ``trained`` parameters, ``peak_mb`` of training, ``train_seconds``; of DAGA
        on the test images ``gates``, and of one with its own maps ``other_maps``, the accuracy of the same weights when
        other images' maps or constant ones guide them; what was asked for: ``curve``, accuracies after each epoch, and
        ``corrupted``, accuracies by corruption and severity.
    """
    data, evaluated, random = drawn(paths, seed, on)
    watched = read(paths.cifar, 'train')[:WATCHED].to(paths.device) if curve else None
    meter = PeakMemory(paths.device)
    model: Any = build(method, daga, seed).to(paths.device)
    optimiser, schedule = optimiser_of(model, lr, epochs * (len(data) // BATCH))
    accuracies, spent, peak = [], 0.0, 0.0

    def epoch() -> None:
        for images, labels in shuffled_batches(data, random):
            train_step(model, prepared(images), labels, optimiser)
            schedule.step()

    for _ in range(epochs):
        model.train()
        spent += seconds(epoch, paths.device)
        peak = peak or meter.mb()  # of training, before anything is evaluated in larger batches
        if watched:
            accuracies.append(accuracy(model, watched))
    found: dict[str, Any] = dict(
        score=accuracy(model, evaluated),
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        train_seconds=spent,
        peak_mb=peak,
    )
    if on == 'test' and method.startswith('daga'):
        found['gates'] = gates(model['backbone'], evaluated.images[:250])
        if model['backbone'].maps == 'real':
            found['other_maps'] = without_its_maps(model['backbone'], lambda: accuracy(model, evaluated))
    if curve:
        found['curve'] = accuracies
    if corrupted:
        found['corrupted'] = {
            name: accuracy(model, Images(images.to(paths.device), evaluated.labels[: len(images)]))
            for name, images in load_file(paths.corrupted).items()
        }
    return found


def without_its_maps(backbone: GuidanceForm, measure: Callable[[], float]) -> dict[str, float]:
    """What the trained model is worth when others' maps, or none, guide it."""
    own = backbone.maps
    found = {}
    for maps in ('shuffled', 'constant'):
        backbone.maps = maps
        found[maps] = measure()
    backbone.maps = own
    return found


@torch.no_grad()
def gates(backbone: GuidanceForm, images: Tensor) -> dict[str, Any]:
    """Of each DAGA layer: the mixing weight, and mean and deviation of its gates over images, and over patches."""
    seen: dict[str, Tensor] = {}
    handles = []
    for layer, daga in backbone.adapters['layers'].items():
        generator = daga.gate_generator

        def note(module: nn.Module, inputs: tuple, output: Tensor, layer: str = layer) -> None:
            seen[layer] = output.sigmoid() if type(module) is nn.Linear else output  # (B, 1 or h·w, D)

        handles.append(generator.register_forward_hook(note))
    backbone.eval()
    backbone(prepared(images))
    for handle in handles:
        handle.remove()
    return {
        layer: dict(
            mixing=backbone.adapters['layers'][layer].mixing.item(),
            mean=gate.mean().item(),
            over_images=gate.mean(1).std(0).mean().item(),
            over_patches=gate.std(1).mean().item() if gate.shape[1] > 1 else 0.0,
        )
        for layer, gate in seen.items()
    }


def run_knn(paths: Paths, seed: int) -> dict[str, Any]:
    """k-NN (k = 20) on the frozen trunk's class token, with the same training images as the other methods."""
    data, test, _ = drawn(paths, seed)
    backbone = DAGAViT(
        ARCH,
        daga_layers=(),
        out_indices=(-1,),
        out_type='cls_token',
        init_cfg=dict(type='Pretrained', checkpoint=str(TRUNK)),
    )
    backbone.init_weights()
    backbone.to(paths.device).eval()

    @torch.no_grad()
    def features(images: Images) -> Tensor:
        parts = [backbone(prepared(x))[0] for x, _ in images.batches(250)]
        return torch.cat(parts)

    scores = knn_classify(features(data), data.labels, features(test), len(CLASSES), ks=(20,))[20]
    return dict(score=100 * (scores.argmax(1) == test.labels).float().mean().item(), trained=0)


def write_corrupted(paths: Paths) -> None:
    """Corrupt the first test images in all ways and severities of the robustness tool's library, unless they are there.

    It draws for images of 224 pixels; at 32 its corruptions are harsher than those of CIFAR-10-C.

    Raises:
        ModuleNotFoundError: The library is not installed.
    """
    if paths.corrupted.is_file():
        return
    if not find_spec('imagecorruptions'):
        raise ModuleNotFoundError('the corruptions are those of imagecorruptions-imaug: pip install it')
    import imagecorruptions

    images = read(paths.cifar, 'test').images[:CORRUPTED].permute(0, 2, 3, 1).numpy()
    ways = [(name, severity) for name in imagecorruptions.get_corruption_names() for severity in range(1, 6)]
    found = {}
    with ProcessPoolExecutor(mp_context=get_context('spawn')) as pool:
        names, severities = zip(*ways, strict=True)
        for (name, severity), made in zip(
            ways, pool.map(corrupt, [images] * len(ways), names, severities), strict=True
        ):
            found[f'{name} {severity}'] = torch.from_numpy(made).permute(0, 3, 1, 2).contiguous()
            print(f'\rcorrupting: {len(found)} of {len(ways)}', end='', flush=True)
    print()
    AtomicBackend().put(save(found), str(paths.corrupted))


def corrupt(images: np.ndarray, name: str, severity: int) -> np.ndarray:
    """One corruption of images (N, 32, 32, 3), uint8, the same every time."""
    import imagecorruptions

    np.random.seed(severity)  # noqa: NPY002
    made = []
    for number, image in enumerate(images):
        options = {'seed': 1000 * severity + number} if name in ('impulse_noise', 'glass_blur') else {}
        made.append(imagecorruptions.corrupt(image, severity, name, **options))
    return np.stack(made)


def prices(paths: Paths, rounds: int = 9, steps: int = 4) -> dict[str, Any]:
    """Seconds of an epoch's training steps and of inference on as many images, all methods interleaved.

    Medians over rounds, of `steps` steps each; and medians of the rounds' ratios to full fine-tuning. One thread of the
    CPU, whatever else runs where: a GPU would wait for its next kernel most of the time at this size.
    """
    data = read(paths.cifar, 'train')[: BATCH * steps]
    runs = {}
    for method in METHODS:
        model = build(method, {}, 0)
        runs[method] = (model, *optimiser_of(model, 1e-4, (rounds + 1) * steps))
    spent: dict[str, dict[str, list[float]]] = {name: {'train': [], 'infer': []} for name in METHODS}
    for number in range(rounds + 1):
        for method, (model, optimiser, schedule) in runs.items():
            model.train()
            start = time.perf_counter()
            for images, labels in data.batches(BATCH):
                train_step(model, prepared(images), labels, optimiser)
                schedule.step()
            middle = time.perf_counter()
            accuracy(model, data)
            if number:  # the first is a warm-up
                spent[method]['train'].append(middle - start)
                spent[method]['infer'].append(time.perf_counter() - middle)
    epochs = TRAINING / len(data)
    return {
        method: {
            f'{kind}_{name}': value
            for kind, times in both.items()
            for name, value in (
                ('seconds', epochs * statistics.median(times)),
                ('to_full', statistics.median(a / b for a, b in zip(times, spent['full'][kind], strict=True))),
            )
        }
        for method, both in spent.items()
    }
