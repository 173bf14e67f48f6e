# Full fine-tuning.
model = dict(backbone=dict(adapter=None, frozen=False))
seeds = 3
