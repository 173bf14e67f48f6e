# Penn-Fudan pedestrians as tools/dataset_converters/pennfudan.py writes them, one class with masks: all of a detection
# config but model, optimiser and schedule. 120 images to train, 50 to test.
_base_ = [
    './dinov3.py',
    './runtime.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/default_runtime.py',
]
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[2]['scale'] = test_pipeline[1]['scale'] = (640, 480)  # Resize's; the images are 480×380 in the middle

pennfudan = dict(
    data_root=_base_.pennfudan_root,
    data_prefix=dict(img='images/'),
    metainfo=dict(classes=('person',), palette=[(220, 20, 60)]),
)
train_dataloader = dict(
    batch_size=4,
    sampler=dict(type='daga_mm.DefaultSampler'),
    dataset=dict(ann_file='annotations/instances_train.json', pipeline=train_pipeline, **pennfudan),
)
val_dataloader = dict(
    dataset=dict(ann_file='annotations/instances_test.json', pipeline=test_pipeline, **pennfudan),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=_base_.pennfudan_root + '/annotations/instances_test.json')
test_evaluator = val_evaluator
