"""Speed of this package against the same computation in the style of authors' codes.

``measure`` times two sides in turn. Each part is a module that first checks that both sides
compute the same thing: ``data``, ``networks``, ``pieces``, ``epochs`` (with
``authors`` and their base, ``reference``), ``searches``, ``overhead`` and ``methods``. ``sessions``
repeats one epoch of a trial. ``throughput`` is a command of its own: ``driver`` measures sweeps
without training.
"""
