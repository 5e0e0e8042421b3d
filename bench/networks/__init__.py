"""Networks, and the images that they are given.

backbones      bodies with a linear head, by name: ``build_network``
bfloat16       layers that round as bfloat16 units do, for CPUs without such units
cpu            name and units of the processor
augment        augmentations as batched tensor code; weak and strong views
auto_augment   AutoAugment's policy for CIFAR-10 and its operations, for strong views
"""
