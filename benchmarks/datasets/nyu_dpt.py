# As nyu_linear.py, with DPT.
_base_ = './nyu_linear.py'
benchmark = dict(part='heads', title='NYUv2 depth, DPT', rates_of=None, methods=('frozen', 'daga', 'lora'), seeds=1)
trunk = _base_.trunks['{{$TRUNK:vits14_focus}}']
model = dict(
    decode_head=dict(
        _delete_=True,
        type='daga_mm.DPTDepthHead',
        embed_dims=trunk.embed_dims,
        channels=64,
        patch_size=trunk.patch_size,
        loss_decode=dict(type='daga_mm.SigLogLoss'),
    )
)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
