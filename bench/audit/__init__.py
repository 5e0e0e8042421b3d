"""Audit of labels: from features, labels and trials to a list of labels that are probably wrong.

In the order of the data:

::

    samples.py    samples of a data set as an audit counts them
    pool.py       all samples with what trials learn from
    trials.py     specifications of the trials, and what their records say of each sample
    estimates.py  order, probability, transition matrix and noise rate
    similar.py    neighbours, duplicates, outliers
    images.py     images that are blank, dark or tiny
    assemble.py   all of it becomes an Audit
    audit.py      the type that all files are written from
    files.py      suspects.csv, weights.csv, summary.json, tasks.json
    report.py     report.md
    page.py       clean.html, with thumbnails.py
    check.py      comparison with true labels and with cleanlab
    decisions.py  decisions of the page, read and checked; reviewed.py turns them into labels
"""
