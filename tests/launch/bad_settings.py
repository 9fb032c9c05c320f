"""Inputs that cannot be of the commands that train, prepare and experiment, in the form of `bad_inputs`."""

TRAIN = """
steps in words | --config.train.steps=abc | steps & abc
no steps | --config.train.steps=0 | steps & 0
negative steps | --config.train.steps=-5 | steps & -5
a setting that is not there | --config.train.stepz=3 | stepz & steps
no log | --config.train.log_every=0 | log_every & 0
no saving | --config.train.save_every=0 | save_every & 0
negative sheets | --config.train.sheet_every=-1 | sheet_every & -1
no batch | --config.train.batch_size=0 | batch_size & 0
a batch that does not divide | --config.train.batch_size=12 | batch_size & 12
a batch that is too large | --config.train.batch_size={huge} | batch_size & {huge}
a negative rate | --config.train.learning_rate=-1.0 | learning_rate & -1.0
a rate of NaN | --config.train.learning_rate=nan | learning_rate & nan
an infinite rate | --config.train.learning_rate=inf | learning_rate & inf
a share above 1 | --config.train.warm_share=2.0 | warm_share & 2.0
a share of NaN | --config.train.decay_share=nan | decay_share & nan
no decay of the mean | --config.train.ema_decay=1.0 | ema_decay & 1.0
b2 of NaN | --config.train.adam_b2=nan | adam_b2 & nan
no clipping | --config.train.clip_norm=0.0 | clip_norm & 0.0
a weight decay of NaN | --config.train.weight_decay=nan | weight_decay & nan
a negative weight decay | --config.train.weight_decay=-1.0 | weight_decay & -1.0
sigma_min above sigma_max | --config.train.sigma_min=20.0 | sigma_min & 20.0
sigma_max is infinite | --config.train.sigma_max=inf | sigma_max & inf
zeta is NaN | --config.train.zeta_start=nan | zeta_start & nan
an unknown start | --config.train.warm_up=l3 | warm_up & l3
an unknown sharding | --config.train.sharding=fsdq | fsdq & fsdp
a negative seed | --config.train.seed=-1 | seed & -1
a seed of 32 bits | --config.train.seed=4294967296 | seed & 4294967296
a seed above 64 bits | --config.train.seed={big} | seed & {big}
no such set | --config.data.source=fashion_mnits | fashion_mnits
no such folder | --config.data.source=./nowhere | nowhere
a folder without a dot | --config.data.source=photos | photos & ./photos
an empty folder | --config.data.source={f}/empty | empty & no images
a folder of text | --config.data.source={f}/texts | texts
images of floats | --config.data.source={f}/ones.npz --config.data.split=images | ones.npz & float
no images | --config.data.source={f}/none.npz --config.data.split=images | none.npz & no images
images, truncated | --config.data.source={f}/cut.npz | cut.npz
channels first | --config.data.source={f}/first8.npz --config.data.split=images | first8.npz & channels first
a split that is not there | --config.data.split=val | 'val'
an empty part | --config.data.split=train[5:2] | train[5:2]
a shape of two | --config.data.image_shape=(8,8) | image_shape & (8, 8)
a shape of no channel | --config.data.image_shape=(8,8,0) | (8, 8, 0)
two channels | --config.data.image_shape=(8,8,2) | (8, 8, 2)
a shape of words | --config.data.image_shape=abc | abc
a shape of fractions | --config.data.image_shape=(8.5,8,1) | 8.5
a shape that is huge | --config.data.image_shape=(10000000,10000000,1) | 10000000
blocks of another number | --config.network.unet.blocks=(1,2) | network & (8, 8, 1)
no channels of a head | --config.network.unet.head_channels=0 | network & head_channels
a patch that does not divide | --config.network.unet.patch=3 | network & (8, 8, 1)
a type that is none | --config.network.unet.dtype=flaot | network & flaot
a mean of NaN | --config.network.mean=nan | mean & nan
no deviation | --config.network.std=0.0 | std & 0.0
flipped in words | --config.data.flip=maybe | maybe
the folder is a file | --workdir={f}/notes.txt | notes.txt
the folder has other files | --workdir={f}/photos | photos
the folder is of another command | --workdir={f}/restored | restored & launch.restore
an unknown flag | --workdri=a | workdri & workdir
no flag at all | unexpected | unexpected
"""

PREPARE = """
no such set | --dataset=fashion_mnits | fashion_mnits & fashion_mnist
no name | --dataset= | empty
no set | --source={f}/idx | dataset
a source of another set | --dataset=cifar10 --source={f}/idx | cifar10
no such source | --dataset=fashion_mnist --source={f}/nowhere | nowhere
a folder without the files | --dataset=fashion_mnist --source={f}/photos | photos & train-images
a damaged file | --dataset=fashion_mnist --source={f}/idx | train-images
a file of text | --dataset=fashion_mnist --source={f}/notes.txt | notes.txt
an archive of text | --dataset=fashion_mnist --source={f}/text.npz | text.npz
an archive, truncated | --dataset=fashion_mnist --source={f}/cut.npz | cut.npz
an archive without a split | --dataset=fashion_mnist --source={f}/ones.npz | ones.npz & train
an archive of small images | --dataset=fashion_mnist --source={f}/images.npz | images.npz & 8
an archive of few labels | --dataset=fashion_mnist --source={f}/labels.npz | labels.npz & [1]
an archive of no images | --dataset=fashion_mnist --source={f}/no_train.npz | no_train.npz & no images
a place that is a file | --dataset=fashion_mnist --source={f}/fashion.npz --data_dir={f}/notes.txt | notes.txt
a place elsewhere | --dataset=fashion_mnist --data_dir=gs://sets | gs://sets
a source elsewhere | --dataset=fashion_mnist --source=s3://sets | s3://sets
a version that is not there | --dataset=mnist:9.9.9 | 9.9.9
an unknown configuration | --dataset=lsun/nowhere | nowhere
an unknown flag | --dataste=mnist | dataste & dataset
no flag at all | --dataset=fashion_mnist photos | photos
"""

TOYS = """
no configuration | | configs/toys
no experiment | --config={f}/no_experiment.py | experiment
an unknown experiment | --config={f}/gausian.py | gausian & gaussian
"""

# A name, the experiment, the other arguments and the words.
EXPERIMENTS = """
an unknown setting | gaussian | --config.sampels=3 | sampels & samples
samples in words | gaussian | --config.samples=abc | samples & abc
no samples | gaussian | --config.samples=0 | samples & 0
negative samples | truncated_normal | --config.samples=-1 | samples & -1
too many samples | laplace | --config.samples={huge} | samples & {huge}
no steps | truncated_normal | --config.steps=0 | steps & 0
too many calls | laplace | --config.calls={huge} | calls & {huge}
a rate of NaN | gaussian | --config.rate=nan | rate & nan
a rate of 0 | gaussian | --config.rate=0.0 | rate & 0.0
noise of NaN | gaussian | --config.sigma=nan | sigma & nan
noise of 1e300 | nonlinear | --config.sigma=1e300 | sigma & 1e+300
negative noise | nonlinear | --config.sigma=-0.1 | sigma & -0.1
no images | nonlinear | --config.images=0 | images & 0
more images than there are | nonlinear | --config.images=1000 | images & 1000 & 64
an infinite scale | laplace | --config.scale=inf | scale & inf
no problems | mixture | --config.seeds=0 | seeds & 0
no dimensions | mixture | --config.dimensions=() | dimensions
a dimension of words | mixture | --config.dimensions=('a',) | dimensions & 'a'
a dimension of 0 | mixture | --config.dimensions=(0,80) | dimensions & 0
no dimension | constrained_quadratic | --config.dimension=0 | dimension & 0
no width | constrained_quadratic | --config.learning.width=0 | learning.width & 0
an unknown setting of the learning | constrained_quadratic | --config.learning.widht=8 | widht & width
no data | tomography | --config.data={f}/nowhere.npz | nowhere.npz
data of text | tomography | --config.data={f}/text.npz | text.npz
a negative seed | gaussian | --seed=-1 | seed & -1
a seed above 64 bits | gaussian | --seed={big} | seed & {big}
the output is a file | gaussian | --output={f}/notes.txt | notes.txt
the output has other files | gaussian | --output={f}/photos | photos
the output is of another command | gaussian | --output={f}/trained | trained & launch.train
an unknown flag | gaussian | --resume | resume
no flag at all | gaussian | gaussian | gaussian
"""
