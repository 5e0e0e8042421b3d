"""Images in files: decoding, the survey of all files of a set, and the cache of decoded images.

::

    files.py          ImageFiles, images that stay in their files, read like an array's first axis
    decoding.py       one file becomes a square of uint8 pixels
    depth.py          values of more than 8 bits, scaled by the range of the data set
    damage.py         BrokenImage: reading bytes and Pillow's errors, one error for all damage
    survey.py         every file read once: digests, extremes, damage
    decoded_cache.py  all images decoded once, in one memory-mapped array
    cache_folder.py   where caches are
"""
