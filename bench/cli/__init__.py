"""Commands, and everything that is printed: the only room that touches the terminal.

One module a command: ``run``, ``report``, ``data``, ``noise``, ``study``, ``trial``, ``ingest``,
``clean``, ``verify``, ``site``. They declare options and import the rest when they are called, so
that ``--help`` answers at once.

The way of ``python -m bench.run``: ``run`` (options), ``config`` (options from a file), ``request``
(all of them as one frozen value), ``plan`` (trials and searches), then ``estimate`` for a dry run,
or ``sweep``, with ``progress`` while it runs and ``tables`` at its end. ``listing`` prints what
``--list`` asks for; ``recorded`` runs one trial without Ray.

``commands`` (help, refusals, exit statuses), ``options``, ``values``, ``paths`` and ``terminal``
are shared by all.
"""
