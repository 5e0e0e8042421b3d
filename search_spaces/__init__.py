"""One file per method, with the ranges that tuning draws from.

A file has a dictionary SPACE, or a function space(draw) where a range depends on another draw.
"""
