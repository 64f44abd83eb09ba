import tensorflow as tf

from recipes.run.event_files import EventFiles


def test_tensorflow_reads_what_was_logged(tmp_path):
    written = EventFiles(tmp_path)
    written.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.75})
    written.on_epoch_end(1, {"loss": 0.25, "val_loss": float("nan")})
    written.on_train_end()
    found = {
        (part, value.tag, event.step): float(tf.make_ndarray(value.tensor))
        for part in ("train", "validation")
        for path in (tmp_path / part).glob("events*")
        for record in tf.data.TFRecordDataset(str(path))
        for event in [tf.compat.v1.Event.FromString(record.numpy())]
        for value in event.summary.value
    }
    assert found["train", "epoch_loss", 0] == 0.5
    assert found["train", "epoch_loss", 1] == 0.25
    assert found["validation", "epoch_loss", 0] == 0.75
    assert len(found) == 4
