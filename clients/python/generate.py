"""Makes the stubs in src/synod/v1 from the .proto files, or checks with --check that they are what these say.

Needs grpcio-tools, of the version in requirements.txt.
"""

import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent
PROTO = HERE / "../../crates/synod-grpc/proto"
STUBS = HERE / "src/synod/v1"
MADE = [
    "types_pb2.py",
    "types_pb2.pyi",
    "transactions_pb2.py",
    "transactions_pb2.pyi",
    "transactions_pb2_grpc.py",
    "store_pb2.py",
    "store_pb2.pyi",
    "store_pb2_grpc.py",
]


def main():
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
        files = ["synod/v1/types.proto", "synod/v1/transactions.proto", "synod/v1/store.proto"]
        if protoc.main(["protoc", f"--proto_path={PROTO}", *options, *files]) != 0:
            sys.exit("protoc failed")
        made = Path(folder) / "synod/v1"
        if sys.argv[1:] == ["--check"]:
            stale = [name for name in MADE if not filecmp.cmp(made / name, STUBS / name, shallow=False)]
            if stale:
                sys.exit(f"{', '.join(stale)}: not what the .proto files say; run clients/python/generate.py")
        else:
            for name in MADE:
                shutil.copy(made / name, STUBS / name)


main()
