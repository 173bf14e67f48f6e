import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from daga_mm.depth import DPTDepthHead, LinearDepthHead

LINEAR = dict(in_channels=[16, 16], num_bins=8)
DPT = dict(embed_dims=16, channels=8, num_bins=8)


def maps(number: int, height: int = 4, width: int = 6) -> list[torch.Tensor]:
    return [torch.randn(2, 16, height, width) for _ in range(number)]


def samples(truth: torch.Tensor) -> list[SegDataSample]:
    return [SegDataSample(gt_depth_map=PixelData(data=one)) for one in truth]


@pytest.mark.parametrize(('height', 'width'), [(4, 6), (5, 7)], ids=['even', 'odd'])
def test_forward_is_metres_at_the_resolution_of_the_image(height, width):
    for head in (LinearDepthHead(**LINEAR), LinearDepthHead(in_channels=[16], num_bins=None), DPTDepthHead(**DPT)):
        head.init_weights()
        depth = head(maps(len(head.in_index), height, width))
        assert depth.shape == (2, 1, 16 * height, 16 * width)
        assert depth.min() >= 1e-3 and depth.max() <= 10 and depth.std() > 0


def test_the_linear_head_is_norm_convolution_and_bins_of_the_maps_side_by_side():
    head = LinearDepthHead(**LINEAR, patch_size=1).eval()
    head.norm.running_mean.normal_()
    x = maps(2)
    side_by_side = (torch.cat(x, dim=1) - head.norm.running_mean.view(1, -1, 1, 1)) / (1 + head.norm.eps) ** 0.5
    logits = torch.einsum('bchw,nc->bnhw', side_by_side, head.conv_seg.weight[:, :, 0, 0])
    logits = logits + head.conv_seg.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(head(x), head.to_depth(logits), rtol=1e-4, atol=1e-4)


def test_dpt_reads_all_four_maps_and_uses_every_parameter():
    head = DPTDepthHead(**DPT)
    x = [m.requires_grad_() for m in maps(4)]
    head(x).sum().backward()
    assert all(m.grad.abs().max() > 0 for m in x)
    assert [name for name, p in head.named_parameters() if p.grad is None] == []
    assert [project.conv.out_channels for project in head.reassemble_blocks.projects] == [2, 4, 8, 16]


def test_only_readings_within_the_range_train():
    truth = torch.full((2, 1, 60, 90), 3.0)  # the padding up to whole patches, 64 × 96, has no truth
    truth[:, :, :30] = torch.tensor([0.0, -1.0, 10.0, 77.0, float('inf')]).repeat(18)
    truth[:, :, 30] = 1e-3
    depth = (torch.rand(2, 1, 64, 96) * 9 + 0.5).requires_grad_()
    head = LinearDepthHead(**LINEAR, loss_decode=[dict(type='daga_mm.SigLogLoss', warm_up_iters=0)])
    losses = head.loss_by_feat(depth, samples(truth))
    assert set(losses) == {'loss_siglog'}
    losses['loss_siglog'].backward()
    assert depth.grad[:, :, 31:60, :90].abs().min() > 0
    depth.grad[:, :, 31:60, :90] = 0
    assert depth.grad.abs().max() == 0


def test_losses_of_mmseg_fit_in_and_each_is_named():
    losses = [dict(type='mmseg.SiLogLoss'), dict(type='daga_mm.SigLogLoss'), dict(type='daga_mm.DepthGradientLoss')]
    head = LinearDepthHead(**LINEAR, loss_decode=losses)
    found = head.loss_by_feat(torch.rand(2, 1, 64, 96) + 1, samples(torch.rand(2, 1, 64, 96) + 1))
    assert set(found) == {'loss_silog', 'loss_siglog', 'loss_gradient'}
    assert all(loss.isfinite() and loss > 0 for loss in found.values())


def test_truth_beyond_the_maps_is_an_error():
    with pytest.raises(ValueError, match='depth of 65×96 pixels for maps of 64×96'):
        LinearDepthHead(**LINEAR).loss_by_feat(torch.ones(1, 1, 64, 96), samples(torch.ones(1, 1, 65, 96)))
