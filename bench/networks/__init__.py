"""Networks, and the images that they are given.

backbones             bodies with a linear head, by name: ``build_network``
pretrained            networks of libraries: ``load_pretrained``, ``build_body``
timm_networks         names, settings and weights of timm
torchvision_networks  names, settings and weights of torchvision
library               what these two have in common
weights               files of weights: reading, hashes, downloads
lite0                 key names of a file of EfficientNet-Lite0
body                  images of any side fitted to a network's input
bfloat16              layers that round as bfloat16 units do, for CPUs without such units
cpu                   name and units of the processor
machine               facts of the machine that rounding depends on
augment               augmentations as batched tensor code; weak and strong views
auto_augment          AutoAugment's policy for CIFAR-10 and its operations, for strong views
rand_augment          RandAugment with a range of magnitudes for each operation, for strong views
"""
