"""Networks that learn, whatever the experiment: what an experiment calls, and for what.

An experiment's ``network.py`` has ``train``, which hands a function ``prepare`` to `runs.train`,
and ``predict``; its ``score.py`` uses only what needs no Keras (marked *).

- `runs`*: one training from data to files; load; estimators of scikit-learn as ``.skops``
- `training`: the loop: epochs, checkpoints, the best weights, moving averages
- `tables`*: parts and folds of a data set by its split and its groups; columns, standardised
- `images`: images by memory map, in batches, in their eight views with their targets; predictions
- `image_models`, `models`: networks for images and for tables of numbers
- `layers`, `equivariant`, `stretch`: what they are made of
- `classification`*: metrics, class weights, losses, hard negatives; two classes or several
- `regression`*, `posteriors`*: heads that give numbers or distributions, their draws, their scores
- `calibration`*: bias, scatter, ranks and coverage; the numbers that 68 % and 95 % stand for
- `generation`*: a variational autoencoder that draws images, and the test of its draws
- `search`, `export`: settings by trial; networks as ONNX
- `backend`, `devices`: threads and GPUs
"""
