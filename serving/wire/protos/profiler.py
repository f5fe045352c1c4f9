"""TensorFlow's profiler service, of which no installed package has the generated module.

Source: xla/tsl/profiler/protobuf/profiler_service.proto, as far as it is used; what a client sends besides is skipped.
"""

from __future__ import annotations

from serving.wire.protos.declare import proto_file

SERVICE = "tensorflow.ProfilerService"

FILE = proto_file(
    "serving/wire/protos/profiler.proto",
    "tensorflow",
    {
        "ProfileOptions": ["int64 duration_ms = 9"],
        "ProfileRequest": [
            "int64 duration_ms = 1",
            ".tensorflow.ProfileOptions opts = 4",
            "string repository_root = 5",
            "string session_id = 6",
            "string host_name = 7",
        ],
        "ProfileToolData": ["string name = 1", "bytes data = 2"],
        "ProfileResponse": ["repeated .tensorflow.ProfileToolData tool_data = 6", "bool empty_trace = 7"],
        "TerminateRequest": ["string session_id = 1"],
        "TerminateResponse": [],
        "MonitorRequest": ["int64 duration_ms = 1"],
        "MonitorResponse": ["string data = 1"],
    },
    services={
        "ProfilerService": {
            "Profile": (".tensorflow.ProfileRequest", ".tensorflow.ProfileResponse"),
            "Terminate": (".tensorflow.TerminateRequest", ".tensorflow.TerminateResponse"),
            "Monitor": (".tensorflow.MonitorRequest", ".tensorflow.MonitorResponse"),
        }
    },
)
