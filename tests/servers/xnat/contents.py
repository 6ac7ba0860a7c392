"""The bytes of files: on the disk, or generated."""

import hashlib
import os
import random
import time


class Pattern:
    """A block of random bytes, repeated without end, that generated contents are cut from."""

    def __init__(self, path):
        """Takes the block from `path`, which is made if it is missing."""
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(random.Random(1).randbytes((1 << 20) + 7))
        self.descriptor = os.open(path, os.O_RDONLY)
        self.length = os.fstat(self.descriptor).st_size
        self._digests = {}

    def start(self, seed):
        """Where in the block the content of that seed begins; neighbours begin far apart."""
        return seed * 10007 % self.length

    def digest(self, start, size, content):
        key = start, size
        if key not in self._digests:
            self._digests[key] = digest_of(content)
        return self._digests[key]


def digest_of(content):
    md5 = hashlib.md5(usedforsecurity=False)
    with content.open() as reader:
        for descriptor, offset, length in reader.pieces(0, content.size):
            while length > 0:
                block = os.pread(descriptor, min(length, 1 << 20), offset)
                if not block:
                    break
                md5.update(block)
                offset += len(block)
                length -= len(block)
    return md5.hexdigest()


class GeneratedContent:
    """Bytes that are cut from the pattern and take no space."""

    def __init__(self, pattern, seed, size):
        self._pattern = pattern
        self._start = pattern.start(seed)
        self.size = size
        self.modified = time.time()

    @property
    def digest(self):
        return self._pattern.digest(self._start, self.size, self)

    def open(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def pieces(self, offset, length):
        """Yields (descriptor, offset, length) of what makes up these bytes."""
        while length > 0:
            at = (self._start + offset) % self._pattern.length
            count = min(length, self._pattern.length - at)
            yield self._pattern.descriptor, at, count
            offset += count
            length -= count

    def place(self):
        return {"start": self._start}

    def drop(self):
        pass


class StoredContent:
    """A file on the disk, which may be shorter than it should be if its upload was cut."""

    def __init__(self, path):
        self.path = path
        self.size = os.path.getsize(path)
        self.modified = time.time()
        self._digest = None

    @property
    def digest(self):
        if self._digest is None:
            self._digest = digest_of(self)
        return self._digest

    def open(self):
        return OpenFile(self.path)

    def place(self):
        return {"path": self.path}

    def drop(self):
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass


class OpenFile:
    """A file that is being sent; it stays readable when it is deleted meanwhile."""

    def __init__(self, path):
        self._descriptor = os.open(path, os.O_RDONLY)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._descriptor)

    def pieces(self, offset, length):
        yield self._descriptor, offset, length


class Disk:
    """The directory that stored contents lie in, under numbers."""

    def __init__(self, directory):
        self._directory = directory
        self._next = iter(range(1, 1 << 62))

    def new_path(self):
        return os.path.join(self._directory, str(next(self._next)))

    def take(self, path):
        """Makes a file that somebody else has written a content."""
        mine = self.new_path()
        os.rename(path, mine)
        return StoredContent(mine)

    def keep(self, stream):
        """Copies all of a file object."""
        path = self.new_path()
        with open(path, "wb") as file:
            while block := stream.read(1 << 18):
                file.write(block)
        return StoredContent(path)
