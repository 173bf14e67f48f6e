"""Train one of the small trunks: vision transformers of DINOv3's architecture that learn to name things.

    python demo/train_trunk.py scenes                      # 35 minutes on one CPU core: trunk/vit_scenes.safetensors
    python demo/train_trunk.py cifar10 --data data/cifar10 # 95 minutes on one CPU core: trunk/vit_cifar10.safetensors

`scenes` sees synthetic portraits of single objects and their names, never a segmentation map, a box or a depth;
`cifar10` sees the training images of CIFAR-10's first six classes (a folder with train/CLASS and test/CLASS). What the
demo and the examples adapt them to is new to them, as ADE20K or COCO are to DINOv3. A real trunk saw 1.7 billion
photographs; nothing that comes out of these says anything about DINOv3. A run that is broken off goes on where it was.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms import v2

from daga_mm.backbones import build_trunk
from daga_mm.backbones.checkpoints import fingerprint

HERE = Path(__file__).parent
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Recipe:
    """What one of the trunks is, and how it is trained."""

    arch: dict[str, Any]
    sizes: tuple[int, ...]  # one per batch, so that the attention works on more grids than one
    augment: Callable[[int], nn.Module]  # size -> transform of one uint8 image
    epochs: int
    batch_size: int
    lr: float
    classes: tuple[str, ...] | None  # those of the folder that are used; None: all
    splits: tuple[str, str]  # folders of training and test images
    data: str  # for the file's metadata


RECIPES = {
    'scenes': Recipe(
        arch=dict(name='dinov3_vits16', patch_size=8, embed_dim=96, depth=8, num_heads=3),
        sizes=(64, 80, 96),
        augment=lambda size: v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.3, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(0.3, 0.3, 0.3, 0.05),
            ]
        ),
        epochs=30,
        batch_size=32,
        lr=1.5e-3,
        classes=None,
        splits=('train', 'val'),
        data='synthetic portraits',
    ),
    'cifar10': Recipe(
        arch=dict(name='dinov3_vits16', patch_size=4, embed_dim=128, depth=6, num_heads=4),
        sizes=(32,),
        augment=lambda size: v2.Compose(
            [v2.RandomCrop(size, padding=4), v2.RandomHorizontalFlip(), v2.ColorJitter(0.3, 0.3, 0.3)]
        ),
        epochs=40,
        batch_size=128,
        lr=1.5e-3,
        classes=('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog'),
        splits=('train', 'test'),
        data='CIFAR-10, the 30,000 training images of airplane, automobile, bird, cat, deer, dog',
    ),
}


class Classifier(nn.Module):
    """The trunk and two linear layers, one on its class token, one on its mean patch.

    The second makes patches tell objects apart, which months of self-supervision do in DINOv3.
    """

    def __init__(self, arch: dict[str, Any], num_classes: int) -> None:
        super().__init__()
        # DINOv3's LayerScale starts at 1e-5, which suits days of training, not minutes.
        self.trunk = build_trunk({**arch, 'init_values': 1.0})
        for block in self.trunk.model.blocks:
            block.attn.fused_attn = False  # on the CPU and at this size, 1.5 to 2.5 times as fast
        self.of_class_token = nn.Linear(self.trunk.embed_dims, num_classes)
        self.of_mean_patch = nn.Linear(self.trunk.embed_dims, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) -> logits (B, classes) of the class token and of the mean patch."""
        tokens, positions = self.trunk.embed(images)
        for index in range(self.trunk.depth):
            tokens = self.trunk.block(index, tokens, positions)
        tokens = self.trunk.norm(tokens)
        patches = tokens[:, self.trunk.num_prefix_tokens :]
        return self.of_class_token(tokens[:, 0]), self.of_mean_patch(patches.mean(dim=1))


def load(folder: Path, names: tuple[str, ...] | None, limit: int | None = None) -> tuple[list[Tensor], Tensor, int]:
    """The images of a folder of class folders, decoded.

    Args:
        folder: It holds a folder of images per class.
        names: The classes to read; None: all.
        limit: Images per class at most.

    Returns:
        uint8 (3, H, W) each; their labels; the number of classes.

    Raises:
        SystemExit: The folder, or one of the classes, is not there or empty.
    """
    from torchvision.io import ImageReadMode, decode_image

    images, labels = [], []
    names = names or tuple(sorted(path.name for path in folder.glob('*') if path.is_dir()))
    for label, name in enumerate(names):
        files = sorted((folder / name).glob('*.*'))[:limit]
        if not files:
            raise SystemExit(f'no images in {folder / name}')
        images += [decode_image(str(file), ImageReadMode.RGB) for file in files]
        labels += [label] * len(files)
    if not names:
        raise SystemExit(f'no class folders in {folder}')
    return images, torch.tensor(labels), len(names)


def normalise(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> float32 with ImageNet's mean and deviation."""
    return v2.functional.normalize(images.float() / 255, MEAN, STD)


def train(recipe: Recipe, args: argparse.Namespace, state_file: Path) -> tuple[Classifier, float]:
    """Train on the first split; returns the model and its accuracy on the second.

    After each epoch all that the next one needs is in ``state_file``, from which a broken run goes on.
    """
    torch.manual_seed(args.seed)
    images, labels, num_classes = load(args.data / recipe.splits[0], recipe.classes, args.per_class)
    test_images, test_labels, _ = load(args.data / recipe.splits[1], recipe.classes, args.per_class)
    model = Classifier(recipe.arch, num_classes)
    decay = [p for p in model.parameters() if p.ndim > 1]
    spared = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{'params': decay, 'weight_decay': 0.05}, {'params': spared, 'weight_decay': 0.0}]
    per_epoch = len(images) // args.batch_size
    optimiser = torch.optim.AdamW(groups, lr=args.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, args.lr, total_steps=args.epochs * per_epoch, pct_start=0.05
    )
    settings = {name: getattr(args, name) for name in ('epochs', 'batch_size', 'lr', 'seed', 'per_class')}
    parts = {'model': model, 'optimiser': optimiser, 'schedule': schedule}
    done = 0
    if state_file.is_file():
        state = torch.load(state_file, weights_only=True)
        if state['settings'] != settings:
            raise SystemExit(f'{state_file} is of a run with other settings, {state["settings"]}: finish or remove it')
        for name, part in parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state['random'])
        done = state['epochs']
        print(f'going on after epoch {done} of {state_file}', flush=True)
    augment = {size: recipe.augment(size) for size in recipe.sizes}
    start, first = time.time(), done
    for epoch in range(done + 1, args.epochs + 1):
        total = 0.0
        order = torch.randperm(len(images))
        for batch in order[: per_epoch * args.batch_size].split(args.batch_size):
            size = recipe.sizes[int(torch.randint(len(recipe.sizes), ()))]
            inputs = normalise(torch.stack([augment[size](images[i]) for i in batch]))
            with torch.autocast('cpu', torch.bfloat16):
                both = model(inputs)
            loss = sum(F.cross_entropy(logits.float(), labels[batch], label_smoothing=0.1) for logits in both) / 2
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        state = {name: part.state_dict() for name, part in parts.items()}
        part_file = state_file.with_suffix('.part')
        torch.save(state | {'random': torch.get_rng_state(), 'epochs': epoch, 'settings': settings}, part_file)
        part_file.replace(state_file)
        shown = f'  accuracy {evaluate(model, test_images, test_labels):.1%}' if epoch % 5 == 0 else ''
        seconds = time.time() - start
        left = seconds / (epoch - first) * (args.epochs - epoch)
        print(
            f'epoch {epoch} of {args.epochs}  loss {total / per_epoch:.3f}{shown}  {seconds:.0f} s, {left:.0f} s left',
            flush=True,
        )
    return model, evaluate(model, test_images, test_labels)


@torch.no_grad()
def evaluate(model: Classifier, images: list[Tensor], labels: Tensor) -> float:
    """Share of the images that the class token names rightly."""
    model.eval()
    right = sum(
        int((model(normalise(torch.stack(images[i : i + 64])))[0].argmax(1) == labels[i : i + 64]).sum())
        for i in range(0, len(images), 64)
    )
    model.train()
    return right / len(labels)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('recipe', choices=RECIPES)
    parser.add_argument('--data', type=Path, help='where the images are; the portraits are drawn if they are not there')
    parser.add_argument('--out', type=Path, help='default: demo/trunk/vit_RECIPE.safetensors')
    parser.add_argument('--per-class', type=int, metavar='N', help='use N images of each class at most')
    parser.add_argument('--epochs', type=int)
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--lr', type=float)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    recipe = RECIPES[args.recipe]
    for name in ('epochs', 'batch_size', 'lr'):
        if getattr(args, name) is None:
            setattr(args, name, getattr(recipe, name))
    args.out = args.out or HERE / f'trunk/vit_{args.recipe}.safetensors'
    if args.data is None and args.recipe != 'scenes':
        parser.error(f'--data: where is {recipe.data}?')
    return args


def main() -> None:
    args = parse_args()
    recipe = RECIPES[args.recipe]
    if args.recipe == 'scenes':
        from scenes import write_imagenet

        # Seed 1 of the generator: the demo's scenes are of seed 0.
        counts = (5000, 600) if args.per_class is None else (14 * args.per_class, 14 * args.per_class)
        args.data = write_imagenet(args.data or HERE / 'data/trunk', *counts, seed=1, size=(128, 128), workers=2)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    state_file = args.out.with_suffix('.resume.pth')
    model, accuracy = train(recipe, args, state_file)
    weights = {key: value.half().contiguous() for key, value in model.trunk.model.state_dict().items()}
    data = recipe.data if args.per_class is None else f'{recipe.data}, {args.per_class} of each at most'
    part = args.out.with_suffix('.part')
    save_file(weights, part, metadata={'format': 'pt', 'accuracy': f'{accuracy:.4f}', 'data': data})
    part.replace(args.out)
    state_file.unlink(missing_ok=True)
    print(f'{args.out}: accuracy {accuracy:.1%}, fingerprint {fingerprint(weights)}')


if __name__ == '__main__':
    main()
