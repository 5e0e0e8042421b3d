"""A sweep: many trials over Ray Tune. The only part of this package that imports Ray.

Ray Tune hands out the work; everything that has to last is in our own records, which the driver
writes from what trials report. Tune's state is thrown away: after any crash the same command reads
the records, runs what is missing, and goes on from each trial's own checkpoint.

    run          a sweep from start to end: what is missing, and what became of it
    driver       what is handed out, and what is written down of what comes back
    work         the pieces of work, and what a sweep is told of resources and tells its observer
    tuner        Ray Tune, and the driver's hooks in it
    worker       what a worker's process does
    session      Ray itself: started, joined, counted, ended
    address      clusters that are there already
    environment  what Ray has to be told before it is imported
    private      names of Ray that its documentation does not promise
    provenance   sweep.json: where the records come from
    domains, stopping   what tuning borrows of Ray Tune: ranges, schedulers
"""
