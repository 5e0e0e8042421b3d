"""How fast this package is, against the same computation in the style of authors' codes.

python -m bench.speed data --json speed.json

Both sides run in turn, in one process or in processes that it starts, with as many threads; before
the clock starts, they are checked to compute the same thing.
"""
