"""Train the demo's trunk: a small vision transformer of DINOv3's architecture that classifies synthetic objects.

    python demo/train_trunk.py            # 40 minutes on two CPU cores; writes demo/trunk/vit_scenes.safetensors

It sees portraits of single objects and their names, never a segmentation map, a box or a depth: what the demo adapts
it to is new to it, as ADE20K or COCO are to DINOv3. A real trunk saw 1.7 billion photographs; nothing that comes
out of this one says anything about DINOv3.
"""

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from daga_mm.backbones import build_trunk
from daga_mm.backbones.checkpoints import fingerprint

HERE = Path(__file__).parent
ARCH = dict(name='dinov3_vits16', patch_size=8, embed_dim=96, depth=8, num_heads=3)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = (64, 80, 96)  # one per batch, so that the attention works on more grids than one


class Classifier(nn.Module):
    """The trunk and two linear layers, one on its class token, one on its mean patch.

    The second makes patches tell objects apart, which months of self-supervision do in DINOv3.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        # DINOv3's LayerScale starts at 1e-5, which suits days of training, not minutes.
        self.trunk = build_trunk({**ARCH, 'init_values': 1.0})
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


def load(folder: Path) -> tuple[list[Tensor], Tensor, list[str]]:
    """All images of a folder of class folders, decoded: uint8 (3, H, W) each, their labels and the classes."""
    data = ImageFolder(str(folder), transform=v2.PILToTensor())
    images, labels = zip(*data, strict=True)
    return list(images), torch.tensor(labels), data.classes


def normalise(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> float32 with ImageNet's mean and deviation."""
    return v2.functional.normalize(images.float() / 255, MEAN, STD)


def train(root: Path, epochs: int, batch_size: int, lr: float, seed: int) -> tuple[Classifier, float]:
    """Train on ``root/train``; returns the model and its accuracy on ``root/val``."""
    torch.manual_seed(seed)
    images, labels, classes = load(root / 'train')
    model = Classifier(len(classes))
    decay = [p for p in model.parameters() if p.ndim > 1]
    spared = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{'params': decay, 'weight_decay': 0.05}, {'params': spared, 'weight_decay': 0.0}]
    steps = epochs * (len(images) // batch_size)
    optimiser = torch.optim.AdamW(groups, lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.05)
    augment = {
        size: v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.3, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(0.3, 0.3, 0.3, 0.05),
            ]
        )
        for size in SIZES
    }
    start = time.time()
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(images))
        for batch in order[: len(images) // batch_size * batch_size].split(batch_size):
            size = SIZES[int(torch.randint(len(SIZES), ()))]
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
        accuracy = evaluate(model, root / 'val') if (epoch + 1) % 5 == 0 or epoch + 1 == epochs else None
        mean = total / (len(images) // batch_size)
        shown = '' if accuracy is None else f'  accuracy {accuracy:.1%}'
        print(f'epoch {epoch + 1} of {epochs}  loss {mean:.3f}{shown}  {time.time() - start:.0f} s', flush=True)
    return model, evaluate(model, root / 'val')


@torch.no_grad()
def evaluate(model: Classifier, folder: Path) -> float:
    """Share of the folder's images that the class token names rightly."""
    images, labels, _ = load(folder)
    model.eval()
    inputs = normalise(torch.stack(images))
    right = sum(
        int((model(x)[0].argmax(1) == y).sum()) for x, y in zip(inputs.split(64), labels.split(64), strict=True)
    )
    model.train()
    return right / len(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, default=HERE / 'data/trunk', help='where the portraits are or go')
    parser.add_argument('--out', type=Path, default=HERE / 'trunk/vit_scenes.safetensors')
    parser.add_argument('--images', type=int, default=5000, help='training portraits (default: 5000)')
    parser.add_argument('--epochs', type=int, default=30)
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--lr', type=float, default=1.5e-3)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()

    from scenes import write_imagenet

    # Seed 1 of the generator: the demo's scenes are of seed 0.
    counts = args.images, min(600, args.images)
    root = write_imagenet(args.data, *counts, seed=1, size=(128, 128), workers=2)
    model, accuracy = train(root, args.epochs, args.batch_size, args.lr, args.seed)
    weights = {key: value.half().contiguous() for key, value in model.trunk.model.state_dict().items()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_suffix('.part')
    save_file(weights, part, metadata={'format': 'pt', 'accuracy': f'{accuracy:.4f}', 'data': 'synthetic portraits'})
    part.replace(args.out)
    print(f'{args.out}: accuracy {accuracy:.1%}, fingerprint {fingerprint(weights)}')


if __name__ == '__main__':
    main()
