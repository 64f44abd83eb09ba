"""The names of the files in the directory of a run, a search or a comparison. Other rooms take them from here."""

CONFIG = "config.json"
ENVIRONMENT = "environment.json"
RESULT = "result.json"
METRICS = "metrics.csv"
TIMING = "timing.csv"
STATE = "state.npz"
MODEL = "model.keras"
MEMORY = "memory.json"  # of a run of a comparison: the largest memory of its process
TENSORBOARD = "tensorboard"  # a directory
LOCK = ".lock"
PART = ".part-"  # how the name of a file or directory begins that is not written to its end yet
EXPORTS = {"saved_model": "saved_model", "onnx": "model.onnx"}  # by format; the first is a directory
EXPORTED = "exported.json"
SIGNATURE = "assets.extra/signature.json"  # in a SavedModel, a directory that TensorFlow leaves to others

CONFUSION = "confusion.npz"  # left by the recipes of classifiers, which write it by `Run.write_arrays`
FIELDS = "fields.npz"  # left by the recipes of equations in the same way

SEEDS = "seeds.csv"  # of several seeds and of comparisons: a row for each training
TRIALS = "trials.csv"  # of a search: a row for each trial
COMPARISON = "comparison.csv"  # a row for each contender
RATES = "rates.csv"  # of a comparison: a row for each learning rate that was tried for a contender
DATABASE = "search.db"  # the trials of a search, unless --storage names another database

CURVES = "curves.png"
REPORT = "report.html"
MODEL_CARD = "model_card.md"
COMPARISON_PICTURE = "comparison.png"
PROGRESS_PICTURE = "progress.png"
RATES_PICTURE = "rates.png"
SCHEDULES_PICTURE = "schedules.png"
