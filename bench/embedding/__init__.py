"""Embedding: features of all images of a data set by a frozen pretrained network.

::

    embed.py   a Dataset becomes a Dataset with features; images not in the store are embedded
    compute.py batches of images through the network, on this machine
    inputs.py  an image, from its file or an array, becomes the network's input; augmented views
    store.py   vectors by the content of their images, kept in the cache
"""

from bench.embedding.compute import Compute, on_this_machine
from bench.embedding.embed import embed, embedding_seconds, images_to_embed

__all__ = ["Compute", "embed", "embedding_seconds", "images_to_embed", "on_this_machine"]
