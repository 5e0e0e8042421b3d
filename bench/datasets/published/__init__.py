"""Published data sets, one module a set or family.

Each module of sets has a dictionary ``SOURCES``, name -> Source, and a line in ``PUBLISHED`` of
``catalogue.py``. Sets that torchvision or scikit-learn know are downloaded or come with it
(``torchvision_sets`` has the download); sets of photographs from the web are read in the layout in
which their authors publish them, with the helpers of ``web``, and nothing is downloaded.
"""
