import mmcv.ops
import pytest
import torch
from mmcv.utils import collect_env
from mmcv.utils.ext_loader import check_ops_exist
from mmengine.utils.dl_utils.misc import mmcv_full_available

from ...conftest import REPOSITORY

BOXES = torch.tensor([[0.0, 0, 4, 4, 0.1]])
FEATURES = torch.ones(1, 4, 8, 8)
OTHERS = {
    'nms_rotated': lambda: mmcv.ops.nms_rotated(BOXES, torch.ones(1), 0.5),
    'nms_match': lambda: mmcv.ops.nms_match(BOXES, 0.5),
    'box_iou_rotated': lambda: mmcv.ops.box_iou_rotated(BOXES, BOXES),
    'roi_pool_forward': lambda: mmcv.ops.RoIPool(2)(FEATURES, BOXES),
    'softmax_focal_loss_forward': lambda: mmcv.ops.softmax_focal_loss(torch.ones(1, 3), torch.tensor([1])),
    'masked_im2col_forward': lambda: mmcv.ops.MaskedConv2d(4, 2, 3, padding=1)(FEATURES, torch.ones(1, 8, 8)),
}


@pytest.mark.parametrize('operator', OTHERS)
def test_other_operators_name_themselves_and_the_cure_when_called(operator):
    with pytest.raises(NotImplementedError, match=f'{operator}.*tools/build_mmcv.sh'):
        OTHERS[operator]()
    assert (REPOSITORY / 'tools' / 'build_mmcv.sh').is_file()


def test_what_the_mm_packages_ask_of_the_extension():
    assert check_ops_exist() and mmcv_full_available()
    assert 'daga_mm.compat' in collect_env()['MMCV Compiler']
