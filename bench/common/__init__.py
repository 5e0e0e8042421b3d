"""Helpers that several rooms share, without a word on labels, images or training.

========= ======================================================================================
files     files that are whole or absent, and strict JSON
identity  id of a trial, as a hash of its specification
importing search path: this package's folders before a user's of the same name
pages     pages of HTML that open from disk: a template, and data that stands safely in it
plugins   code of other packages: entry points, imports, and errors that name their file
progress  progress of long loops, silent unless a command shows it
text      text from outside, made fit to be shown or stored
version   version and git commit of the code
========= ======================================================================================
"""
