"""Queries a SavedModel through TensorFlow's C API alone, as TF Serving does: `LoadSavedModel`, a session, a run.

Run as a script in its own process; nothing of Python's TensorFlow is imported. Arguments: the package folders of
tensorflow and tensorflow_text, the model's folder, the names of an input of strings and of an output of floats
("name:index"), the size of the output, and the texts. Prints the numbers.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

FLOAT, STRING, STRING_BYTES = 1, 7, 24


class Output(ctypes.Structure):
    """TF_Output: an operation and the index of one of its outputs."""

    _fields_ = [("oper", ctypes.c_void_p), ("index", ctypes.c_int)]


class Api:
    """The functions of c_api.h that are needed, each checked for its status."""

    def __init__(self, tensorflow: Path, text: Path) -> None:
        ctypes.CDLL(str(tensorflow / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
        self.lib = ctypes.CDLL(str(tensorflow / "libtensorflow_cc.so.2"), ctypes.RTLD_GLOBAL)
        for name in ("NewStatus", "NewGraph", "NewSessionOptions", "LoadLibrary", "LoadSessionFromSavedModel"):
            getattr(self.lib, f"TF_{name}").restype = ctypes.c_void_p
        for name in ("GraphOperationByName", "AllocateTensor", "TensorData"):
            getattr(self.lib, f"TF_{name}").restype = ctypes.c_void_p
        self.lib.TF_Message.restype = ctypes.c_char_p
        self.status = ctypes.c_void_p(self.lib.TF_NewStatus())
        for file in sorted((text / "python" / "ops").glob("*.so")):
            self.lib.TF_LoadLibrary(str(file).encode(), self.status)
            self.check(file.name)

    def check(self, what: str) -> None:
        """Ends the process where the last call failed."""
        if self.lib.TF_GetCode(self.status):
            sys.exit(f"{what}: {self.lib.TF_Message(self.status).decode()}")

    def load(self, folder: Path) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
        """The session and the graph of a SavedModel's `serve` graph."""
        graph = ctypes.c_void_p(self.lib.TF_NewGraph())
        options, tags = ctypes.c_void_p(self.lib.TF_NewSessionOptions()), (ctypes.c_char_p * 1)(b"serve")
        session = self.lib.TF_LoadSessionFromSavedModel(
            options, None, str(folder).encode(), tags, 1, graph, None, self.status
        )
        self.check("LoadSavedModel")
        return ctypes.c_void_p(session), graph

    def strings(self, texts: list[bytes]) -> ctypes.c_void_p:
        """A tensor [B] of strings."""
        shape = (ctypes.c_int64 * 1)(len(texts))
        tensor = ctypes.c_void_p(self.lib.TF_AllocateTensor(STRING, shape, 1, ctypes.c_size_t(24 * len(texts))))
        start = self.lib.TF_TensorData(tensor)
        for number, text in enumerate(texts):
            place = ctypes.c_void_p(start + STRING_BYTES * number)
            self.lib.TF_StringInit(place)
            self.lib.TF_StringCopy(place, text, ctypes.c_size_t(len(text)))
        return tensor

    def output(self, graph: ctypes.c_void_p, name: str) -> Output:
        """A tensor of the graph by its name, "operation:index"."""
        operation, _, index = name.partition(":")
        found = self.lib.TF_GraphOperationByName(graph, operation.encode())
        if not found:
            sys.exit(f"no operation {operation}")
        return Output(found, int(index))


def main() -> None:
    """See the module."""
    tensorflow, text, folder = (Path(argument) for argument in sys.argv[1:4])
    input_name, output_name, size, texts = sys.argv[4], sys.argv[5], int(sys.argv[6]), sys.argv[7:]
    api = Api(tensorflow, text)
    session, graph = api.load(folder)
    inputs, outputs = (Output * 1)(api.output(graph, input_name)), (Output * 1)(api.output(graph, output_name))
    given = (ctypes.c_void_p * 1)(api.strings([each.encode() for each in texts]))
    results = (ctypes.c_void_p * 1)()
    api.lib.TF_SessionRun(session, None, inputs, given, 1, outputs, results, 1, None, 0, None, api.status)
    api.check("SessionRun")
    data = api.lib.TF_TensorData(ctypes.c_void_p(results[0]))
    sys.stdout.write(" ".join(map(str, ctypes.cast(data, ctypes.POINTER(ctypes.c_float))[:size])))


if __name__ == "__main__":
    main()
