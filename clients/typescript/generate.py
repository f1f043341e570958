"""Makes the messages in src/v1 from the .proto files, or checks with --check that they are what these say.

Needs grpcio-tools for protoc, of the version in clients/python/requirements.txt, and `npm ci` for its plugin.
"""

import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent
PROTO = HERE / "../../crates/synod-grpc/proto"
PLUGIN = HERE / "node_modules/.bin/protoc-gen-es"
MADE = ["types_pb.ts", "transactions_pb.ts", "store_pb.ts"]


def main():
    if not PLUGIN.exists():
        sys.exit(f"{PLUGIN} is not there: run `npm ci` in clients/typescript first")
    with tempfile.TemporaryDirectory() as folder:
        plugin = [f"--plugin=protoc-gen-es={PLUGIN}", f"--es_out={folder}"]
        options = ["--es_opt=target=ts", "--es_opt=import_extension=js"]
        files = ["synod/v1/types.proto", "synod/v1/transactions.proto", "synod/v1/store.proto"]
        if protoc.main(["protoc", f"--proto_path={PROTO}", *plugin, *options, *files]) != 0:
            sys.exit("protoc failed")
        made = Path(folder) / "synod/v1"
        if sys.argv[1:] == ["--check"]:
            stale = [name for name in MADE if not filecmp.cmp(made / name, HERE / "src/v1" / name, shallow=False)]
            if stale:
                sys.exit(f"{', '.join(stale)}: not what the .proto files say; run clients/typescript/generate.py")
        else:
            for name in MADE:
                shutil.copy(made / name, HERE / "src/v1" / name)


main()
