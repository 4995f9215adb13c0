# Prints what an .npz file holds, as JSON: read_npz.py FILE. By numpy.load if numpy is there, else by Python's own zipfile
# and the format of NEP 1. Checks the zip's sums either way.
import ast
import json
import struct
import sys
import zipfile


def read_npy(data):
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    (length,) = struct.unpack("<H", data[8:10])
    assert (10 + length) % 64 == 0
    header = ast.literal_eval(data[10 : 10 + length].decode())
    assert header["fortran_order"] is False
    descr, body = header["descr"], data[10 + length :]
    size = int(descr[2:]) * (4 if descr[1] == "U" else 1)
    count = 1
    for extent in header["shape"]:
        count *= extent
    assert len(body) == count * size, (len(body), count, size)
    if descr[1] == "U":
        points = struct.unpack(f"<{len(body) // 4}I", body)
        width = size // 4
        values = ["".join(map(chr, points[i * width : (i + 1) * width])).rstrip("\0") for i in range(count)]
    else:
        values = list(struct.unpack(f"<{count}{ {'<f4': 'f', '<i8': 'q'}[descr] }", body))
    return header["shape"], values


path = sys.argv[1]
with zipfile.ZipFile(path) as archive:
    assert archive.testzip() is None
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    try:
        import numpy
    except ImportError:
        arrays = {name: read_npy(archive.read(name + ".npy")) for name in names}
    else:
        with numpy.load(path) as loaded:
            assert sorted(loaded.files) == sorted(names)
            arrays = {name: (loaded[name].shape, loaded[name].flatten().tolist()) for name in names}
# A name that is not UTF-8 is told by its bytes.
print(
    json.dumps(
        {
            name: {
                "shape": shape,
                "values": [v.encode("utf-8", "surrogateescape").hex() if isinstance(v, str) else v for v in values],
            }
            for name, (shape, values) in arrays.items()
        }
    )
)
