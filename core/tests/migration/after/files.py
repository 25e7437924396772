"""Files and folders, in three ways of importing them."""

import flytepath
import flytepath as ff
from flytepath import task
from flytepath import CSVFile, FlyteFile, JoblibSerializedFile as Model


@task
def names(
    folder: flytepath.FlyteDirectory,
    page: ff.HTMLPage,
    rows: flytepath.CSVFile,
    logs: flytepath.TensorboardLogs,
) -> list[str]:
    return [str(item.path) for item in (folder, page, rows, logs)]


@task
def train(rows: CSVFile, seed: FlyteFile["txt"]) -> Model:
    return Model(path=rows.path)


HERE = FlyteFile.new_remote_file
