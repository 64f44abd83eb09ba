import time


def write_hparams(directory, trials, metric):
    """Write the trials of a search for the HParams page of TensorBoard, a directory each.

    Args:
        directory: `pathlib.Path`.
        trials: list of dicts, as `recipes.commands.tune.tune` gives them, completed ones.
        metric: str, what the score is.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for row in trials:
        mine = directory / row["trial"]
        if mine.exists():
            continue
        values = {name: value for name, value in row["searched"].items() if value is not None}
        score = Summary(value=[Summary.Value(tag=metric, simple_value=row["score"])])
        writer = EventFileWriter(str(mine))
        _add(writer, hparams_pb({**values, "epochs": row["epochs"]}, trial_id=row["trial"]), 0)
        _add(writer, score, row["epochs"])
        writer.close()


def _add(writer, summary, step):
    from tensorboard.compat.proto.event_pb2 import Event

    writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
