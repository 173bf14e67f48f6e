"""mmcv's compiled operators, on torchvision and plain PyTorch. ``extension`` lists them."""
