"""Epochs as authors' codes run them: a file for each method that has one, with the method's name
and a ``Reference`` in it.
"""
