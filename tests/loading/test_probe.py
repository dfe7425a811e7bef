"""Probe files: what is read, and what is refused with which words."""

import io
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from safetensors.torch import save as torch_save

from eigengate import load_probe
from eigengate.errors import InputError, ProbeFormatError, ProbeValueError


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("data", "has_labels"),
    [
        pytest.param(npz(x=X, y=Y), True, id="npz"),
        pytest.param(npz(x=X), False, id="npz without labels"),
        pytest.param(npy(X), False, id="npy"),
        pytest.param(npy(np.asfortranarray(X)), False, id="fortran order"),
        pytest.param(npy(X.astype(">f4")), False, id="big endian"),
        pytest.param(save({"x": X, "y": Y}), True, id="safetensors"),
    ],
)
def test_every_format_gives_the_same_samples(data, has_labels):
    probe = load_probe(data)
    assert probe.n == 4
    assert torch.equal(probe.arrays["x"].double(), torch.from_numpy(X).double())
    assert (probe.y is not None) == has_labels
    if has_labels:
        assert probe.y.tolist() == Y.tolist()


def test_a_path_is_read_like_its_bytes(tmp_path):
    path = tmp_path / "anything.bin"
    path.write_bytes(npz(x=X))
    assert load_probe(path).sha256 == load_probe(npz(x=X)).sha256 == load_probe(str(path)).sha256


def test_other_arrays_are_inputs_by_name():
    probe = load_probe(npz(image=X, mask=X > 3, y=Y))
    assert sorted(probe.arrays) == ["image", "mask"]


class Boom:
    def __reduce__(self):
        raise AssertionError("a pickle was opened")


def test_pickles_are_refused_and_never_opened():
    objects = np.array([{"a": 1}], dtype=object)
    for data in (
        npy(objects, allow_pickle=True),
        npz(x=objects),
        pickle.dumps({"x": X}),
        pickle.dumps([1], protocol=2),
    ):
        with pytest.raises(ProbeFormatError, match=r"pickle|allow_pickle|cannot be read"):
            load_probe(data)


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def header(shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"0" * 64, "not .npz, .npy or .safetensors", id="a picture"),
        pytest.param(npz(x=X)[:-30], "damaged", id="truncated npz"),
        pytest.param(npy(X)[:-4], "declares shape", id="truncated npy"),
        pytest.param(zipped(**{"x.npy": npy(X), "run.py": b"1"}), "no arrays", id="a stranger in the archive"),
        pytest.param(zipped(**{"x.npy": b"hello"}), "cannot be read", id="no array inside"),
        pytest.param(npz(y=Y), "no input array", id="only labels"),
        pytest.param(npy(np.array(["a", "b"])), "dtype", id="strings"),
        pytest.param(npy(np.array(["2020-01-01"], dtype="M8[D]")), "dtype", id="dates"),
        pytest.param(npy(np.ones((2, 2), dtype=np.complex64)), "dtype", id="complex"),
        pytest.param(save({"x": X})[:-3], "cannot be read", id="truncated safetensors"),
        pytest.param(torch_save({"x": torch.ones(2, 2).bfloat16()}), "type 'BF16'", id="bfloat16"),
        pytest.param(header("(0, 99999999999999999999)"), "cannot be read", id="a size beyond 64 bits"),
    ],
)
def test_what_is_no_plain_numeric_file_is_refused(data, message):
    with pytest.raises(ProbeFormatError, match=message):
        load_probe(data)


def test_an_array_never_inflates_past_the_size_it_declares():
    with io.BytesIO() as stream:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", npy(np.zeros(4 << 20)))
        liar = bytearray(stream.getvalue())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = liar.index(signature) + offset
        liar[start : start + 4] = struct.pack("<I", 200)
    tracemalloc.start()
    with pytest.raises(ProbeFormatError, match="damaged"):
        load_probe(bytes(liar))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20  # of the 32 that are packed
    tracemalloc.stop()


def test_a_header_that_promises_more_than_the_file_holds_is_refused_before_allocating():
    honest = npy(np.zeros((2, 2), dtype=np.float64))

    lying = honest.replace(b"(2, 2), }                 ", b"(500000000000, 2), }      ", 1)
    assert len(lying) == len(honest)
    assert lying != honest
    with pytest.raises(ProbeFormatError, match="declares shape"):
        load_probe(lying)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param({"x": np.where(X == 4, np.nan, X)}, r"NaN or infinity in 1 of 4 samples, e.g. \[1\]", id="NaN"),
        pytest.param({"x": np.where(X > 8, np.inf, X)}, "in 1 of 4 samples", id="infinity"),
        pytest.param({"x": X[:0]}, "nothing to measure", id="no samples"),
        pytest.param({"x": np.float32(3)}, "nothing to measure", id="a scalar"),
        pytest.param({"x": X, "y": Y[:3]}, "different numbers of samples", id="fewer labels"),
    ],
)
def test_values_that_cannot_be_measured_are_refused(arrays, message):
    with pytest.raises(ProbeValueError, match=message):
        load_probe(npz(**arrays))


def test_a_missing_file_says_so():
    with pytest.raises(InputError, match=r"cannot read 'nowhere\.npz'"):
        load_probe("nowhere.npz")
