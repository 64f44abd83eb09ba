import os
import tempfile
import time


def write_hparams(directory, row, metric):
    """Write a trial for the HParams page of TensorBoard, a directory of its own that is whole or not there.

    Args:
        directory: `pathlib.Path`.
        row: dict, as `recipes.tuning.tune.tune` gives it, of a trial that was completed.
        metric: str, what the score is.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    mine = directory / row["trial"]
    if mine.exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    values = {name: value for name, value in row["searched"].items() if value is not None}
    score = Summary(value=[Summary.Value(tag=metric, simple_value=row["score"])])
    with tempfile.TemporaryDirectory(prefix=".part-", dir=directory) as part:
        made = os.path.join(part, "made")
        writer = EventFileWriter(made)
        _add(writer, hparams_pb({**values, "epochs": row["epochs"]}, trial_id=row["trial"]), 0)
        _add(writer, score, row["epochs"])
        writer.close()
        os.rename(made, mine)


def _add(writer, summary, step):
    from tensorboard.compat.proto.event_pb2 import Event

    writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
