"""Epochs of authors' codes: one file a method, with its name and a class ``Authors``."""
