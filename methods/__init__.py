"""One file per method; the file's name is the method's name.

A file dropped here is found, and nothing else is needed.
"""
