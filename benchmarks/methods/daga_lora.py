# DAGA and LoRA at once, each of half the size.
model = dict(
    backbone=dict(
        adapter=[dict(type='DAGA', layers='all', gate='heads', bottleneck_dim=28), dict(type='LoRA', rank=10)]
    )
)
