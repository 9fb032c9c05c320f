"""Inputs that cannot be: for each command a table of its arguments and of the words that the answer holds.

A row is `name | arguments | words`, several words parted by ` & `. The commands are run in the folder {f}, of whose
files `bad_files` has the list; {out} is the folder of the run, which no row may leave behind, {huge} 10^12, {big} 2^63.
"""

from typing import NamedTuple

from bad_settings import EXPERIMENTS, PREPARE, TOYS, TRAIN

# What every row of a command has before its own arguments.
ALWAYS = dict(
    restore="--prior={f}/prior.npz --output={out} --calls=2 --tasks=denoising --images={f}/good.png",
    evaluate="--prior={f}/prior.npz --output={out} --calls=2 --tasks=denoising --images={f}/good.png "
    "--data_dir={f}/sets",
    train="--workdir={out} --data_dir={f}/sets --config.data.source={f}/images.npz --config.data.image_shape=(8,8,1) "
    "--config.train.batch_size=8 --config.network.unet.channels=(8,) --config.network.unet.blocks=(1,) "
    "--config.network.unet.attention=(False,) --config.network.unet.head_channels=8",
    prepare="--data_dir={f}/sets",
    toys="--output={out}",
)

RESTORE = """
no such file | --images=nowhere.png | There is no & nowhere.png
no images in a folder | --images={f}/empty | no images & empty
hidden files alone | --images={f}/hidden | no images & hidden
text as an image | --images={f}/text.png | text.png & None of the 1
an empty file | --images={f}/nothing.png | nothing.png
a link to itself | --images={f}/loop.png | loop.png
an address | --images=gs://bucket/photos | gs://bucket & address
a text file | --images={f}/notes.txt | notes.txt
another size | --images={f}/large.png | large.png & 12 x 10 & --resize
bundled ones of another size | --images=bundled | (64, 32, 32, 1)
images as floats | --images={f}/float.tif | float.tif & 0 to 0.5 & --white
32-bit numbers | --images={f}/int32.tif | int32.tif & 0 to 4095 & --white
white is 0 | --images={f}/int32.tif --white=0 | white & 0
white is negative | --images={f}/int32.tif --white=-5 | white & -5
white is NaN | --images={f}/int32.tif --white=nan | white & nan
white is a word | --images={f}/int32.tif --white=bright | white & bright
an archive without images | --images={f}/x.npz | x.npz & no array `images`
an archive of NaN | --images={f}/nan.npz | nan.npz & NaN
an archive of infinity | --images={f}/inf.npz | inf.npz & infinite
an archive of bytes as floats | --images={f}/bytes.npz | bytes.npz & 0 to 255 & [-1, 1]
an archive of int64 | --images={f}/int.npz | int.npz & int64
an archive of words | --images={f}/words.npz | words.npz & <U5
an archive of objects | --images={f}/object.npz | object.npz
an archive of no images | --images={f}/none.npz | none.npz & no images
an archive, damaged | --images={f}/damaged.npz | damaged.npz
an archive, truncated | --images={f}/cut.npz | cut.npz
an archive of another size | --images={f}/large.npz | large.npz & 12
an archive of one number | --images={f}/scalar.npz | scalar.npz & ()
channels first | --prior={f}/colour.npz --images={f}/first.npz | first.npz & (2, 3, 8, 8) & channels first
channels first, bytes | --prior={f}/colour.npz --images={f}/first8.npz | first8.npz & channels first
grey for colour | --prior={f}/colour.npz --images={f}/ones.npz | ones.npz & (2, 8, 8, 1)
the first beyond the last | --first=5 | --first=5 & 1
a negative first | --first=-1 | first & -1
none at all | --count=0 | count & 0
a count in words | --count=all | count & all
two inputs | --images=a.png --measurement={f}/y.npy | images & measurement
other two inputs | --images=a.png --dataset={f}/images.npz | images & dataset
no such task | --tasks=inpaintng | inpaintng & inpainting
no task | --tasks= | No task
no such benchmark | --tasks=dsp/inpainting | dsp & dps
no such task of it | --tasks=dps/inpaiting | inpaiting
a task of larger images | --tasks=dps/box_inpainting | dps/box_inpainting & 8 x 8
weights that are not here | --tasks=dps/nonlinear_blur | weights
a setting without a value | --setting=hidden | --setting=hidden & NAME=VALUE
a value without a setting | --setting==0.5 | --setting==0.5
a setting that nothing has | --tasks=inpainting --setting=hiden=0.5 | hiden & hidden
hidden in words | --tasks=inpainting --setting=hidden=abc | hidden & abc
hidden above 1 | --tasks=inpainting --setting=hidden=1.5 | hidden & 1.5
hidden below 0 | --tasks=inpainting --setting=hidden=-0.5 | hidden & -0.5
hidden is NaN | --tasks=inpainting --setting=hidden=nan | hidden & nan
hidden is a list | --tasks=inpainting --setting=hidden=[1,2] | hidden & [1, 2]
hidden is None | --tasks=inpainting --setting=hidden=None | hidden & None
shared in words | --tasks=inpainting --setting=shared=maybe | shared & maybe
width in words | --tasks=blur --setting=width=abc | width & abc
width is 0 | --tasks=blur --setting=width=0 | width & 0
width is huge | --tasks=blur --setting=width=1e300 | width & 1e+300
width is NaN | --tasks=blur --setting=width=nan | width & nan
an unknown boundary | --tasks=blur --setting=boundary=abc | boundary & abc
a boundary of a number | --tasks=blur --setting=boundary=3 | boundary & 3
radius is negative | --tasks=blur --setting=radius=-3 | radius & -3
radius is huge | --tasks=blur --setting=radius={huge} | radius & {huge}
truncate in words | --tasks=blur --setting=truncate=far | truncate & far
factor in words | --tasks=super_resolution --setting=factor=abc | factor & abc
factor is 0 | --tasks=super_resolution --setting=factor=0 | factor & 0
factor does not divide | --tasks=super_resolution --setting=factor=3 | factor & 3
factor is a fraction | --tasks=super_resolution --setting=factor=2.5 | factor & 2.5
box in words | --tasks=box_inpainting --setting=box=abc | box & abc
box is a number | --tasks=box_inpainting --setting=box=3 | box & 3
box is short | --tasks=box_inpainting --setting=box=(1,2) | box & (1, 2)
box of words | --tasks=box_inpainting --setting=box=('a','b','c','d') | box & 'a'
box outside | --tasks=box_inpainting --setting=box=(0,0,99,99) | box & 99
size of a blur | --tasks=motion_blur --setting=size=-3 | size & -3
size in words | --tasks=motion_blur --setting=size=abc | size & abc
intensity is NaN | --tasks=motion_blur --setting=size=3 --setting=intensity=nan | intensity & nan
drawn in words | --tasks=motion_blur --setting=drawn=twice | drawn & twice
a seed in words | --tasks=motion_blur --setting=seed=abc | seed & abc
a seed that is negative | --tasks=motion_blur --setting=size=3 --setting=seed=-1 | seed & -1
a seed that is too large | --tasks=motion_blur --setting=size=3 --setting=seed={big} | seed & {big}
angles in words | --tasks=tomography --setting=angles=abc | angles & abc
no angles | --tasks=tomography --setting=angles=0 | angles & 0
an empty list of angles | --tasks=tomography --setting=angles=[] | angles
too many angles | --tasks=tomography --setting=angles={huge} | angles & {huge}
detectors below 0 | --tasks=tomography --setting=detectors=-1 | detectors & -1
too many detectors | --tasks=tomography --setting=detectors={huge} | detectors & {huge}
ratio is NaN | --tasks=compressed_sensing --setting=ratio=nan | ratio & nan
ratio below 1 | --tasks=compressed_sensing --setting=ratio=0.5 | ratio & 0.5
ratio in words | --tasks=compressed_sensing --setting=ratio=abc | ratio & abc
ratio is huge | --tasks=compressed_sensing --setting=ratio=1e300 | ratio & 1e+300
acceleration is 0 | --tasks=fourier_sampling --setting=acceleration=0 | acceleration & 0
acceleration is NaN | --tasks=fourier_sampling --setting=acceleration=nan | acceleration & nan
centre above 1 | --tasks=fourier_sampling --setting=centre=2 | centre & 2
oversampling in words | --tasks=phase_retrieval --setting=oversampling=abc | oversampling & abc
oversampling is huge | --tasks=phase_retrieval --setting=oversampling=1e12 | oversampling & {huge}
gain is NaN | --tasks=saturation --setting=gain=nan | gain & nan
gain in words | --tasks=dynamic_range --setting=gain=abc | gain & abc
one level | --tasks=quantisation --setting=levels=1 | levels & 1
levels in words | --tasks=quantisation --setting=levels=abc | levels & abc
gamma in words | --tasks=nonlinear_blur --setting=gamma=abc | gamma & abc
widths of a number | --tasks=nonlinear_blur --setting=widths=3 | widths & 3
no noise | --sigma=0 | sigma & 0.0
negative noise | --sigma=-1 | sigma & -1.0
noise of NaN | --sigma=nan | sigma & nan
infinite noise | --sigma=inf | sigma & inf
noise of 1e300 | --sigma=1e300 | sigma & 1e+300
noise of 1e-300 | --sigma=1e-300 | sigma & 1e-300
noise in words | --sigma=abc | sigma & abc
noise in words, as a setting | --setting=sigma=abc | sigma & abc
no samples | --samples=0 | samples & 0
negative samples | --samples=-1 | samples & -1
too many samples | --samples=1000000000 | samples & 1000000000
samples in words | --samples=abc | samples & abc
no calls | --calls=0 | calls & 0
too many calls | --calls={huge} | calls & {huge}
calls in words | --calls=2.5 | calls & 2.5
a negative seed | --seed=-1 | seed & -1
a seed above 64 bits | --seed={big} | seed & {big}
a seed of the run in words | --seed=abc | seed & abc
an empty batch | --batch=0 | batch & 0
no prior | --prior=nowhere.npz | nowhere.npz
a prior by a wrong name | --prior=fashion_mnits | fashion_mnits
a prior of text | --prior={f}/text.npz | text.npz
a prior of images | --prior={f}/ones.npz | ones.npz
a prior, truncated | --prior={f}/cut_prior.npz | cut_prior.npz
a prior of proximal diffusion | --prior={f}/timed.npz | timed.npz & TimedProxNet
a prior of NaN | --prior={f}/nan_prior.npz | nan_prior.npz & NaN
a prior that is a folder | --prior={f}/photos.npz | photos.npz
an operator without noise | --operator=denoising | --sigma
the output is a file | --output={f}/notes.txt | notes.txt
the output is below a file | --output={f}/notes.txt/run | notes.txt
the output has other files | --output={f}/photos | photos
the output is of another command | --output={f}/trained | trained & launch.train
the output is damaged | --output={f}/torn | torn
the output is an address | --output=gs://bucket/run | gs://bucket
resumed and overwritten | --output={f}/trained --resume --overwrite | --resume & --overwrite
an unknown flag | --sampels=3 | sampels & samples
no flag at all | photo.png | photo.png
no truth value | --resize=maybe | resize & maybe
no such setting | --config.sampler.cals=3 | cals
the configuration: calls in words | --config.sampler.calls=abc | abc
the configuration: no samples | --config.sampler.samples=0 --samples=0 | samples
the configuration: unknown rows | --config.sampler.setting=sharpe | sharpe
the configuration: noise of NaN | --tasks=blur --config.tasks.blur.sigma=nan | sigma & nan
the configuration: width in words | --tasks=blur --config.tasks.blur.width=abc | width & abc
the configuration: a task of a number | --tasks=blur --config={f}/number_task.py | blur & 3
the configuration: no tasks | --tasks=blur --config={f}/no_tasks.py | tasks
the configuration: no sampler | --tasks=blur --config={f}/no_sampler.py | sampler
the configuration: samples in words | --config={f}/words.py | samples & many
"""

# A name, the measurement, the other arguments and the words.
MEASURED = """
no such file | y0.npy | | There is no & y0.npy
text | text.npy | | text.npy
a text file | notes.txt | | notes.txt
damaged image | text.png | | text.png & image
image of another size | large.png | | large.png & (12, 10, 1) & (8, 8, 1)
an image of no image | good.png | --tasks=compressed_sensing | good.png & (16, 1)
a folder | photos | | photos & folder
all NaN | all_nan.npy | --tasks=inpainting | all_nan.npy & NaN
all NaN, whole | all_nan.npy | | all_nan.npy & NaN
one of two is NaN | second_nan.npy | --tasks=inpainting | second_nan.npy & NaN
1e300 | y1e300.npy | --tasks=inpainting | y1e300.npy & 1e+300
1e300, whole | whole1e300.npy | | whole1e300.npy & 1e+300
infinite | y_inf.npy | | y_inf.npy & infinite
0 to 255 | y255.npy | | y255.npy & 0 to 255 & -1 to 1
0 to 255 with holes | holes255.npy | --tasks=inpainting | holes255.npy & 255
integers | y_int.npy | | y_int.npy & int64
truth values | y_bool.npy | | y_bool.npy & bool
complex | y_complex.npy | | y_complex.npy & complex
words | words.npy | | words.npy & <U5
objects | object.npy | | object.npy
empty | empty.npy | | empty.npy & (0,)
no one | none.npy | | none.npy & no measurement
a number | scalar.npy | | scalar.npy & ()
another shape | y5.npy | | y5.npy & (5, 5, 1) & (8, 8, 1)
channels first | first.npy | --prior={f}/colour.npz | first.npy & (3, 8, 8) & channels first
holes for a blur | holes.npy | | holes.npy & NaN
a mask without holes | y.npy | --tasks=inpainting | y.npy & hides no pixel
a seen pixel is NaN | holes.npy | --operator=mask --sigma=0.1 --setting=seen={f}/all.npy | holes.npy & NaN & seen
no measurement in it | x.npz | | x.npz & no array `measurement`
observed of another shape | observed.npz | --tasks=inpainting | observed.npz & observed & (3, 3)
observed in words | observed_words.npz | --tasks=inpainting | observed_words.npz & observed
two tasks | y.npy | --tasks=saturation,denoising | saturation, denoising
another operator each | y.npy | --tasks=motion_blur --setting=drawn=each --setting=size=3 | motion_blur & draws
the first beyond the last | y.npy | --first=3 | --first=3
"""

# A name, the operator, its settings and the words.
OPERATORS = """
a kernel that is not there | circular_blur | --setting=kernel=k0.npy | k0.npy
a kernel of text | circular_blur | --setting=kernel={f}/text.npy | text.npy
a kernel in words | circular_blur | --setting=kernel=abc | kernel & abc
a kernel of NaN | circular_blur | --setting=kernel={f}/all_nan.npy | kernel & NaN
a kernel of another rank | circular_blur | --setting=kernel={f}/scalar.npy | kernel & ()
a kernel that is black | circular_blur | --setting=kernel={f}/black.png | black.png
a kernel of two arrays | circular_blur | --setting=kernel={f}/two.npz | two.npz & a, b
a kernel that is no image | circular_blur | --setting=kernel={f}/text.png | text.png
an image as angles | radon | --setting=angles={f}/good.png | angles & good.png
a mask of another shape | mask | --setting=seen={f}/y5.npy | mask & (5, 5, 1)
a mask of no pixel | mask | --setting=seen={f}/zeros.npy | mask & nothing
a mask of greys | mask | --setting=seen={f}/good.png | mask & good.png
a mask in words | mask | --setting=seen=abc | abc
no mask | mask | | seen
too many measurements | gaussian_sensing | --setting=count={huge} | count & {huge}
no measurements | gaussian_sensing | --setting=count=0 | count & 0
weights of text | nonlinear_blur | --setting=weights={f}/notes.txt | notes.txt
no such operator | gausian_blur | | gausian_blur & gaussian_blur
no such module | my_moduel:make | | my_moduel
no name of a module | :make | | :make
a file in place of a module | mine.py:make | | mine.py & mine:make
no such function | mine:mak | | mak & make
no name of a function | mine: | | mine
a broken module | broken:make | | broken & SyntaxError
a module that ends Python | leaves:make | | leaves & SystemExit
a failing module | fails:make | | fails & ZeroDivisionError & line 2
a factory that divides by 0 | mine:divides | | mine:divides & ZeroDivisionError & line
a factory that ends Python | mine:leaves | | mine:leaves & SystemExit
a factory that says much | mine:talks | | mine:talks & first of many lines
a factory that says nothing | mine:silent | | mine:silent & RuntimeError
a factory of no operator | mine:nothing | | mine:nothing & NoneType
a factory of a number | mine:number | | mine:number & int
a factory that needs more | mine:needs | | mine:needs & strength
a factory without the setting | mine:make | --setting=strength=2 | mine:make & strength
a factory without a key | mine:make | --setting=drawn=each | mine:make
an operator of another shape | mine:cropped | | mine:cropped & (4, 8, 1)
an operator that jax does not know | mine:unknown | | mine:unknown & pytree
an operator of NaN | mine:gives_nan | | mine:gives_nan: its measurements & NaN
an operator of infinity | mine:gives_inf | | mine:gives_inf & infinite
an operator of NaN, drawn | mine:draws_nan | --setting=drawn=each | mine:draws_nan & NaN
an operator that raises | mine:raises | | mine:raises & KeyError & sensor
an operator that ends Python | mine:ends | | mine:ends & SystemExit
an operator that measures nothing | mine:empty | | mine:empty: it measures nothing
an operator that observes nothing | mine:blind | | mine:blind & nothing
an operator in numpy | mine:in_numpy | | mine:in_numpy & TracerArrayConversionError
an operator with an if | mine:with_if | | mine:with_if
an operator of integers | mine:whole | | mine:whole & int32
an operator of two arrays | mine:pair | | mine:pair & tuple
an operator without end | mine:endless | | mine:endless & RecursionError
an operator of a broken solve | mine:unsolved | | mine:unsolved & solve
"""

CONFIGS = """
no such configuration | --config=nowhere.py | nowhere.py
a configuration of text | --config={f}/text_config.py | text_config.py
a configuration that fails | --config={f}/fails.py | fails.py
a configuration that is none | --config={f}/none_config.py | none_config.py
a configuration without get_config | --config={f}/mine.py | mine.py & get_config
a configuration that ends Python | --config={f}/leaves.py | leaves.py
"""

EVALUATE = """
no such set | --dataset={f}/nowhere.npz | nowhere.npz
no such folder | --dataset=./nowhere | nowhere
no such name | --dataset=fashion_mnits | fashion_mnits & fashion_mnist
an unprepared set | --dataset=mnist | mnist & prepare
no name | --dataset= | empty
a set of text | --dataset={f}/text.npz | text.npz
a set, truncated | --dataset={f}/cut.npz | cut.npz
a set of no images | --dataset={f}/none.npz --split=images | none.npz & no images
a set of floats | --dataset={f}/ones.npz --split=images | ones.npz & float
a set of words | --dataset={f}/words.npz --split=images | words.npz & <U5
a set of one image | --dataset={f}/images.npz --split=one | images.npz & [8, 8]
a set of larger images | --dataset={f}/images.npz --split=large | larger & (12, 12, 1)
a set of colours | --dataset={f}/images.npz --split=colour | 3 channel
channels first | --prior={f}/colour.npz --dataset={f}/first8.npz --split=images | first8.npz & channels first
no such split | --dataset={f}/images.npz --split=val | 'val'
no part | --dataset={f}/images.npz --split=train[50] | train[50]
a part in words | --dataset={f}/images.npz --split=train[:x%] | train[:x%]
an empty part | --dataset={f}/images.npz --split=train[5:2] | train[5:2] & no images
no split | --dataset={f}/images.npz --split= | split
a folder without images | --dataset={f}/empty | empty & no images
a folder of text | --dataset={f}/texts | texts & None of the 1
a split of a folder | --dataset={f}/photos --split=val | 'val' & photos
the first beyond the last | --dataset={f}/images.npz --split=train --first=99 | --first=99
a place of sets that is a file | --dataset={f}/photos --data_dir={f}/notes.txt | notes.txt
a place of sets elsewhere | --dataset={f}/photos --data_dir=gs://sets | gs://sets
images of NaN | --images={f}/nan.npz | nan.npz & NaN
images, truncated | --images={f}/cut.npz | cut.npz
no images | --images={f}/none.npz | none.npz & no images
a measurement of 1e300 | --measurement={f}/whole1e300.npy | 1e+300
no calls | --calls=0 | calls & 0
no noise | --sigma=nan | sigma & nan
an operator that divides by 0 | --operator=mine:divides --sigma=0.1 | mine:divides & ZeroDivisionError
a demo | --demo | demo
the output has other files | --output={f}/photos | photos
"""


class Row(NamedTuple):
    """A row of a table: its name, the arguments, and the words that the answer holds."""

    name: str
    arguments: list[str]
    words: list[str]


def _rows(command: str, table: str, form: str = "{}", kind: str = "") -> list[Row]:
    """The rows of a table; `form` makes arguments of the cells between name and words, `kind` begins the names."""
    rows = []
    for line in table.format(f="{f}", out="{out}", huge=10**12, big=2**63).strip().splitlines():
        name, *cells, words = (cell.strip() for cell in line.split("|"))
        own = form.format(*cells).split()
        given = {argument.split("=")[0] for argument in own}
        given |= {of for flag in given for of in IN_PLACE_OF.get(flag, ())}
        own += [argument for argument in ALWAYS[command].split() if argument.split("=")[0] not in given]
        # --config comes before what changes it.
        rows.append(Row(kind + name, sorted(own, key=lambda a: not a.startswith("--config=")), words.split(" & ")))
    return rows


IN_PLACE_OF = {"--measurement": ["--images"], "--dataset": ["--images"], "--operator": ["--tasks"]}
ROWS = dict(
    restore=[
        *_rows("restore", RESTORE),
        *_rows("restore", CONFIGS),
        *_rows("restore", MEASURED, "--measurement={{f}}/{} {}", "measured: "),
        *_rows("restore", OPERATORS, "--operator={} --sigma=0.1 {}", "operator: "),
    ],
    evaluate=_rows("evaluate", EVALUATE),
    train=[*_rows("train", TRAIN), *_rows("train", CONFIGS)],
    prepare=_rows("prepare", PREPARE),
    toys=[
        *_rows("toys", TOYS),
        *_rows("toys", CONFIGS),
        *_rows("toys", EXPERIMENTS, "--config=configs/toys/{}.py {}", "experiment: "),
    ],
)
