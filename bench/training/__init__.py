"""Training: a specification and a data set become the outcome of one trial, without Ray.

Modules in the order in which a trial meets them:

trial       the way of one trial: ``run_trial``
isolation   settings and threads of the process, as if it were new
memory      peak memory, and memory that the C library keeps
loop        setup, epochs and restarts: ``Run``
data        labels and pixels, the training samples in a random order
seeds       seeds that do not reveal the noise
pixels      images on the device; ``stream`` decodes those that do not fit into memory
pretrain    SimSiam pretraining; ``encoders`` holds its results, and their files
graphs      steps as CUDA graphs
evaluation  predictions and figures of each epoch
checks      rules that predictions obey
scoring     scores against the true labels
checkpoint  the state of a trial on disk; ``storage`` holds it, in a folder or on S3
outcome     facts of done.json, per-sample results, final weights
build       machine and libraries of this process
failures    errors of the method or of the machine
"""
