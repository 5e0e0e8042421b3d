"""How fast this package is, against the same computation in the style of authors' codes.

python -m bench.speed data --json speed.json

One file a part. Both sides run in one process, in turn, with as many threads; before the clock starts, they are checked to
compute the same thing.
"""
