"""Ground truth, fed back through the heads of Mask2Former and DINO-DETR, has an AP of 1 and a PQ of 100."""

import pytest
import torch
from mmengine.runner import Runner
from torchvision.ops import box_convert

from daga_mm.cli.config import load_config

from .configs.shrink import shrink
from .conftest import REPOSITORY
from .panoptic_scenes import panoptic_options, write_panoptic

SIZE = (150, 114)  # pixels wide and high
SEEN, PADDED = (300, 228), (320, 256)  # twice that, as the network gets it, and padded to multiples of 32
IMAGES = 2


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    return write_panoptic(tmp_path_factory.mktemp('scenes'), 1, IMAGES, seed=6, size=SIZE)


def runner(name: str, root, work_dir, monkeypatch, **options) -> Runner:
    """Of a test of a small random model on the scenes."""
    monkeypatch.setenv('COCO_ROOT', str(root))
    options |= {
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'test_dataloader.dataset.pipeline.1.scale': SEEN,
        'log_level': 'WARNING',
    }
    return Runner.from_cfg(shrink(load_config(REPOSITORY / f'configs/mmdet/{name}.py', options, str(work_dir))))


def instance_options(names: list[str]) -> dict:
    """The same classes for instances and boxes."""
    options: dict = {
        f'model.{head}.num_things_classes': len(names) for head in ('panoptic_head', 'panoptic_fusion_head')
    }
    options['model.panoptic_head.loss_cls.class_weight'] = [1.0] * len(names) + [0.1]
    return options | {'test_dataloader.dataset.metainfo': dict(classes=names)}


def truth_of_masks(sample, things: int, stuff: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """What a perfect Mask2Former says of a padded image: scores of classes (1, n, C + 1), masks (1, n, H, W)."""
    masks = [torch.from_numpy(mask) for mask in sample.gt_instances.masks.masks]
    labels = sample.gt_instances.labels.tolist()
    if stuff:
        masks.append(torch.as_tensor(sample.gt_sem_seg.sem_seg[0]) == things)
        labels.append(things)
    count, queries = len(labels), 50
    logits = torch.full((queries, *PADDED[::-1]), 20.0)  # of what is padded nothing may be seen
    doubled = torch.stack(masks).repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    logits[:count, : SEEN[1], : SEEN[0]] = 40.0 * doubled - 20
    scores = torch.full((queries, things + stuff + 1), -20.0)
    scores[torch.arange(queries), [*labels, *(queries - count) * [things + stuff]]] = 20.0  # the last one: nothing
    return scores[None], logits[None]


@pytest.mark.parametrize('task', ['panoptic', 'instance'])
def test_masks_come_back(task, coco, tmp_path, monkeypatch):
    options = panoptic_options(coco)
    things = options['test_dataloader.dataset.metainfo']['thing_classes']
    if task == 'instance':
        options = instance_options(things)
    name = f'mask2former_daga-vits16_vitadapter_8xb2-ms-3x_coco-{task}'
    tester = runner(name, coco, tmp_path, monkeypatch, **options)
    seen = []

    def answer(features, samples):
        (sample,) = samples
        assert sample.img_shape == SEEN[::-1] and sample.batch_input_shape == PADDED[::-1]
        assert [tuple(level.shape[2:]) for level in features] == [
            (PADDED[1] // s, PADDED[0] // s) for s in (4, 8, 16, 32)
        ]
        seen.append(sample.img_id)
        return truth_of_masks(sample, len(things), stuff=task == 'panoptic')

    monkeypatch.setattr(tester.model.panoptic_head, 'predict', answer)
    metrics = tester.test()
    assert len(seen) == IMAGES
    assert metrics['coco/bbox_mAP'] == metrics['coco/segm_mAP'] == 1.0
    if task == 'panoptic':
        assert [metrics[f'coco_panoptic/PQ{kind}'] for kind in ('', '_th', '_st')] == [100.0] * 3


def test_boxes_come_back(coco, tmp_path, monkeypatch):
    names = panoptic_options(coco)['test_dataloader.dataset.metainfo']['thing_classes']
    options = {'model.bbox_head.num_classes': len(names), 'test_dataloader.dataset.metainfo': dict(classes=names)}
    tester = runner('dino_daga-vitb16_vitadapter_8xb2-12e_coco', coco, tmp_path, monkeypatch, **options)
    head, seen = tester.model.bbox_head, []

    def answer(hidden_states, references, batch_data_samples, rescale):
        (sample,) = batch_data_samples
        assert sample.img_shape == SEEN[::-1]
        truth = sample.gt_instances
        boxes = torch.zeros(100, 4)  # centre, width and height, in parts of the image
        boxes[: len(truth)] = box_convert(truth.bboxes, 'xyxy', 'cxcywh') / torch.tensor([*SIZE, *SIZE])
        scores = torch.full((100, head.num_classes), -20.0)
        scores[torch.arange(len(truth)), truth.labels] = 20.0
        seen.append(sample.img_id)
        return head.predict_by_feat(scores[None, None], boxes[None, None], [sample.metainfo], rescale)

    monkeypatch.setattr(head, 'predict', answer)
    assert tester.test()['coco/bbox_mAP'] == 1.0 and len(seen) == IMAGES
