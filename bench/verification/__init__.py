"""Checks of an archive of records, from its files alone and by running trials again.

======== ==========================================================================================
records  strict reading of all files of an archive; what cannot be read is a fault
figures  consistency of a record with itself
labels   labels drawn again from a specification, beside those of the record
copies   records of two trials that cannot be equal
again    trials that are run again, and compared with their records
causes   names for records that a new run does not give
checks   all of the above, over an archive
======== ==========================================================================================
"""
