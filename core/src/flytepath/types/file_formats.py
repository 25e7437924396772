"""Names for files and directories of well-known formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flytepath.types.directories import FlyteDirectory
from flytepath.types.files import FlyteFile


@dataclass(frozen=True, slots=True)
class FileExt:
    """A format as an annotation: ``FlyteFile[Annotated[str, FileExt("csv")]]`` is ``FlyteFile["csv"]``.

    Example:
        >>> from typing import Annotated
        >>> FlyteFile[Annotated[str, FileExt("csv")]] is CSVFile
        True
    """

    extension: str


if TYPE_CHECKING:
    # Type checkers take what stands between the brackets for a name of a type.
    CSVFile = FlyteFile
    HDF5EncodedFile = FlyteFile
    HTMLPage = FlyteFile
    JPEGImageFile = FlyteFile
    JSONLFile = FlyteFile
    JoblibSerializedFile = FlyteFile
    ONNXFile = FlyteFile
    PDFFile = FlyteFile
    PNGImageFile = FlyteFile
    PythonNotebook = FlyteFile
    PythonPickledFile = FlyteFile
    SVGImageFile = FlyteFile
    TFRecordFile = FlyteFile
    TFRecordsDirectory = FlyteDirectory
    TensorboardLogs = FlyteDirectory
else:
    #: Values separated by commas.
    CSVFile = FlyteFile["csv"]
    #: HDF5.
    HDF5EncodedFile = FlyteFile["hdf5"]
    #: A web page.
    HTMLPage = FlyteFile["html"]
    #: A JPEG image.
    JPEGImageFile = FlyteFile["jpeg"]
    #: One JSON value a line.
    JSONLFile = FlyteFile["jsonl"]
    #: An object that joblib wrote.
    JoblibSerializedFile = FlyteFile["joblib"]
    #: A model in the Open Neural Network Exchange format.
    ONNXFile = FlyteFile["onnx"]
    #: A PDF document.
    PDFFile = FlyteFile["pdf"]
    #: A PNG image.
    PNGImageFile = FlyteFile["png"]
    #: A Jupyter notebook.
    PythonNotebook = FlyteFile["ipynb"]
    #: An object that pickle wrote.
    PythonPickledFile = FlyteFile["python_pickle"]
    #: An SVG image.
    SVGImageFile = FlyteFile["svg"]
    #: Records of TensorFlow.
    TFRecordFile = FlyteFile["tfrecord"]
    #: A directory of TensorFlow records.
    TFRecordsDirectory = FlyteDirectory["tfrecords_dir"]
    #: What TensorBoard shows.
    TensorboardLogs = FlyteDirectory["tensorboard"]
