"""A shared mapping that does not keep its file open, as Python's own mmap does by duplicating the descriptor."""
import ctypes
import mmap
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.msync.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MS_SYNC = 4


class Mapping:
    def __init__(self, fd, size):
        self.size = size
        self.address = _libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
        if self.address == ctypes.c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def read(self, offset, size):
        return ctypes.string_at(self.address + offset, size)

    def write(self, offset, data):
        ctypes.memmove(self.address + offset, data, len(data))

    def sync(self):
        if _libc.msync(self.address, self.size, _MS_SYNC):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def close(self):
        if self.address:
            _libc.munmap(self.address, self.size)
            self.address = None
