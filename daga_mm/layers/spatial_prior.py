"""The convolutional stem that gives a plain ViT detail finer than its patches."""

from collections.abc import Callable

from torch import Tensor, nn


def _conv(in_channels: int, out_channels: int, stride: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        norm(out_channels),
        nn.ReLU(inplace=True),
    )


class SpatialPrior(nn.Module):
    """Image -> four maps at strides 4, 8, 16, 32, after the spatial prior module of ViT-Adapter (arXiv:2205.08534).

    Args:
        inplanes: Channels after the stem; deeper stages have twice and four times as many.
        embed_dims: Channels D of all four outputs.
        norm: Normalisation, called with the number of channels. Synchronised batch norm is plain batch norm in
            a single process, and mmengine turns it into that on the CPU.
    """

    def __init__(
        self, inplanes: int = 64, embed_dims: int = 384, norm: Callable[[int], nn.Module] = nn.SyncBatchNorm
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv(3, inplanes, 2, norm),
            _conv(inplanes, inplanes, 1, norm),
            _conv(inplanes, inplanes, 1, norm),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.ModuleList(
            [
                _conv(inplanes, 2 * inplanes, 2, norm),
                _conv(2 * inplanes, 4 * inplanes, 2, norm),
                _conv(4 * inplanes, 4 * inplanes, 2, norm),
            ]
        )
        self.projections = nn.ModuleList(
            nn.Conv2d(channels, embed_dims, 1) for channels in (inplanes, 2 * inplanes, 4 * inplanes, 4 * inplanes)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W), H and W multiples of 32 -> four maps (B, D, H/s, W/s) for s = 4, 8, 16, 32."""
        maps = [self.stem(images)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return tuple(project(m) for project, m in zip(self.projections, maps, strict=True))
