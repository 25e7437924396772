"""Files and folders, in three ways of importing them."""

import flytekit.types.directory
import flytekit.types.file as ff
from flytekit import task
from flytekit.types import directory, file
from flytekit.types.file import CSVFile, FlyteFile, JoblibSerializedFile as Model


@task
def names(
    folder: flytekit.types.directory.FlyteDirectory,
    page: ff.HTMLPage,
    rows: file.CSVFile,
    logs: directory.TensorboardLogs,
) -> list[str]:
    return [str(item.path) for item in (folder, page, rows, logs)]


@task
def train(rows: CSVFile, seed: FlyteFile["txt"]) -> Model:
    return Model(path=rows.path)


HERE = FlyteFile.new_remote_file
