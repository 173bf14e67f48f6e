# Full fine-tuning: the trunk at a tenth of the head's rate, with layer decay.
model = dict(backbone=dict(adapter=None, frozen=False))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.95, custom_keys={'backbone.trunk': dict(lr_mult=0.1)}))
seeds = 3
