"""Data sets: a name becomes images, or vectors, and labels.

The way of the data, top to bottom::

    catalogue.py        a name leads to a Source: a published set, npz:FILE or folder:DIR
    loading.py          a name becomes a Dataset: open, check, decode
      published/        sets with a name, one module a set or family, each with its SOURCES
      npz.py            npz:FILE, arrays in a NumPy archive; vector_files.py writes one
      folder/           folder:DIR, images in class folders or listed in labels.csv
      plugin_checks.py  sets of other packages (entry points ``bench.datasets``), checked
    readable.py         every file is read once, unreadable images are left out
      images/           images in files: decoding, the survey of all files, the cache
      copies.py         exact copies, counted and named
    resizing.py         another size or other colours, for images in memory
    receipts.py         content hashes of prepared sets, kept to notice a change

Every path ends in the same value, ``Dataset`` (dataset.py), with the account of a folder's files
(file_account.py). ``from_arrays`` (arrays.py) makes one from arrays and checks them.
``integer_pickles.py`` reads labels in files of torch and NumPy, and runs nothing that is in them.
"""

from bench.datasets.arrays import from_arrays
from bench.datasets.catalogue import SCHEMES, check_dataset, find_source, sources
from bench.datasets.dataset import (
    FOUND,
    OUTSIDE,
    UNKNOWN,
    Dataset,
    Images,
    Source,
    stratified_choice,
)
from bench.datasets.images.files import ImageFiles
from bench.datasets.loading import in_memory, load_dataset, open_dataset, warn_of_copies
from bench.datasets.readable import UNREADABLE, read_images
from bench.datasets.resizing import with_donors

__all__ = [
    "FOUND",
    "OUTSIDE",
    "SCHEMES",
    "UNKNOWN",
    "UNREADABLE",
    "Dataset",
    "ImageFiles",
    "Images",
    "Source",
    "check_dataset",
    "find_source",
    "from_arrays",
    "in_memory",
    "load_dataset",
    "open_dataset",
    "read_images",
    "sources",
    "stratified_choice",
    "warn_of_copies",
    "with_donors",
]
