"""Commands, and everything that is printed: the only room that touches the terminal.

One module a command: ``run``, ``report``, ``data``, ``noise``, ``study``, ``trial``. They declare
options and import the rest when they are called, so that ``--help`` answers at once.

``python -m bench.run`` goes ``run`` (options) -> ``config`` (options from a file) -> ``request``
(one frozen value) -> ``plan`` (trials and searches) -> ``estimate`` (for ``--dry-run``) or ``sweep``
(``progress`` while it runs, ``tables`` at its end); ``listing`` serves ``--list``. ``recorded`` runs
one trial without Ray.

``commands`` (help, refusals, exit statuses), ``options``, ``values``, ``paths`` and ``terminal``
are shared by all.
"""
