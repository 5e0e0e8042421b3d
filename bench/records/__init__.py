"""Records: the files of trials, typed.

schema   every JSON key and status, as typed structs
writer   writing, by one driver at a time
trials   reading
archive  records.tar.gz in the place of a folder
publish  records.tar.gz of a sweep, for a board
epochs   reading of epochs.jsonl
packing  classes of many images as a short text
index    columns of a large sweep, for the next report
curves   other people's curves: a CSV file, checked
imports  records of such curves
merge    records of several folders as one
code     hashes of the code that made a record, compared
build    machine and libraries that computed it
verdict  what bench.verify has checked of a sweep's records, as a file beside them
"""
