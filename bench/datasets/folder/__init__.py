"""Folder of the user's own images: ``folder:DIR``.

::

    loader.py         the folder becomes a Dataset; classes, test images and sizes are settled
    class_folders.py  images in class folders, perhaps below folders of splits
    listed_images.py  images that labels.csv lists
    labels_csv.py     reader of labels.csv
    names.py          names of classes and splits
    contents.py       images with labels, and the reasons for files that are passed over
    file_walk.py      every file below a folder, links followed once
    image_formats.py  recognition of image files
"""
