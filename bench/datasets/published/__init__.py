"""Published data sets, one module a set or family.

Each module has a dictionary ``SOURCES``, name -> Source, which ``catalogue.py`` gathers. Sets that
torchvision or scikit-learn know are downloaded or come with it; sets of photographs from the web
are read in the layout in which their authors publish them, and nothing is downloaded.
"""
