"""The site: verified boards as static pages that need no network.

======== ==========================================================================================
sources  boards of a folder, each with its verdict, version and origin
overview figures of all boards as one table, and the standing of each method in it
html     text, tables and pages as HTML
pages    contents of the pages
writer   files of the site
======== ==========================================================================================
"""
