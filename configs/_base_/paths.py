# Where data sets and weights are: the one place. Change a path for good here, for a shell by its environment variable
# (ADE20K_ROOT=/data/ade), for a run of our tools by its name (--cfg-options ade20k_root=/data/ade).
# `python -m daga_mm.doctor` says what it finds there.
ade20k_root = '{{$ADE20K_ROOT:data/ade/ADEChallengeData2016}}'
coco_root = '{{$COCO_ROOT:data/coco}}'
nyu_root = '{{$NYU_ROOT:data/nyu}}'
imagenet_root = '{{$IMAGENET_ROOT:data/imagenet}}'
imagenet_c_root = '{{$IMAGENET_C_ROOT:data/imagenet-c}}'
imagenet_a_root = '{{$IMAGENET_A_ROOT:data/imagenet-a}}'
imagenet_r_root = '{{$IMAGENET_R_ROOT:data/imagenet-r}}'
cifar10_root = '{{$CIFAR10_ROOT:data/cifar10}}'
cifar100_root = '{{$CIFAR100_ROOT:data/cifar100}}'
camvid_root = '{{$CAMVID_ROOT:data/camvid}}'
pennfudan_root = '{{$PENNFUDAN_ROOT:data/pennfudan}}'
dinov3_checkpoints = '{{$DINOV3_CHECKPOINTS:checkpoints}}'
