"""Audit of labels: from features, labels and trials to a list of labels that are probably wrong.

::

    audit.py   the result: the type that all files are written from
"""
