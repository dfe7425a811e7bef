"""Archives from strangers: what honest tools write is read to the byte, everything else refused in words of ours."""

import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile

import pytest

from eigengate.errors import ModelLoadError
from eigengate.loading.container import inflated, member, members_of
from support.bundles import tarred, zipped

FILES = {
    "m/model.onnx": b"the model",
    "m/weights/" + "very_long_name_" * 12 + ".bin": bytes(range(256)) * 9,
    "m/ümlaut.txt": b"",
    "block": bytes(512),
}


class Pipe(io.BytesIO):
    """Takes what is written, and cannot go back to correct it."""

    def seek(self, *_):
        raise io.UnsupportedOperation


def piped(stream, **options):
    """A zip whose sizes stand behind its members, or in fields of 64 bits."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            with archive.open(name, "w", **options) as member:
                member.write(content)
    return stream.getvalue()


ARCHIVES = {
    "zip, piped": piped(Pipe()),
    "zip, 64 bits": piped(io.BytesIO(), force_zip64=True),
    "zip, piped, 64 bits": piped(Pipe(), force_zip64=True),
    "zip, stored": zipped(FILES, zipfile.ZIP_STORED),
    "zip, deflated": zipped(FILES),
    "tar, pax": tarred(FILES, layout=tarfile.PAX_FORMAT),
    "tar, gnu": tarred(FILES, layout=tarfile.GNU_FORMAT),
    "tar.gz": tarred(FILES, "w:gz"),
}


@pytest.mark.parametrize("archive", ARCHIVES.values(), ids=ARCHIVES)
def test_what_honest_tools_pack_is_read_to_the_byte(archive):
    found = {m.name: bytes(m.content) for m in members_of(archive)}
    assert found == FILES
    assert [bytes(m.read(3)) for m in members_of(archive)] == [content[:3] for content in FILES.values()]


def test_the_oldest_tar_and_folders_are_read():
    with io.BytesIO() as stream:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            folder = tarfile.TarInfo("./" + "dd/" * 40)
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            entry = tarfile.TarInfo("./" + "dd/" * 40 + "x")  # too long for one field: split into prefix and name
            entry.size = 2
            archive.addfile(entry, io.BytesIO(b"ab"))
        found = members_of(stream.getvalue())
    assert [(m.name, bytes(m.content)) for m in found] == [("dd/" * 40 + "x", b"ab")]


def test_folders_in_zips_are_no_files():
    assert [m.name for m in members_of(zipped({"d/": b"", "d/x": b"1"}))] == ["d/x"]


UNSAFE = ["/etc/passwd", "../x", "a/../../x", "a\\b", "C:/x", "a\nb", "a\x7fb", "x/\u202eb"]


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_unsafe_names_are_refused(pack, name):
    with pytest.raises(ModelLoadError, match="unsafe path") as caught:
        members_of(pack({"fine": b"", name: b"x"}))
    assert caught.value.hint


def test_a_name_cut_at_a_zero_byte_is_refused():
    with pytest.raises(ModelLoadError, match="unsafe path"):
        members_of(zipped({"fine": b"", "abXcd": b"1"}).replace(b"abXcd", b"ab\0cd"))


@pytest.mark.parametrize("names", [("a", "A"), ("a/b", "a//b"), ("a", "./a"), ("straße", "STRASSE"), ("é", "e\u0301")])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_that_some_file_system_confuses_are_refused(pack, names):
    with pytest.raises(ModelLoadError, match="two members named"):
        members_of(pack(dict.fromkeys(names, b"x")))


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"6", b"S", b"V", b"D"])
def test_links_devices_and_sparse_files_in_tars_are_refused(kind):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("innocent")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(ModelLoadError, match=r"'innocent' is a .*, no plain file") as caught:
        members_of(stream.getvalue())
    assert caught.value.hint


def with_entry(**changes):
    """A zip whose only member has these attributes."""
    entry = zipfile.ZipInfo("innocent")
    for name, value in changes.items():
        setattr(entry, name, value)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(entry, b"x")
    return stream.getvalue()


def test_links_in_zips_are_refused():
    with pytest.raises(ModelLoadError, match="is a link or a device"):
        members_of(with_entry(external_attr=0o120777 << 16))


def test_encrypted_members_are_refused():
    archive = bytearray(zipped({"secret": b"x"}, zipfile.ZIP_STORED))
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ModelLoadError, match="'secret' is encrypted"):
        members_of(bytes(archive))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_methods_are_refused(method):
    with pytest.raises(ModelLoadError, match="compressed by the method"):
        members_of(zipped({"x": bytes(100)}, method))


def test_zip_bombs_are_refused_before_they_are_unpacked():
    with pytest.raises(ModelLoadError, match="'zeros' inflates more than 100-fold"):
        members_of(zipped({"zeros": bytes(9 << 20)}))


def test_a_zip_member_never_inflates_past_the_size_it_declares():
    archive = bytearray(zipped({"liar": bytes(9 << 20)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = archive.index(signature) + offset
        archive[start : start + 4] = struct.pack("<I", 100)
    (liar,) = members_of(bytes(archive))
    tracemalloc.start()
    with pytest.raises(ModelLoadError, match="damaged"):
        liar.content  # noqa: B018
    assert tracemalloc.get_traced_memory()[1] < 1 << 20  # of the nine that are packed
    tracemalloc.stop()


def test_gzip_bombs_stop_inflating_at_the_limit(monkeypatch):
    pieces = []
    monkeypatch.setattr("eigengate.loading.container.gzip_stream.check_total", pieces.append)
    with pytest.raises(ModelLoadError, match="inflates more than 100-fold"):
        inflated(gzip.compress(bytes(40 << 20)))
    assert max(pieces) == 9 << 20  # free are eight mebibytes; the next one is refused


@pytest.mark.parametrize("pack", [zipped, tarred, lambda files: tarred(files, "w:gz")])
def test_archives_larger_than_we_hold_are_refused(pack, monkeypatch):
    monkeypatch.setattr(member, "MAX_UNPACKED_BYTES", 30_000)
    members_of(pack({"a": bytes(8_000), "b": bytes(8_000)}))
    with pytest.raises(ModelLoadError, match="unpacks to more than 30,000 bytes"):
        members_of(pack({"a": bytes(16_000), "b": bytes(16_000)}))


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_archives_of_too_many_members_are_refused(pack, monkeypatch):
    monkeypatch.setattr(member, "MAX_MEMBERS", 5)
    members_of(pack({str(k): b"" for k in range(5)}))
    with pytest.raises(ModelLoadError, match="more than 5 members"):
        members_of(pack({str(k): b"" for k in range(6)}))


def test_foreign_bytes_in_front_of_an_archive_are_refused():
    with pytest.raises(ModelLoadError, match="begins with 4 foreign bytes"):
        members_of(b"PK\x03\x04" + zipped({"a": b"1"}))


def test_foreign_bytes_behind_and_between_are_refused():
    archive = zipped({"a": b"1", "b": b"2"}, zipfile.ZIP_STORED)
    with pytest.raises(ModelLoadError, match="3 foreign bytes follow"):
        members_of(archive + b"abc")
    start, place = archive.index(b"PK\x01\x02"), archive.rindex(b"PK\x05\x06") + 16
    apart = archive[:start] + b"abc" + archive[start:place] + struct.pack("<I", start + 3) + archive[place + 4 :]
    with pytest.raises(ModelLoadError, match="3 bytes that belong to no member"):
        members_of(apart)


@pytest.mark.parametrize(
    "offset", [6, 8, 14, 18, 22, 30], ids=["flags", "method", "checksum", "packed", "size", "name"]
)
def test_members_whose_own_header_contradicts_the_directory_are_refused(offset):
    archive = bytearray(zipped({"aaaa": b"1"}, zipfile.ZIP_STORED))
    archive[offset] ^= 1
    with pytest.raises(ModelLoadError, match="in the directory and another in its own header"):
        members_of(bytes(archive))


def test_overlapping_members_are_refused():
    archive = bytearray(zipped({"aaaa": bytes(50), "bbbb": bytes(50)}, zipfile.ZIP_STORED))
    second = archive.rindex(b"PK\x01\x02") + 42
    archive[second : second + 4] = struct.pack("<I", 20)
    with pytest.raises(ModelLoadError, match=r"overlap|damaged"):
        members_of(bytes(archive))


def test_a_tar_that_announces_more_than_it_holds_is_cut_short():
    with pytest.raises(ModelLoadError, match="cut short"):
        members_of(tarred({"a": bytes(5000)})[:2048])


def test_a_pax_header_may_give_the_size_but_not_lie_about_it():
    entry = tarfile.TarInfo("a")
    entry.size, entry.pax_headers = 3, {"size": "3"}
    honest = entry.tobuf(tarfile.PAX_FORMAT) + b"abc".ljust(512, b"\0")
    assert [bytes(m.content) for m in members_of(honest)] == [b"abc"]
    entry.pax_headers = {"size": "700"}
    with pytest.raises(ModelLoadError, match="'a' is cut short"):
        members_of(entry.tobuf(tarfile.PAX_FORMAT) + b"abc".ljust(512, b"\0"))


@pytest.mark.parametrize("archive", ARCHIVES.values(), ids=ARCHIVES)
def test_damaged_archives_are_read_or_refused_and_nothing_else(archive):
    outcomes = set()
    cuts = [archive[:length] for length in range(1, len(archive), 97)]
    flips = [
        archive[:i] + bytes([archive[i] ^ bit]) + archive[i + 1 :]
        for i in range(0, len(archive), 7)
        for bit in (1, 0x80)
    ]
    for damaged in cuts + flips:
        try:
            outcomes.add(sum(len(m.content) for m in members_of(damaged)) >= 0)
        except ModelLoadError:
            outcomes.add("refused")
    assert outcomes == {True, "refused"}
