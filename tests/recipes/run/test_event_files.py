import numpy as np
import tensorflow as tf
from PIL import Image

from recipes.run.event_files import EventFiles, write_hparams, write_picture


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


def test_tensorflow_reads_a_picture(tmp_path):
    picture = Image.fromarray(np.arange(24, dtype="uint8").reshape(4, 6))
    write_picture(tmp_path, "samples", picture, 7)
    (path,) = tmp_path.glob("events*")
    records = [tf.compat.v1.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    ((step, value),) = [(event.step, value) for event in records for value in event.summary.value]
    assert (step, value.tag, value.image.height, value.image.width) == (7, "samples", 4, 6)
    np.testing.assert_array_equal(tf.io.decode_png(value.image.encoded_image_string)[..., 0], np.asarray(picture))


def test_a_trial_is_there_whole_and_once(tmp_path):
    for score in (0.5, 0.75):
        write_hparams(tmp_path / "trials", "0003", {"momentum": 0.9, "seed": None}, {"val_loss": score}, 12)
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["0003"]
    (path,) = (tmp_path / "trials" / "0003").glob("events*")
    records = [tf.compat.v1.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    values = [(event.step, value.tag, value.simple_value) for event in records for value in event.summary.value]
    assert (12, "val_loss", 0.5) in values
    assert any("hparams" in tag for _, tag, _ in values)
