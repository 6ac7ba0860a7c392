"""What is transferred, and whether it arrived."""
import os

MIB = 1024 * 1024
SMALL = 4096
WIDE_SIZE = 7


def write_tree(path, directories, count, size=SMALL):
    """So many files of so many bytes, evenly in so many directories."""
    for i in range(directories):
        os.makedirs(f"{path}/{i:03}")
        for j in range(count // directories):
            with open(f"{path}/{i:03}/{j:05}", "wb") as file:
                file.write(os.urandom(size))


class DataSet:
    """Below one root, each part in a directory of its own so that it can be mounted alone:

    big/big.bin     one large file
    tree/           1,000 files of 4 KiB in 10 directories
    large-tree/     10,000 files of 4 KiB in 100 directories
    small/          2,000 files of 4 KiB in one directory
    wide/           20,000 files of 7 bytes in one directory
    written/        empty, for what is written through mounts

    `scale` divides the numbers of files, which are in `files`.
    """

    big = "big/big.bin"

    def __init__(self, root, size_mib, scale=1):
        self.root = root
        self.size = size_mib * MIB
        self.files = {"tree": 1000 // scale, "large_tree": 10_000 // scale, "small": 2000 // scale,
                      "wide": 20_000 // scale}
        os.makedirs(os.path.join(root, "big"))
        with open(self.path(self.big), "wb") as file:
            for _ in range(size_mib):
                file.write(os.urandom(MIB))
        write_tree(self.path("tree"), 10, self.files["tree"])
        write_tree(self.path("large-tree"), 100, self.files["large_tree"])
        write_tree(self.path("small"), 1, self.files["small"])
        write_tree(self.path("wide"), 1, self.files["wide"], WIDE_SIZE)
        os.makedirs(self.path("written"))
        # Writing the data to disk would go on beside the first measurements.
        os.sync()

    def path(self, name):
        return os.path.join(self.root, name)

    def begins_like_big(self, file, count):
        """Whether so many bytes of an open file are those of the large one. Right after reading
        them they come out of the page cache: these are the bytes that were delivered before."""
        file.seek(0)
        with open(self.path(self.big), "rb") as expected:
            while count > 0:
                piece = file.read(min(MIB, count))
                if not piece or piece != expected.read(len(piece)):
                    return False
                count -= len(piece)
        return True


def same_files(left, right):
    with open(left, "rb") as first, open(right, "rb") as second:
        while True:
            piece = first.read(MIB)
            if piece != second.read(MIB):
                return False
            if not piece:
                return True


def tree_of(path):
    """Relative names of the files below a directory, in order."""
    return sorted(os.path.relpath(os.path.join(directory, name), path)
                  for directory, _, names in os.walk(path) for name in names)


def same_trees(left, right):
    names = tree_of(left)
    return names == tree_of(right) and all(
        same_files(os.path.join(left, name), os.path.join(right, name)) for name in names)
