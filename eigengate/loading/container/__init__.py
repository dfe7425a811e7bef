"""Archives from strangers: the members of a zip or tar archive, checked before anything is unpacked.

Names, kinds, sizes and overlaps are checked from the archive's own records; what is read afterwards is bounded by what
was checked. Nothing is ever written to the file system, and archives inside archives stay closed.
"""

from eigengate.loading.container.gzip_stream import inflated, is_gzip
from eigengate.loading.container.member import Content, Member, quoted
from eigengate.loading.container.tar_archive import is_tar, tar_members
from eigengate.loading.container.zip_archive import is_zip, zip_members, zip_names

__all__ = [
    "Content",
    "Member",
    "inflated",
    "is_gzip",
    "is_tar",
    "is_zip",
    "members_of",
    "quoted",
    "tar_members",
    "zip_members",
    "zip_names",
]


def members_of(data: bytes) -> tuple[Member, ...]:
    """The files of a zip archive, a tar archive or a gzipped tar archive, told apart by content.

    Raises:
        ModelLoadError: the archive is damaged, ambiguous, hostile, or larger than we unpack.
    """
    if is_zip(data):
        return zip_members(data)
    return tar_members(inflated(data) if is_gzip(data) else data)
