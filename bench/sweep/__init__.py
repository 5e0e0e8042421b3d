"""Sweeps: many trials over Ray Tune, through any failure. The only room that imports Ray.

Ray Tune hands out the work. Everything that has to last is in our own records, which the driver
writes from the workers' messages. Tune's state is thrown away: after any crash the same command
reads the records, runs what is missing, and goes on from each trial's own checkpoint.

    run             sweep from start to end
    driver          assigns work to workers, and writes their results to disk
    embedding       images to features on the workers of a cluster
    work            pieces of work, their resources, and observers of their progress
    encoders        pretrained encoders, on disk and shared with workers
    messages        messages of a worker to the driver, a type each
    worker          does one piece of work after another, and reports
    tuner           Ray Tune, and the driver's hooks in it
    cluster         machines of a cluster: trials that fit, and their use
    session         start of Ray, or connection to a cluster, and end
    address         joining of an existing cluster
    stopping        early stopping within searches, by Ray Tune's schedulers
    object_store    size of Ray's object store
    environment     environment variables that Ray reads
    private         private names of Ray, each with what breaks when it changes
    provenance      sweep.json
    trackers        copies of the records for --track
    tracker_clients clients of TensorBoard, MLflow and Weights & Biases
"""
